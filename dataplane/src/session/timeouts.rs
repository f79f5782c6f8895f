//! How long a session lives without packets, by its state.

use super::state::State;
use crate::address::Protocol;
use crate::time::{TICKS_PER_SECOND, Tick};

/// Ticks without a packet after which a session ends, for each state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    by_state: [u32; State::COUNT],
}

impl Default for Timeouts {
    /// The kernel's: TCP established 15 minutes, `FIN_WAIT` 2 minutes, UDP 5 minutes …
    fn default() -> Self {
        Self {
            by_state: State::ALL.map(|state| default_seconds(state) * TICKS_PER_SECOND),
        }
    }
}

impl Timeouts {
    /// Ticks a session in `state` lives after its last packet.
    #[inline]
    #[must_use]
    pub const fn ticks(&self, state: State) -> u32 {
        self.by_state[state as usize]
    }

    /// Sets the time-out of one state; it takes effect at the next packet of each session.
    /// Less than a second becomes a second, more than 31 days become 31 days.
    pub fn set(&mut self, state: State, seconds: u32) {
        let seconds = seconds.clamp(1, Tick::MAX_TIMEOUT_SECONDS);
        self.by_state[state as usize] = seconds * TICKS_PER_SECOND;
    }

    /// Sets the time-out of the state of `protocol` that `ipvsadm` prints as `name`; false when
    /// there is none.
    pub fn set_by_name(&mut self, protocol: Protocol, name: &str, seconds: u32) -> bool {
        let state = State::from_name(protocol, name);
        if let Some(state) = state {
            self.set(state, seconds);
        }
        state.is_some()
    }

    /// Sets what `ipvsadm --set TCP …` does: established TCP sessions.
    pub fn set_tcp(&mut self, seconds: u32) {
        self.set(State::Established, seconds);
    }

    /// Sets what `ipvsadm --set … TCPFIN …` does: TCP sessions one side has closed.
    pub fn set_tcp_fin(&mut self, seconds: u32) {
        self.set(State::FinWait, seconds);
    }

    /// Sets what `ipvsadm --set … UDP` does.
    pub fn set_udp(&mut self, seconds: u32) {
        self.set(State::Udp, seconds);
    }
}

/// The kernel's time-outs (Linux 6.1, `ip_vs_proto_{tcp,udp,sctp}.c`).
const fn default_seconds(state: State) -> u32 {
    match state {
        State::None => 2,
        State::Established | State::SctpEstablished => 900,
        State::SynSent | State::FinWait | State::TimeWait | State::Listen | State::SynAck => 120,
        State::SynRecv | State::CloseWait => 60,
        State::Close => 10,
        State::LastAck => 30,
        State::Udp => 300,
        State::SctpInit1 | State::SctpRejected => 4,
        State::SctpInit
        | State::SctpCookieSent
        | State::SctpCookieReplied
        | State::SctpCookieWait
        | State::SctpCookie
        | State::SctpCookieEchoed
        | State::SctpShutdownSent
        | State::SctpShutdownReceived
        | State::SctpShutdownAckSent
        | State::SctpClosed => 61,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_kernels() {
        let timeouts = Timeouts::default();

        let seconds = State::ALL.map(|state| timeouts.ticks(state) / TICKS_PER_SECOND);

        assert_eq!(
            seconds,
            [
                2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, // TCP
                300, // UDP
                4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61, // SCTP
            ]
        );
    }

    #[test]
    fn ipvsadm_sets_three_of_them_and_each_has_a_name() {
        let mut timeouts = Timeouts::default();

        timeouts.set_tcp(1);
        timeouts.set_tcp_fin(2);
        timeouts.set_udp(3);

        assert_eq!(timeouts.ticks(State::Established), 256);
        assert_eq!(timeouts.ticks(State::FinWait), 512);
        assert_eq!(timeouts.ticks(State::Udp), 768);
        assert!(timeouts.set_by_name(Protocol::Sctp, "ESTABLISHED", 10));
        assert_eq!(timeouts.ticks(State::SctpEstablished), 2560);
        assert_eq!(timeouts.ticks(State::Established), 256);
        assert!(!timeouts.set_by_name(Protocol::Udp, "SYN_RECV", 10));
    }

    #[test]
    fn timeouts_stay_between_a_second_and_31_days() {
        let mut timeouts = Timeouts::default();

        timeouts.set_tcp(0);
        timeouts.set_udp(u32::MAX);

        assert_eq!(timeouts.ticks(State::Established), TICKS_PER_SECOND);
        assert_eq!(timeouts.ticks(State::Udp), 31 * 86_400 * 256);
    }
}
