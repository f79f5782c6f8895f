//! What one row of the table measures: method, direction, transport, sizes and number of flows.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The numbers of flows of the table.
pub const FLOWS: [u32; 5] = [1, 1_000, 10_000, 100_000, 1_000_000];

/// The number of flows at which mixed sizes are measured.
pub const IMIX_FLOWS: u32 = 1_000;

/// How packets reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Direct routing: only the MAC changes.
    Dr,
    /// IP in IP.
    Tun,
    /// The destination is rewritten, and the source of replies.
    Nat,
    /// Both ends are rewritten, in both directions.
    Fullnat,
}

impl Method {
    /// Every method, cheapest first.
    pub const ALL: [Self; 4] = [Self::Dr, Self::Tun, Self::Nat, Self::Fullnat];

    /// Its name in the gateway's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dr => "dr",
            Self::Tun => "tun",
            Self::Nat => "nat",
            Self::Fullnat => "fullnat",
        }
    }

    /// Whether replies pass the gateway.
    #[must_use]
    pub const fn sees_replies(self) -> bool {
        matches!(self, Self::Nat | Self::Fullnat)
    }
}

/// The transport of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Protocol {
    /// ACK and data segments of ESTABLISHED sessions.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// Its name in the gateway's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// What the packet path calls it.
    #[must_use]
    pub const fn of_the_gateway(self) -> dataplane::address::Protocol {
        match self {
            Self::Tcp => dataplane::address::Protocol::Tcp,
            Self::Udp => dataplane::address::Protocol::Udp,
        }
    }

    /// Its number in the IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// Which packets of a session are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Direction {
    /// From clients.
    Request,
    /// From servers.
    Reply,
    /// Half of the flows' requests, and the replies of the other half.
    Both,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::Request, Self::Reply, Self::Both];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Both => "both",
        }
    }
}

/// How long the packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Sizes {
    /// All 64 bytes on the wire, the frame check sequence counted.
    Small,
    /// Of twelve packets seven of 64 bytes, four of 594 and one of 1518.
    Imix,
}

impl Sizes {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Small, Self::Imix];
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// How packets reach the server.
    pub method: Method,
    /// Which packets are replayed.
    pub direction: Direction,
    /// The transport.
    pub protocol: Protocol,
    /// Sessions, each touched.
    pub flows: u32,
    /// How long the packets are.
    pub sizes: Sizes,
}

impl Case {
    /// The direction as the results name it: mixed sizes are a row of their own.
    #[must_use]
    pub fn direction_name(&self) -> String {
        match self.sizes {
            Sizes::Small => self.direction.name().to_owned(),
            Sizes::Imix => format!("{}-imix", self.direction.name()),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            protocol,
            flows,
            ..
        } = self;
        let (method, protocol) = (method.name(), protocol.name());
        let direction = self.direction_name();
        write!(f, "{method} {direction} {protocol}, {flows} flows")
    }
}

/// Which cases are wanted; an empty list of anything means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Selection {
    /// Only these forwarding methods.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub method: Vec<Method>,
    /// Only these transports.
    #[arg(long = "proto", value_enum, value_delimiter = ',')]
    pub protocol: Vec<Protocol>,
    /// Only these directions; replies pass with NAT and FULLNAT only.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub direction: Vec<Direction>,
    /// Only these numbers of flows.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub flows: Vec<u32>,
    /// Only packets of 64 bytes, or only mixed sizes (at 1,000 flows unless --flows says else).
    #[arg(long, value_enum, value_delimiter = ',')]
    pub sizes: Vec<Sizes>,
}

impl Selection {
    /// The cases that fit, in the order of the table.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let flows = |sizes| match (self.flows.as_slice(), sizes) {
            ([], Sizes::Small) => FLOWS.to_vec(),
            ([], Sizes::Imix) => vec![IMIX_FLOWS],
            (given, _) => given.to_vec(),
        };
        let mut cases = Vec::new();
        for sizes in chosen(&self.sizes, &Sizes::ALL) {
            for method in chosen(&self.method, &Method::ALL) {
                for direction in chosen(&self.direction, &Direction::ALL) {
                    for protocol in chosen(&self.protocol, &Protocol::ALL) {
                        cases.extend(flows(sizes).into_iter().map(|flows| Case {
                            method,
                            direction,
                            protocol,
                            flows,
                            sizes,
                        }));
                    }
                }
            }
        }
        cases.retain(|case| case.direction == Direction::Request || case.method.sees_replies());
        cases
    }

    /// Those of [`cases`](Self::cases) that `--quick` has time for: every method with few and
    /// with many flows, and one case of everything else.
    #[must_use]
    pub fn quick_cases(&self) -> Vec<Case> {
        let mut cases = self.cases();
        cases.retain(is_quick);
        cases
    }
}

/// What was given, else everything.
fn chosen<T: Copy>(given: &[T], all: &[T]) -> Vec<T> {
    if given.is_empty() { all } else { given }.to_vec()
}

fn is_quick(case: &Case) -> bool {
    use Direction::{Both, Reply, Request};
    match (case.method, case.direction, case.protocol, case.sizes) {
        (_, Request, Protocol::Udp, Sizes::Small) => matches!(case.flows, 1_000 | 100_000),
        (Method::Fullnat, Request | Reply, Protocol::Tcp, Sizes::Small)
        | (Method::Nat, Both, Protocol::Tcp, Sizes::Small)
        | (Method::Fullnat, Request, Protocol::Udp, Sizes::Imix) => case.flows == 1_000,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        selection: Selection,
    }

    fn selection(line: &str) -> Selection {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Arguments::try_parse_from(words).unwrap().selection
    }

    #[test]
    fn without_options_the_table_is_whole() {
        let cases = selection("").cases();

        // DR and TUN have one direction, NAT and FULLNAT three; each with two transports.
        let small = (1 + 1 + 3 + 3) * 2 * FLOWS.len();
        let imix = (1 + 1 + 3 + 3) * 2;
        assert_eq!(cases.len(), small + imix);
        let replies = cases.iter().filter(|it| it.direction != Direction::Request);
        assert!(replies.clone().all(|case| case.method.sees_replies()));
        assert_eq!(replies.count(), (2 + 2) * 2 * (FLOWS.len() + 1));
    }

    #[test]
    fn options_choose_cases() {
        let chosen = selection("--method nat,fullnat --proto tcp --direction both --flows 7,90");

        let names: Vec<_> = (chosen.cases().iter()).map(ToString::to_string).collect();

        assert_eq!(
            names,
            [
                "nat both tcp, 7 flows",
                "nat both tcp, 90 flows",
                "fullnat both tcp, 7 flows",
                "fullnat both tcp, 90 flows",
                "nat both-imix tcp, 7 flows",
                "nat both-imix tcp, 90 flows",
                "fullnat both-imix tcp, 7 flows",
                "fullnat both-imix tcp, 90 flows",
            ]
        );
        assert_eq!(selection("--method dr --direction reply").cases(), []);
        let refused = Arguments::try_parse_from(["bench", "--flows", "1000001"]);
        assert!(refused.is_err());
    }

    #[test]
    fn quick_has_every_method_and_direction() {
        let cases = selection("").quick_cases();

        for method in Method::ALL {
            assert!(cases.iter().any(|case| case.method == method), "{method:?}");
        }
        for direction in Direction::ALL {
            let has = |case: &Case| case.direction == direction;
            assert!(cases.iter().any(has), "{direction:?}");
        }
        assert!(cases.len() <= 12, "{} cases take too long", cases.len());
    }
}
