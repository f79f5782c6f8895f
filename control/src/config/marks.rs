//! `[[mark]]`: which packets have which firewall mark.
//!
//! Packets do not pass netfilter, which marks them in Linux; these rules do. The first rule that
//! a packet matches gives its mark.

use dataplane::address::Protocol;
use serde::{Serialize, Serializer};

use super::document::{Node, Value};
use super::network::{InterfaceAddress, PortRange, network_of, parse_address};
use super::section::{Section, Written};

/// A rule that gives packets a mark. What is `None` is not asked of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The mark; 0 exempts packets from the rules below.
    pub mark: u32,
    /// Where the packet arrives: a `[[port]]` by its name, with all its VLANs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The transport.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "protocol_name"
    )]
    pub protocol: Option<Protocol>,
    /// The sender's network, of IPv4; the bits behind the prefix are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<InterfaceAddress>,
    /// The receiver's network, of IPv4; the bits behind the prefix are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<InterfaceAddress>,
    /// The sender's ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<PortRange>,
    /// The receiver's ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<PortRange>,
}

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("sctp", Protocol::Sctp),
];

impl Mark {
    pub(super) fn read(mut section: Section<'_>) -> Option<Written<'_, Self>> {
        let mark = section.required("mark", "give the mark of the packets, like 1", |node| {
            node.number(0, u32::MAX)
        });
        let rule = Self {
            mark: mark.unwrap_or(0),
            port: section.optional("port", |node| Ok(node.text()?.to_owned())),
            protocol: section.optional("protocol", |node| node.word(&PROTOCOLS)),
            source: section.optional("source", read_prefix),
            destination: section.optional("destination", read_prefix),
            source_ports: section.optional("source_ports", read_ports),
            destination_ports: section.optional("destination_ports", read_ports),
        };
        let at = section.table();
        section.finish();
        mark.map(|_| Written {
            value: rule,
            at,
            parts: Vec::new(),
        })
    }
}

/// A network of IPv4, or one address.
fn read_prefix(node: &Node) -> Result<InterfaceAddress, String> {
    let text = node.text()?;
    let prefix = if text.contains('/') {
        text.parse::<InterfaceAddress>()?
    } else {
        InterfaceAddress {
            address: parse_address(text)?,
            prefix_len: 32,
        }
    };
    if !prefix.address.is_ipv4() {
        return Err(format!(
            "\"{text}\" is of IPv6, whose packets are Linux's: give a network of IPv4"
        ));
    }
    let network = network_of(&prefix);
    if network != prefix.address {
        let len = prefix.prefix_len;
        return Err(format!(
            "\"{text}\" has bits behind its prefix: write {network}/{len}"
        ));
    }
    Ok(prefix)
}

/// A run of ports as text, or one as a number.
fn read_ports(node: &Node) -> Result<PortRange, String> {
    match node.value {
        Value::Integer(_) => {
            let port = node.number(1, u16::MAX)?;
            Ok(PortRange {
                first: port,
                last: port,
            })
        }
        _ => node.parsed(),
    }
}

fn protocol_name<S: Serializer>(
    protocol: &Option<Protocol>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    protocol.map(Protocol::name).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn a_rule_asks_for_what_it_says_and_nothing_else() {
        let text = "[[mark]]\nmark = 7\nport = \"wan\"\nprotocol = \"udp\"\n\
                    source = \"10.1.0.0/16\"\ndestination = \"10.2.0.9\"\n\
                    source_ports = \"1024-65535\"\ndestination_ports = 53\n\
                    [[mark]]\nmark = 4294967295\n";

        let config = config(text);

        let [full, any] = config.marks() else {
            panic!("there are two rules");
        };
        assert_eq!(
            *full,
            Mark {
                mark: 7,
                port: Some("wan".to_owned()),
                protocol: Some(Protocol::Udp),
                source: Some("10.1.0.0/16".parse().unwrap()),
                destination: Some("10.2.0.9/32".parse().unwrap()),
                source_ports: Some(PortRange::UNPRIVILEGED),
                destination_ports: Some("53".parse().unwrap()),
            }
        );
        assert_eq!((any.mark, &any.port, any.source), (u32::MAX, &None, None));
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        let found = refusals(
            "[[mark]]\nsource = \"10.1.0.9/24\"\ndestination = \"2001:db8::/32\"\n\
             protocol = \"gre\"\nsource_ports = 0\ndestination_ports = \"9-8\"\nmarks = 1\n\
             [[mark]]\nmark = -1\nsource = \"10.1.0/24\"\n",
        );

        assert_eq!(
            found,
            [
                "1: `mark` is missing: give the mark of the packets, like 1",
                "2: `source` \"10.1.0.9/24\" has bits behind its prefix: write 10.1.0.0/24",
                "3: `destination` \"2001:db8::/32\" is of IPv6, whose packets are Linux's: give a \
                 network of IPv4",
                "4: `protocol` \"gre\" is not known: what can stand here is tcp, udp, sctp",
                "5: `source_ports` 0 is below 1: give 1 to 65535",
                "6: `destination_ports` \"9-8\" is not a range of ports: write it like 1024-65535",
                "7: `marks` is not a key here: did you mean `mark`?",
                "9: `mark` -1 is below 0: give 0 to 4294967295",
                "10: `source` \"10.1.0\" is not an IP address: write it like 10.2.0.11 or \
                 2001:db8::11",
            ]
        );
    }
}
