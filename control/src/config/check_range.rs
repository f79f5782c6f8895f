//! `[health]`: where checks go that take the traffic's way, to the VIP on a server.

use serde::Serialize;

use super::document::Node;
use super::network::parse_interface_name;
use super::section::Section;
use crate::health::check_path::CheckRange;

/// The interface to which check addresses are routed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckInterface {
    /// The addresses that stand for servers by DR and TUN; without them there is no interface.
    #[serde(rename = "check_addresses", skip_serializing_if = "Option::is_none")]
    pub range: Option<CheckRange>,
    /// Its name in Linux.
    #[serde(rename = "check_interface")]
    pub name: String,
}

impl Default for CheckInterface {
    fn default() -> Self {
        Self {
            range: None,
            name: "sluice-check".to_owned(),
        }
    }
}

impl CheckInterface {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let interface = Self {
            range: section.optional("check_addresses", Node::parsed),
            name: section.or("check_interface", default.name, |node| {
                parse_interface_name(node.text()?)
            }),
        };
        section.finish();
        interface
    }

    /// Whether nothing is said of it.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn without_addresses_there_is_none() {
        assert_eq!(config("").check_interface(), &CheckInterface::default());
        assert_eq!(config("").check_interface().range, None);
        let text = config("").to_toml().unwrap();
        assert!(!text.contains("[health]"), "{text}");
    }

    #[test]
    fn both_keys_are_read_and_written() {
        let text = "[health]\ncheck_addresses = \"198.18.0.0/20\"\ncheck_interface = \"probes\"\n";

        let read = config(text);

        let CheckInterface { range, name } = read.check_interface();
        assert_eq!(
            range.map(|it| it.to_string()).as_deref(),
            Some("198.18.0.0/20")
        );
        assert_eq!(name, "probes");
        let written = read.to_toml().unwrap();
        assert!(written.contains(text), "{written}");
    }

    #[test]
    fn a_range_is_a_network_of_ipv4_with_room_for_a_server() {
        for (value, sentence) in [
            (
                "198.18.0.0",
                "\"198.18.0.0\" has no prefix length: write it like 198.18.0.0/20",
            ),
            (
                "198.18.0.1/20",
                "\"198.18.0.1/20\" has bits behind its prefix: write 198.18.0.0/20",
            ),
            (
                "198.18.0.0/31",
                "\"198.18.0.0/31\" has a wrong prefix length: give 8 to 30 after the /",
            ),
            (
                "2001:db8::/64",
                "\"2001:db8::/64\" is not a network of IPv4: write it like 198.18.0.0/20",
            ),
        ] {
            assert_eq!(
                refusals(&format!("[health]\ncheck_addresses = \"{value}\"\n")),
                [format!("2: `check_addresses` {sentence}")]
            );
        }
    }
}
