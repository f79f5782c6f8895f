//! `[timeouts]`: how long a session may be idle in each state.

use dataplane::session::{State, Timeouts};
use dataplane::time::{TICKS_PER_SECOND, Tick};
use serde::Serializer;

use super::document::{Node, Value};
use super::section::Section;

/// Every state by its name in the file.
const STATES: [(&str, State); State::COUNT] = [
    ("none", State::None),
    ("tcp_established", State::Established),
    ("tcp_syn_sent", State::SynSent),
    ("tcp_syn_recv", State::SynRecv),
    ("tcp_fin_wait", State::FinWait),
    ("tcp_time_wait", State::TimeWait),
    ("tcp_close", State::Close),
    ("tcp_close_wait", State::CloseWait),
    ("tcp_last_ack", State::LastAck),
    ("tcp_listen", State::Listen),
    ("tcp_synack", State::SynAck),
    ("udp", State::Udp),
    ("sctp_init1", State::SctpInit1),
    ("sctp_init", State::SctpInit),
    ("sctp_cookie_sent", State::SctpCookieSent),
    ("sctp_cookie_replied", State::SctpCookieReplied),
    ("sctp_cookie_wait", State::SctpCookieWait),
    ("sctp_cookie", State::SctpCookie),
    ("sctp_cookie_echoed", State::SctpCookieEchoed),
    ("sctp_established", State::SctpEstablished),
    ("sctp_shutdown_sent", State::SctpShutdownSent),
    ("sctp_shutdown_received", State::SctpShutdownReceived),
    ("sctp_shutdown_ack_sent", State::SctpShutdownAckSent),
    ("sctp_rejected", State::SctpRejected),
    ("sctp_closed", State::SctpClosed),
];

/// Reads the table; what it does not say is the kernel's default.
pub(super) fn read(mut section: Section<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    for (name, state) in STATES {
        if let Some(seconds) = section.optional(name, read_duration) {
            timeouts.set(state, seconds);
        }
    }
    section.finish();
    timeouts
}

/// Writes every state with its seconds.
pub(super) fn serialize<S: Serializer>(
    timeouts: &Timeouts,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let seconds = |state| timeouts.ticks(state) / TICKS_PER_SECOND;
    serializer.collect_map(STATES.map(|(name, state)| (name, seconds(state))))
}

/// Seconds, or text with a unit: `90`, `"90s"`, `"15m"`, `"2h"`, `"1d"`.
pub(super) fn read_duration(node: &Node) -> Result<u32, String> {
    const LONGEST: u32 = Tick::MAX_TIMEOUT_SECONDS;
    let seconds = match &node.value {
        Value::Integer(seconds) => Some(*seconds),
        Value::Text(text) => parse_duration(text),
        _ => None,
    };
    let Some(seconds) = seconds else {
        return Err("must be seconds, or text like \"90s\", \"15m\", \"2h\" or \"1d\"".to_owned());
    };
    match u32::try_from(seconds) {
        Ok(seconds @ 1..=LONGEST) => Ok(seconds),
        _ if seconds < 1 => Err(format!(
            "{seconds} is no time at all: give at least 1 second"
        )),
        _ => Err(format!(
            "{seconds} seconds is too long: give at most 31 days"
        )),
    }
}

fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_seconds)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn every_state_has_a_name_of_its_own() {
        for (index, (name, state)) in STATES.into_iter().enumerate() {
            assert_eq!(state, State::ALL[index], "{name}");
            assert!(!STATES[..index].iter().any(|(other, _)| *other == name));
        }
    }

    #[test]
    fn absent_timeouts_are_the_kernels() {
        assert_eq!(config("").timeouts(), &Timeouts::default());
        assert_eq!(config("[timeouts]\n").timeouts(), &Timeouts::default());
    }

    #[test]
    fn timeouts_are_seconds_or_have_a_unit() {
        let config = config(
            "[timeouts]\nnone = 7\nudp = \"90s\"\ntcp_established = \"16m\"\n\
             sctp_established = \"2 h\"\ntcp_fin_wait = \"31d\"\n",
        );

        let seconds = |state| config.timeouts().ticks(state) / TICKS_PER_SECOND;
        assert_eq!(seconds(State::None), 7);
        assert_eq!(seconds(State::Udp), 90);
        assert_eq!(seconds(State::Established), 960);
        assert_eq!(seconds(State::SctpEstablished), 7200);
        assert_eq!(seconds(State::FinWait), 31 * 86_400);
    }

    #[test]
    fn every_state_may_be_set_to_a_second() {
        let lines: String = STATES
            .map(|(name, _)| format!("{name} = \"1s\"\n"))
            .concat();

        let config = config(&format!("[timeouts]\n{lines}"));

        for state in State::ALL {
            assert_eq!(config.timeouts().ticks(state), TICKS_PER_SECOND);
        }
    }

    #[test]
    fn impossible_timeouts_are_refused() {
        let found = refusals(
            "[timeouts]\nnone = 0\nudp = \"32d\"\ntcp_established = -1\n\
             tcp_close = \"soon\"\ntcp_listen = 99999999999\ntcp_fin_wiat = 3\n",
        );

        let how = "must be seconds, or text like \"90s\", \"15m\", \"2h\" or \"1d\"";
        assert_eq!(
            found,
            [
                "2: `none` 0 is no time at all: give at least 1 second".to_owned(),
                "3: `udp` 2764800 seconds is too long: give at most 31 days".to_owned(),
                "4: `tcp_established` -1 is no time at all: give at least 1 second".to_owned(),
                format!("5: `tcp_close` {how}"),
                "6: `tcp_listen` 99999999999 seconds is too long: give at most 31 days".to_owned(),
                "7: `tcp_fin_wiat` is not a key here: did you mean `tcp_fin_wait`?".to_owned(),
            ]
        );
    }
}
