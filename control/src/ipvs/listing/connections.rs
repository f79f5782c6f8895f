//! `-Lc`: sessions and persistence templates.

use std::fmt::Write;
use std::net::IpAddr;

use dataplane::address::{Endpoint, Protocol};
use dataplane::persistence::TemplateRecord;
use dataplane::session::SessionRecord;
use dataplane::time::TICKS_PER_SECOND;

use super::naming::Naming;

/// A session or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// The transport; none for a template of a mark, whose protocol is `IP`.
    pub protocol: Option<Protocol>,
    /// Whole seconds until it ends.
    pub expires_seconds: u32,
    /// Its state's name.
    pub state: &'static str,
    /// The client; of a template the masked address, and port 0.
    pub client: Endpoint<IpAddr>,
    /// The VIP; of a template of a mark, the mark as if it were one.
    pub vip: Endpoint<IpAddr>,
    /// The real server.
    pub server: Endpoint<IpAddr>,
}

impl From<&SessionRecord> for ConnectionRow {
    fn from(record: &SessionRecord) -> Self {
        Self {
            protocol: Some(record.protocol),
            expires_seconds: record.expires_in_ticks / TICKS_PER_SECOND,
            state: record.state.name(),
            client: record.client,
            vip: record.vip,
            server: record.server,
        }
    }
}

impl From<&TemplateRecord> for ConnectionRow {
    fn from(record: &TemplateRecord) -> Self {
        Self {
            protocol: Protocol::from_number(record.protocol),
            expires_seconds: record.expires_in_ticks / TICKS_PER_SECOND,
            state: if record.is_assured { "ASSURED" } else { "NONE" },
            client: Endpoint::new(record.client, 0),
            vip: record.virtual_endpoint,
            server: record.server,
        }
    }
}

/// The listing, with the columns of persistence engines if `engines`: no session has one.
#[must_use]
pub fn connections(rows: &[ConnectionRow], engines: bool, naming: Naming<'_>) -> String {
    let mut text = "IPVS connection entries\n\
                    pro expire state       source             virtual            destination"
        .to_owned();
    text.push_str(if engines {
        "        pe name          pe_data\n"
    } else {
        "\n"
    });
    for row in rows {
        let protocol = row.protocol.map_or("IP", |protocol| match protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        });
        let (minutes, seconds) = (row.expires_seconds / 60, row.expires_seconds % 60);
        let expires = format!("{minutes:02}:{seconds:02}");
        let [client, vip, server] =
            [row.client, row.vip, row.server].map(|it| naming.endpoint(it, row.protocol));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{protocol:<3} {expires:<6} {:<11} {client:<18} {vip:<18} {server}",
            row.state
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use dataplane::id::ServerSlot;

    use super::*;

    fn at(text: &str) -> Endpoint<IpAddr> {
        let it: SocketAddr = text.parse().unwrap();
        Endpoint::new(it.ip(), it.port())
    }

    fn row(
        protocol: Option<Protocol>,
        expires_seconds: u32,
        state: &'static str,
        [client, vip, server]: [&str; 3],
    ) -> ConnectionRow {
        ConnectionRow {
            protocol,
            expires_seconds,
            state,
            client: at(client),
            vip: at(vip),
            server: at(server),
        }
    }

    #[test]
    fn connections_are_listed_as_the_kernels_were() {
        let (tcp, udp) = (Some(Protocol::Tcp), Some(Protocol::Udp));
        let rows = [
            row(
                tcp,
                288,
                "ASSURED",
                ["192.168.0.1:0", "10.1.0.100:81", "10.2.0.11:81"],
            ),
            row(
                tcp,
                897,
                "ESTABLISHED",
                ["192.168.0.1:1005", "10.1.0.100:80", "10.2.0.11:8080"],
            ),
            row(
                udp,
                291,
                "UDP",
                ["192.168.0.1:1002", "10.1.0.100:53", "10.2.0.11:53"],
            ),
            row(
                tcp,
                60,
                "SYN_RECV",
                [
                    "[2001:db8:9::1]:1000",
                    "[2001:db8:1::100]:83",
                    "10.2.0.11:83",
                ],
            ),
        ];

        let expected = "\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 04:48  ASSURED     192.168.0.1:0      10.1.0.100:81      10.2.0.11:81
TCP 14:57  ESTABLISHED 192.168.0.1:1005   10.1.0.100:80      10.2.0.11:8080
UDP 04:51  UDP         192.168.0.1:1002   10.1.0.100:53      10.2.0.11:53
TCP 01:00  SYN_RECV    [2001:db8:9::1]:1000 [2001:db8:1::100]:83 10.2.0.11:83
";
        assert_eq!(connections(&rows, false, Naming::NUMERIC), expected);
    }

    #[test]
    fn a_template_is_listed_with_its_clients_masked_address_and_port_0() {
        let of_a_port = TemplateRecord {
            protocol: 6,
            client: at("192.168.0.0:0").addr,
            virtual_endpoint: at("10.1.0.100:80"),
            server: at("10.2.0.11:8080"),
            server_slot: ServerSlot(0),
            expires_in_ticks: 300 * TICKS_PER_SECOND - 1,
            is_assured: true,
            children: 2,
        };
        let of_a_mark = TemplateRecord {
            protocol: 0,
            virtual_endpoint: at("0.0.0.7:0"),
            server: at("10.2.0.11:0"),
            is_assured: false,
            ..of_a_port.clone()
        };

        let rows = [&of_a_port, &of_a_mark].map(ConnectionRow::from);

        let expected = "\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 04:59  ASSURED     192.168.0.0:0      10.1.0.100:80      10.2.0.11:8080
IP  04:59  NONE        192.168.0.0:0      0.0.0.7:0          10.2.0.11:0
";
        assert_eq!(connections(&rows, false, Naming::NUMERIC), expected);
    }

    #[test]
    fn minutes_are_not_limited_to_two_digits() {
        let ends = ["192.168.0.1:0", "0.0.0.5:0", "10.2.0.11:0"];

        let text = connections(&[row(None, 2_678_400, "NONE", ends)], true, Naming::NUMERIC);

        let expected = "\
IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
IP  44640:00 NONE        192.168.0.1:0      0.0.0.5:0          10.2.0.11:0
";
        assert_eq!(text, expected);
    }
}
