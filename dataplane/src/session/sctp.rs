//! SCTP: which event a packet is, and where it leads.
//!
//! The tables are those of the kernel's IPVS (Linux 6.1, `ip_vs_proto_sctp.c`); a state's own
//! name in its row means that nothing changes. Chunk types are those of RFC 9260 §3.2.

use super::state::State;
use super::transition::Event;

impl Event {
    /// What a packet says that a chunk of this type leads.
    #[inline]
    #[must_use]
    pub const fn from_sctp_chunk(kind: u8) -> Self {
        match kind {
            1 => Self::Init,
            2 => Self::InitAck,
            6 => Self::Abort,
            7 => Self::Shutdown,
            8 => Self::ShutdownAck,
            9 => Self::Error,
            10 => Self::CookieEcho,
            11 => Self::CookieAck,
            14 => Self::ShutdownComplete,
            // DATA, SACK, HEARTBEAT, HEARTBEAT ACK, ECNE, CWR and what is not known.
            _ => Self::Data,
        }
    }
}

/// A row for `None` and for each SCTP state; columns as [`Event::Data`] to [`Event::Abort`].
pub(super) type Rows = [[State; 10]; 14];

const I1: State = State::SctpInit1;
const IT: State = State::SctpInit;
const CS: State = State::SctpCookieSent;
const CR: State = State::SctpCookieReplied;
const CW: State = State::SctpCookieWait;
const CO: State = State::SctpCookie;
const CE: State = State::SctpCookieEchoed;
const ES: State = State::SctpEstablished;
const SS: State = State::SctpShutdownSent;
const SR: State = State::SctpShutdownReceived;
const SA: State = State::SctpShutdownAckSent;
const RJ: State = State::SctpRejected;
const CL: State = State::SctpClosed;

/// The client's packets, where the server's are seen too.
#[rustfmt::skip]
pub(super) const IN: Rows = [
    //        DAT INI IAC CKE CKA SHU SHA SHC ERR ABO
    /* NO */ [ ES, I1, CW, CR, ES, SR, CL, CL, CL, CL ],
    /* I1 */ [ I1, IT, CW, IT, I1, I1, IT, CL, I1, CL ],
    /* IT */ [ IT, IT, CW, IT, IT, IT, IT, CL, IT, CL ],
    /* CS */ [ CS, CS, CS, CR, CS, CS, CS, CS, CS, CL ],
    /* CR */ [ CR, CR, CR, CR, CR, CR, CR, CR, CR, CL ],
    /* CW */ [ CW, CW, CO, CW, CW, CW, CW, CW, CW, RJ ],
    /* CO */ [ CO, CO, CO, CO, CO, CO, CO, CO, CO, CL ],
    /* CE */ [ CE, CE, CE, CE, ES, CE, CE, CE, CL, CL ],
    /* ES */ [ ES, ES, ES, ES, ES, SR, ES, ES, ES, CL ],
    /* SS */ [ SS, SS, SS, SS, SS, SS, CL, SS, SS, CL ],
    /* SR */ [ SR, SR, SR, SR, SR, SR, SR, SR, SR, CL ],
    /* SA */ [ SA, SA, SA, SA, SA, SA, CL, CL, SA, CL ],
    /* RJ */ [ RJ, IT, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL ],
    /* CL */ [ CL, IT, CL, CL, CL, CL, CL, CL, CL, CL ],
];

/// The server's packets.
#[rustfmt::skip]
pub(super) const OUT: Rows = [
    //        DAT INI IAC CKE CKA SHU SHA SHC ERR ABO
    /* NO */ [ ES, CW, CS, CE, ES, SS, SA, CL, CL, CL ],
    /* I1 */ [ I1, CW, CS, CE, ES, SS, SA, I1, CL, RJ ],
    /* IT */ [ IT, CW, CS, CE, ES, SS, SA, IT, CL, CL ],
    /* CS */ [ CS, CW, CS, CE, ES, SS, SA, CS, CL, CL ],
    /* CR */ [ CR, CW, CR, CE, ES, SS, SA, CR, CL, CL ],
    /* CW */ [ CW, CW, CW, CE, ES, SS, CW, CW, CW, CL ],
    /* CO */ [ CO, CW, CO, CE, ES, SS, CO, CO, CO, CL ],
    /* CE */ [ CE, CW, CE, CE, ES, SS, CE, CE, CE, CL ],
    /* ES */ [ ES, ES, ES, ES, ES, SS, ES, ES, ES, CL ],
    /* SS */ [ SS, CW, SS, SS, SS, SS, SA, SS, SS, CL ],
    /* SR */ [ SR, CW, SR, SR, SR, SR, SA, SR, SR, CL ],
    /* SA */ [ SA, CW, SA, SA, SA, SA, SA, SA, SA, CL ],
    /* RJ */ [ RJ, CW, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL ],
    /* CL */ [ CL, CW, CL, CL, CL, CL, CL, CL, CL, CL ],
];

/// The client's packets, where the server's are never seen.
#[rustfmt::skip]
pub(super) const IN_ONLY: Rows = [
    //        DAT INI IAC CKE CKA SHU SHA SHC ERR ABO
    /* NO */ [ ES, I1, CE, ES, ES, SR, CL, CL, CL, CL ],
    /* I1 */ [ I1, IT, CE, ES, I1, I1, IT, CL, I1, CL ],
    /* IT */ [ IT, IT, CE, ES, IT, IT, IT, CL, IT, CL ],
    /* CS */ [ CS, IT, CE, ES, ES, CS, CS, CL, CS, CL ],
    /* CR */ [ CR, IT, CE, ES, ES, CR, CR, CL, CR, CL ],
    /* CW */ [ ES, IT, CE, ES, CW, CW, CW, CW, CW, RJ ],
    /* CO */ [ CO, CO, CO, CO, ES, CO, CO, CO, CO, CL ],
    /* CE */ [ CE, CE, CE, CE, ES, CE, CE, CE, CE, CL ],
    /* ES */ [ ES, ES, ES, ES, ES, SR, CL, ES, ES, CL ],
    /* SS */ [ SS, SS, SS, SS, SS, SS, CL, SS, SS, CL ],
    /* SR */ [ SR, SR, SR, SR, SR, SR, SR, CL, SR, CL ],
    /* SA */ [ SA, SA, SA, SA, SA, SA, CL, CL, SA, CL ],
    /* RJ */ [ RJ, IT, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL ],
    /* CL */ [ CL, IT, CL, CL, CL, CL, CL, CL, CL, CL ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_types_are_those_of_the_rfc() {
        let events = [1, 2, 6, 7, 8, 9, 10, 11, 14].map(Event::from_sctp_chunk);

        assert_eq!(
            events,
            [
                Event::Init,
                Event::InitAck,
                Event::Abort,
                Event::Shutdown,
                Event::ShutdownAck,
                Event::Error,
                Event::CookieEcho,
                Event::CookieAck,
                Event::ShutdownComplete,
            ]
        );
        for data in [0, 3, 4, 5, 12, 13, 15, 192, 255] {
            assert_eq!(Event::from_sctp_chunk(data), Event::Data);
        }
    }
}
