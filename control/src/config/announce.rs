//! Which VIPs routers are told of, and where routing daemons find them.
//!
//! The gateway speaks no routing protocol. It fills a routing table of Linux that nothing is
//! forwarded by, and BIRD or FRR tells routers what is in there.

use serde::Serialize;

use super::document::Node;
use super::gateway::RouteTable;
use super::section::Section;

/// The table of Linux's own addresses, which `ip route` calls `local`.
const LOCAL_TABLE: u32 = 255;

/// When a VIP is announced that several services have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Announce {
    /// While one of its services has quorum.
    #[default]
    Any,
    /// While all of its services have quorum.
    All,
}

/// The table that the gateway fills, by its number; Linux's own and those it forwards by are
/// refused.
pub(super) fn read_table(section: &mut Section<'_>, route_tables: &[RouteTable]) -> Option<u32> {
    let line = section.table().line_of("announce_table");
    let table = section.optional("announce_table", |node| {
        let table = node.number(1, u32::MAX)?;
        let name = match table {
            253 => "default",
            254 => "main",
            LOCAL_TABLE => "local",
            _ => return Ok(table),
        };
        Err(format!(
            "{table} is Linux's own table `{name}`, which it forwards by: give the number of one \
             that nobody uses, like 201"
        ))
    })?;
    if route_tables.contains(&RouteTable(table)) {
        let message = format!(
            "`announce_table` {table} is one of `route_tables`, whose routes Linux forwards by: \
             give the number of one that nobody uses"
        );
        section.refuse(line, &message);
        return None;
    }
    Some(table)
}

pub(super) fn read(node: &Node) -> Result<Announce, String> {
    node.word(&[("any", Announce::Any), ("all", Announce::All)])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn nothing_is_announced_unless_a_table_is_named() {
        let config = config("");

        assert_eq!(config.gateway().announce_table, None);
        assert_eq!(config.gateway().announce, Announce::Any);
    }

    #[test]
    fn a_table_of_ones_own_and_the_rule_are_read() {
        let config = config("[gateway]\nannounce_table = 201\nannounce = \"all\"\n");

        assert_eq!(config.gateway().announce_table, Some(201));
        assert_eq!(config.gateway().announce, Announce::All);
    }

    #[test]
    fn tables_that_linux_forwards_by_are_refused() {
        for (text, sentence) in [
            (
                "announce_table = 254",
                "2: `announce_table` 254 is Linux's own table `main`, which it forwards by: give \
                 the number of one that nobody uses, like 201",
            ),
            (
                "announce_table = 255",
                "2: `announce_table` 255 is Linux's own table `local`, which it forwards by: give \
                 the number of one that nobody uses, like 201",
            ),
            (
                "announce_table = 0",
                "2: `announce_table` 0 is below 1: give 1 to 4294967295",
            ),
            (
                "announce_table = 77\nroute_tables = [\"main\", 77]",
                "2: `announce_table` 77 is one of `route_tables`, whose routes Linux forwards by: \
                 give the number of one that nobody uses",
            ),
            (
                "announce = \"some\"",
                "2: `announce` \"some\" is not known: what can stand here is any, all",
            ),
        ] {
            assert_eq!(refusals(&format!("[gateway]\n{text}\n")), [sentence]);
        }
    }
}
