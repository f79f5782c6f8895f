//! The variables that steer IPVS, under the names that Linux gives them below `net.ipv4.vs`.
//!
//! A [`Knobs`] is part of the snapshot; its fields are read where their rules are obeyed. Text
//! comes in and goes out as with `sysctl`: whole numbers. Nothing here says what a variable does
//! to a packet.

use std::fmt;

use crate::service::LOCALITY_EXPIRATION_SECONDS;
use crate::time::Tick;

/// Why a variable was not set, or not found: the name as it was given, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` {problem}")]
pub struct KnobError {
    /// The variable.
    pub name: String,
    /// What is wrong with it.
    pub problem: KnobProblem,
}

/// What is wrong with a variable or its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnobProblem {
    /// IPVS has no variable of this name (Linux: ENOENT).
    Unknown,
    /// IPVS has it, and the gateway has no use for it; the end of a sentence says why.
    NotApplicable(&'static str),
    /// The text is no whole number (Linux: EINVAL).
    NotANumber(String),
    /// The number is outside the variable's range (Linux: EINVAL).
    OutOfRange {
        /// What was asked for.
        value: i64,
        /// The least that it may be.
        least: i64,
        /// The most that it may be.
        most: i64,
    },
}

impl fmt::Display for KnobProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("is no variable of IPVS"),
            Self::NotApplicable(why) => write!(f, "is not applicable here: {why}"),
            Self::NotANumber(text) => write!(f, "\"{text}\" is not a whole number"),
            Self::OutOfRange { value, least, most } if value < least => {
                write!(f, "{value} is below {least}: give {least} to {most}")
            }
            Self::OutOfRange { value, least, most } => {
                write!(f, "{value} is above {most}: give {least} to {most}")
            }
        }
    }
}

/// The type of a variable: how it becomes a number and comes from one in its range.
trait Number: Copy {
    fn to_number(self) -> i64;
    fn from_number(number: i64) -> Self;
}

impl Number for bool {
    fn to_number(self) -> i64 {
        self.into()
    }

    fn from_number(number: i64) -> Self {
        number != 0
    }
}

impl Number for u8 {
    fn to_number(self) -> i64 {
        self.into()
    }

    fn from_number(number: i64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Number for u32 {
    fn to_number(self) -> i64 {
        self.into()
    }

    fn from_number(number: i64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

/// The largest number of C's `int`, which most of these variables are in Linux.
const INT_MAX: i64 = i32::MAX as i64;

/// Any number: every one but 0 switches on, as in Linux.
const ANY: (i64, i64) = (-INT_MAX - 1, INT_MAX);

/// Off, when memory is short, the same, always.
const MODES: (i64, i64) = (0, 3);

/// Seconds that a time-out may have.
const SECONDS: (i64, i64) = (1, Tick::MAX_TIMEOUT_SECONDS as i64);

macro_rules! knobs {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $range:expr;)+) => {
        /// The variables of IPVS that apply to the gateway.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Knobs {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Knobs {
            /// Linux's.
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Knobs {
            /// The name of every variable, sorted.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)+];

            /// The value of a variable as `sysctl` prints it; `None` when there is none of this
            /// name here.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<String> {
                match name {
                    $(stringify!($name) => Some(self.$name.to_number().to_string()),)+
                    _ => None,
                }
            }

            /// The least and the most that a variable may be, if there is one of this name here.
            fn range(name: &str) -> Option<(i64, i64)> {
                match name {
                    $(stringify!($name) => Some($range),)+
                    _ => None,
                }
            }

            /// Sets a variable that exists to a number in its range.
            fn put(&mut self, name: &str, number: i64) {
                match name {
                    $(stringify!($name) => self.$name = Number::from_number(number),)+
                    _ => {}
                }
            }
        }
    };
}

knobs! {
    /// `drop_packet=3` drops every so many-th packet that would begin a session; 0 is none.
    am_droprate: u32 = 10, (0, INT_MAX);
    /// Pages of 4 KiB, of 32 sessions each: with fewer of them free in its session table, a
    /// worker is short of memory.
    amemthresh: u32 = 1024, (0, INT_MAX);
    /// Which sessions a client's SYN or INIT ends, to begin anew: 0 none; otherwise those that
    /// are over; with bit 1 also those in `FIN_WAIT` whose replies do not pass here.
    conn_reuse_mode: u8 = 1, (0, 255);
    /// Whether sessions drawn at random are ended, half open ones first: 0 never, 1 and 2 while
    /// memory is short, 3 always.
    drop_entry: u8 = 0, MODES;
    /// Whether some of the packets that would begin sessions are dropped: as
    /// [`Self::drop_entry`].
    drop_packet: u8 = 0, MODES;
    /// Whether sessions end with their server's removal, and begin anew when its weight is 0.
    expire_nodest_conn: bool = false, ANY;
    /// Whether a persistent client leaves a server whose weight is 0.
    expire_quiescent_template: bool = false, ANY;
    /// Seconds after which lblc forgets a VIP that nobody asks for.
    lblc_expiration: u32 = LOCALITY_EXPIRATION_SECONDS, SECONDS;
    /// Seconds after which lblcr forgets a VIP that nobody asks for, and takes a server out of a
    /// set that has not changed.
    lblcr_expiration: u32 = LOCALITY_EXPIRATION_SECONDS, SECONDS;
    /// Whether a NAT server is told that its packet belongs to no session (ICMP 3/3).
    nat_icmp_send: bool = false, ANY;
    /// Whether a tunnel's packets may not be fragmented when those inside may not, and a packet
    /// too large for the tunnel is refused.
    pmtu_disc: bool = true, ANY;
    /// Whether the totals and rates that `ipvsadm` shows go on.
    run_estimation: bool = true, ANY;
    /// Whether an ICMP error about no session begins one.
    schedule_icmp: bool = false, ANY;
    /// Whether TCP sessions that a client opens alone count for less: as [`Self::drop_entry`].
    secure_tcp: u8 = 0, MODES;
    /// Whether any SCTP packet but an ABORT begins a session.
    sloppy_sctp: bool = false, ANY;
    /// Whether any TCP segment but an RST begins a session.
    sloppy_tcp: bool = false, ANY;
    /// Whether NAT replies are routed as coming from their VIP. Both are the same here: routes
    /// know no sources.
    snat_reroute: bool = true, ANY;
}

const NO_SYNC: &str = "connections are not synchronised between gateways yet";

/// The variables of IPVS that do not apply, and the end of a sentence that says why; sorted.
const NOT_APPLICABLE: [(&str, &str); 13] = [
    ("backup_only", NO_SYNC),
    (
        "cache_bypass",
        "a packet that no server takes is refused, and never routed to where it was sent",
    ),
    ("conntrack", "packets do not pass netfilter"),
    ("debug_level", "only debugging kernels have it"),
    (
        "ignore_tunneled",
        "what Linux takes out of a tunnel does not come back to be balanced",
    ),
    ("sync_persist_mode", NO_SYNC),
    ("sync_ports", NO_SYNC),
    ("sync_qlen_max", NO_SYNC),
    ("sync_refresh_period", NO_SYNC),
    ("sync_retries", NO_SYNC),
    ("sync_sock_size", NO_SYNC),
    ("sync_threshold", NO_SYNC),
    ("sync_version", NO_SYNC),
];

impl Knobs {
    /// The variables of IPVS that do not apply to the gateway, each with why.
    pub fn not_applicable() -> impl Iterator<Item = (&'static str, KnobProblem)> {
        let named = NOT_APPLICABLE.into_iter();
        named.map(|(name, why)| (name, KnobProblem::NotApplicable(why)))
    }

    /// Whether a variable is on or off, and nothing else.
    #[must_use]
    pub fn is_switch(name: &str) -> bool {
        Self::range(name) == Some(ANY)
    }

    /// What is wrong with the name of a variable that [`Self::get`] does not find.
    #[must_use]
    pub fn absence(name: &str) -> KnobError {
        let why = NOT_APPLICABLE.iter().find(|(known, _)| *known == name);
        KnobError {
            name: name.to_owned(),
            problem: why.map_or(KnobProblem::Unknown, |&(_, why)| {
                KnobProblem::NotApplicable(why)
            }),
        }
    }

    /// Sets a variable to what `text` says, as writing to its file below `/proc/sys` does. A
    /// switch is on with any number but 0, and then 1.
    ///
    /// # Errors
    ///
    /// [`KnobError`] when there is no such variable, or the text is no number in its range; then
    /// nothing has changed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), KnobError> {
        let (least, most) = Self::range(name).ok_or_else(|| Self::absence(name))?;
        let refuse = |problem| KnobError {
            name: name.to_owned(),
            problem,
        };
        let number = text.trim().parse::<i64>();
        let value = number.map_err(|_| refuse(KnobProblem::NotANumber(text.trim().to_owned())))?;
        if !(least..=most).contains(&value) {
            return Err(refuse(KnobProblem::OutOfRange { value, least, most }));
        }
        self.put(name, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_linuxs() {
        let knobs = Knobs::default();

        let shown: Vec<_> = (Knobs::NAMES.iter())
            .map(|name| format!("{name} {}", knobs.get(name).unwrap()))
            .collect();

        assert_eq!(
            shown,
            [
                "am_droprate 10",
                "amemthresh 1024",
                "conn_reuse_mode 1",
                "drop_entry 0",
                "drop_packet 0",
                "expire_nodest_conn 0",
                "expire_quiescent_template 0",
                "lblc_expiration 86400",
                "lblcr_expiration 86400",
                "nat_icmp_send 0",
                "pmtu_disc 1",
                "run_estimation 1",
                "schedule_icmp 0",
                "secure_tcp 0",
                "sloppy_sctp 0",
                "sloppy_tcp 0",
                "snat_reroute 1",
            ]
        );
        assert!(Knobs::NAMES.is_sorted());
    }

    #[test]
    fn every_variable_is_set_and_read_back() {
        let mut knobs = Knobs::default();

        for name in Knobs::NAMES {
            let other = if knobs.get(name).unwrap() == "1" {
                "0"
            } else {
                "1"
            };
            knobs.set(name, other).unwrap();
            assert_eq!(knobs.get(name).as_deref(), Some(other), "{name}");
        }

        assert!(knobs.expire_nodest_conn && !knobs.pmtu_disc);
        assert_eq!((knobs.conn_reuse_mode, knobs.lblc_expiration), (0, 1));
    }

    #[test]
    fn a_switch_is_on_with_any_number_but_0() {
        let mut knobs = Knobs::default();

        for (text, value) in [(" 7\n", "1"), ("0", "0"), ("-1", "1"), ("000", "0")] {
            knobs.set("sloppy_tcp", text).unwrap();
            assert_eq!(knobs.get("sloppy_tcp").as_deref(), Some(value));
        }
    }

    #[test]
    fn what_linux_refuses_is_refused_and_changes_nothing() {
        let mut knobs = Knobs::default();
        let mut refusal = |name, text| knobs.set(name, text).unwrap_err().to_string();

        assert_eq!(
            [
                refusal("drop_entry", "4"),
                refusal("secure_tcp", "-1"),
                refusal("drop_packet", "on"),
                refusal("sloppy_tcp", ""),
                refusal("sloppy_udp", "1"),
                refusal("sync_ports", "2"),
            ],
            [
                "`drop_entry` 4 is above 3: give 0 to 3",
                "`secure_tcp` -1 is below 0: give 0 to 3",
                "`drop_packet` \"on\" is not a whole number",
                "`sloppy_tcp` \"\" is not a whole number",
                "`sloppy_udp` is no variable of IPVS",
                "`sync_ports` is not applicable here: connections are not synchronised between \
                 gateways yet",
            ]
        );
        assert_eq!(knobs, Knobs::default());
    }

    #[test]
    fn a_variable_applies_or_does_not() {
        let others: Vec<_> = Knobs::not_applicable().map(|(name, _)| name).collect();

        assert!(others.is_sorted());
        for name in others {
            assert!(!Knobs::NAMES.contains(&name), "{name}");
            assert_eq!(Knobs::default().get(name), None);
        }
    }
}
