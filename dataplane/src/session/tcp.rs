//! TCP: which event a segment is, and where it leads.
//!
//! The tables are those of the kernel's IPVS (Linux 6.1, `ip_vs_proto_tcp.c`); a state's own name
//! in its row means that nothing changes. With `secure_tcp` some cells say something else.

use super::state::State;
use super::transition::Event;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Event {
    /// What a segment with these flags (the header's 14th byte) says: the first of RST, SYN,
    /// FIN and ACK that is set, as the kernel looks at them.
    #[inline]
    #[must_use]
    pub const fn from_tcp_flags(flags: u8) -> Self {
        if flags & RST != 0 {
            Self::Rst
        } else if flags & SYN != 0 {
            Self::Syn
        } else if flags & FIN != 0 {
            Self::Fin
        } else if flags & ACK != 0 {
            Self::Ack
        } else {
            Self::NoFlags
        }
    }
}

/// A row for each state from `None` to `SynAck`; columns SYN, FIN, ACK, RST.
pub(super) type Rows = [[State; 4]; 11];

const ES: State = State::Established;
const SS: State = State::SynSent;
const SR: State = State::SynRecv;
const FW: State = State::FinWait;
const TW: State = State::TimeWait;
const CL: State = State::Close;
const CW: State = State::CloseWait;
const LA: State = State::LastAck;
const LI: State = State::Listen;
const SA: State = State::SynAck;

/// The columns of [`Rows`].
mod column {
    pub(super) const SYN: usize = 0;
    pub(super) const FIN: usize = 1;
    pub(super) const ACK: usize = 2;
    pub(super) const RST: usize = 3;
}

/// The client's segments, where the server's are seen too.
#[rustfmt::skip]
pub(super) const IN: Rows = [
    //          SYN FIN ACK RST
    /* NO */ [  SR, CL, ES, CL ],
    /* ES */ [  ES, CW, ES, CL ],
    /* SS */ [  ES, SS, SS, CL ],
    /* SR */ [  SR, TW, ES, SR ],
    /* FW */ [  SR, TW, FW, CL ],
    /* TW */ [  SR, TW, TW, CL ],
    /* CL */ [  SR, CL, CL, CL ],
    /* CW */ [  SR, CW, CW, CL ],
    /* LA */ [  SR, LA, CL, LA ],
    /* LI */ [  SR, LI, LI, LI ],
    /* SA */ [  SR, TW, ES, SR ],
];

/// The server's segments.
#[rustfmt::skip]
pub(super) const OUT: Rows = [
    //          SYN FIN ACK RST
    /* NO */ [  SS, TW, ES, CL ],
    /* ES */ [  ES, FW, ES, CL ],
    /* SS */ [  SS, SS, SS, SS ],
    /* SR */ [  SR, TW, ES, CL ],
    /* FW */ [  SS, FW, FW, CL ],
    /* TW */ [  SS, TW, TW, TW ],
    /* CL */ [  SS, CL, CL, CL ],
    /* CW */ [  SS, TW, CW, CL ],
    /* LA */ [  SS, LA, LA, CL ],
    /* LI */ [  LI, LI, ES, CL ],
    /* SA */ [  SR, TW, ES, CL ],
];

/// The client's segments, where the server's are never seen.
#[rustfmt::skip]
pub(super) const IN_ONLY: Rows = [
    //          SYN FIN ACK RST
    /* NO */ [  SR, CL, ES, CL ],
    /* ES */ [  ES, FW, ES, CL ],
    /* SS */ [  ES, SS, SS, CL ],
    /* SR */ [  SR, TW, ES, SR ],
    /* FW */ [  SR, FW, FW, CL ],
    /* TW */ [  SR, TW, TW, CL ],
    /* CL */ [  SR, CL, CL, CL ],
    /* CW */ [  SR, CW, CW, CL ],
    /* LA */ [  SR, LA, CL, LA ],
    /* LI */ [  SR, LI, LI, LI ],
    /* SA */ [  SR, TW, ES, CL ],
];

/// What [`IN`] says while `secure_tcp` acts: a session is open when its server says so, and a
/// client's word alone is not enough.
pub(super) const SECURE_IN: Rows = with(
    IN,
    &[
        (SA, column::SYN, SA),
        (SA, column::FIN, SA),
        (SR, column::ACK, SR),
        (SA, column::ACK, SA),
        (SA, column::RST, CL),
    ],
);

/// What [`OUT`] says while `secure_tcp` acts.
pub(super) const SECURE_OUT: Rows = with(OUT, &[(SR, column::SYN, SA), (SA, column::SYN, SA)]);

/// What [`IN_ONLY`] says while `secure_tcp` acts.
pub(super) const SECURE_IN_ONLY: Rows = with(
    IN_ONLY,
    &[
        (State::None, column::SYN, SA),
        (FW, column::SYN, SA),
        (TW, column::SYN, SA),
        (CL, column::SYN, SA),
        (CW, column::SYN, SA),
        (LA, column::SYN, SA),
        (LI, column::SYN, SA),
        (SA, column::SYN, SA),
    ],
);

/// The rows with other cells: state now, column, next state.
const fn with(mut rows: Rows, cells: &[(State, usize, State)]) -> Rows {
    let mut at = 0;
    while at < cells.len() {
        let (now, column, next) = cells[at];
        rows[now as usize][column] = next;
        at += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_rst_syn_fin_and_ack_counts() {
        let psh = 0x08;

        assert_eq!(Event::from_tcp_flags(RST | SYN | FIN | ACK), Event::Rst);
        assert_eq!(Event::from_tcp_flags(SYN | ACK), Event::Syn);
        assert_eq!(Event::from_tcp_flags(FIN | ACK | psh), Event::Fin);
        assert_eq!(Event::from_tcp_flags(ACK | psh), Event::Ack);
        assert_eq!(Event::from_tcp_flags(psh), Event::NoFlags);
    }
}
