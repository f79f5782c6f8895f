//! The states a session goes through, of all protocols in one list.
//!
//! The numbers of the TCP states are the kernel's (`IP_VS_TCP_S_*`); [`State::kernel_number`]
//! gives them for every protocol. Which packet leads where is in [`super::transition`].

use std::fmt;

use crate::address::Protocol;

/// How far a session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// A session no packet has been judged for yet, of any protocol.
    #[default]
    None = 0,
    /// TCP: data may flow.
    Established,
    /// TCP: the server opened a connection.
    SynSent,
    /// TCP: the client opened a connection and was not heard of since.
    SynRecv,
    /// TCP: one side has closed (with DR and TUN: the client).
    FinWait,
    /// TCP: both sides have closed.
    TimeWait,
    /// TCP: reset.
    Close,
    /// TCP: the client has closed.
    CloseWait,
    /// TCP: the last acknowledgement is awaited.
    LastAck,
    /// TCP: an announced connection (FTP data) is awaited.
    Listen,
    /// TCP: half open under defence against SYN floods.
    SynAck,
    /// UDP: the only state it has.
    Udp,
    /// SCTP: a first INIT came from the client.
    SctpInit1,
    /// SCTP: the client repeated its INIT.
    SctpInit,
    /// SCTP: the server sent its cookie.
    SctpCookieSent,
    /// SCTP: the client gave the cookie back.
    SctpCookieReplied,
    /// SCTP: the server opened, the client's cookie is awaited.
    SctpCookieWait,
    /// SCTP: the server opened, the client sent its cookie.
    SctpCookie,
    /// SCTP: the server opened and gave the cookie back.
    SctpCookieEchoed,
    /// SCTP: data may flow.
    SctpEstablished,
    /// SCTP: the server is shutting down.
    SctpShutdownSent,
    /// SCTP: the client is shutting down.
    SctpShutdownReceived,
    /// SCTP: the shutdown was acknowledged.
    SctpShutdownAckSent,
    /// SCTP: the server or the client refused.
    SctpRejected,
    /// SCTP: over.
    SctpClosed,
}

/// How readily a session gives its place to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Begun, not answered for yet: what a flood of openings leaves behind.
    Opening,
    /// On its way out.
    Closing,
    /// Datagrams without a beginning or an end.
    Datagram,
    /// Data may flow; never evicted.
    Open,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::None,
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::SynAck,
        Self::Udp,
        Self::SctpInit1,
        Self::SctpInit,
        Self::SctpCookieSent,
        Self::SctpCookieReplied,
        Self::SctpCookieWait,
        Self::SctpCookie,
        Self::SctpCookieEchoed,
        Self::SctpEstablished,
        Self::SctpShutdownSent,
        Self::SctpShutdownReceived,
        Self::SctpShutdownAckSent,
        Self::SctpRejected,
        Self::SctpClosed,
    ];

    /// How many states there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The state's name as `ipvsadm -Lc` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Established | Self::SctpEstablished => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::SynAck => "SYNACK",
            Self::Udp => "UDP",
            Self::SctpInit1 => "INIT1",
            Self::SctpInit => "INIT",
            Self::SctpCookieSent => "C-SENT",
            Self::SctpCookieReplied => "C-REPLIED",
            Self::SctpCookieWait => "C-WAIT",
            Self::SctpCookie => "COOKIE",
            Self::SctpCookieEchoed => "C-ECHOED",
            Self::SctpShutdownSent => "S-SENT",
            Self::SctpShutdownReceived => "S-RECEIVED",
            Self::SctpShutdownAckSent => "S-ACK-SENT",
            Self::SctpRejected => "REJECTED",
            Self::SctpClosed => "CLOSED",
        }
    }

    /// The state of `protocol` with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(protocol: Protocol, name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.belongs_to(protocol) && state.name() == name)
    }

    /// Whether a session of `protocol` can be in this state.
    #[must_use]
    pub fn belongs_to(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Tcp => self < Self::Udp,
            Protocol::Udp => matches!(self, Self::None | Self::Udp),
            Protocol::Sctp => self == Self::None || self > Self::Udp,
        }
    }

    /// The number the kernel's IPVS gives the state within its protocol.
    #[must_use]
    pub const fn kernel_number(self) -> u8 {
        let number = self as u8;
        let udp = Self::Udp as u8;
        if number < udp { number } else { number - udp }
    }

    /// Whether a session in this state counts as an active connection (`ActiveConn`):
    /// half-open TCP does, UDP never does, of SCTP only the established ones do.
    #[inline]
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Self::Established
                | Self::SynSent
                | Self::SynRecv
                | Self::SynAck
                | Self::SctpEstablished
        )
    }

    /// How readily a session in this state gives its place to a new one.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::None
            | Self::SynSent
            | Self::SynRecv
            | Self::Listen
            | Self::SynAck
            | Self::SctpInit1
            | Self::SctpInit
            | Self::SctpCookieSent
            | Self::SctpCookieReplied
            | Self::SctpCookieWait
            | Self::SctpCookie
            | Self::SctpCookieEchoed => Phase::Opening,
            Self::FinWait
            | Self::TimeWait
            | Self::Close
            | Self::CloseWait
            | Self::LastAck
            | Self::SctpShutdownSent
            | Self::SctpShutdownReceived
            | Self::SctpShutdownAckSent
            | Self::SctpRejected
            | Self::SctpClosed => Phase::Closing,
            Self::Udp => Phase::Datagram,
            Self::Established | Self::SctpEstablished => Phase::Open,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_protocol_and_name() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let states = State::ALL.into_iter().filter(|s| s.belongs_to(protocol));
            for state in states {
                assert_eq!(State::from_name(protocol, state.name()), Some(state));
            }
        }
        assert_eq!(State::from_name(Protocol::Udp, "ESTABLISHED"), None);
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert!((0..).zip(State::ALL).all(|(n, state)| state as u8 == n));
        assert_eq!(State::SynAck.kernel_number(), 10);
        assert_eq!(State::Udp.kernel_number(), 0);
        assert_eq!(State::SctpInit1.kernel_number(), 1);
        assert_eq!(State::SctpEstablished.kernel_number(), 8);
        assert_eq!(State::SctpClosed.kernel_number(), 13);
    }

    #[test]
    fn active_states_are_those_ipvs_counts() {
        let active = State::ALL.into_iter().filter(|state| state.is_active());

        let names: Vec<_> = active.map(State::name).collect();

        assert_eq!(
            names,
            [
                "ESTABLISHED",
                "SYN_SENT",
                "SYN_RECV",
                "SYNACK",
                "ESTABLISHED"
            ]
        );
    }
}
