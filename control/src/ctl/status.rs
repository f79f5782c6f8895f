//! The gateway as a whole, its health and its version.

use std::io::{self, Write};

use anstyle::AnsiColor;
use axum::http::StatusCode;

use super::client::Client;
use super::failure::Failure;
use super::table::{Table, or_dash};
use super::{Console, Exit, paint};
use crate::view::{
    DropView, HealthView, InterfaceView, LocalAddressView, StatusView, VersionView, WorkerView,
};

pub(super) fn show_status(client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let answer = client.get("/v1/status")?.accepted()?;
    if console.json {
        console.raw(&answer.body)?;
    } else {
        write(&answer.view()?, console.colour.out, console.out)?;
    }
    Ok(Exit::Well)
}

pub(super) fn show_health(client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut answer = client.get("/v1/health")?;
    // The gateway has answered, even if the answer is no.
    if answer.status != StatusCode::SERVICE_UNAVAILABLE {
        answer = answer.accepted()?;
    }
    let health: HealthView = answer.view()?;
    if console.json {
        console.raw(&answer.body)?;
    } else if health.healthy {
        let word = paint(console.colour.out, AnsiColor::Green, "healthy");
        writeln!(console.out, "{word}")?;
    } else {
        let word = paint(console.colour.out, AnsiColor::Red, "not healthy");
        writeln!(console.out, "{word}")?;
        for problem in &health.problems {
            writeln!(console.out, "  {problem}")?;
        }
    }
    if !console.json {
        super::health::show(client, None, console)?;
    }
    Ok(if health.healthy { Exit::Well } else { Exit::No })
}

pub(super) fn show_version(client: &Client, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if !console.json {
        // This much is known without a gateway.
        writeln!(console.out, "sluicectl {}", super::version())?;
    }
    let answer = client.get("/v1/version")?.accepted()?;
    if console.json {
        console.raw(&answer.body)?;
    } else {
        let VersionView { version, dpdk } = answer.view()?;
        writeln!(console.out, "sluice {version}, DPDK {dpdk}")?;
    }
    Ok(Exit::Well)
}

fn write(status: &StatusView, in_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "sluice {}, DPDK {}, up {}, generation {}",
        status.version,
        status.dpdk,
        duration(status.uptime_seconds),
        status.generation,
    )?;
    writeln!(
        out,
        "Services {}, real servers {}, sessions {}",
        status.services, status.servers, status.sessions,
    )?;
    // What an operator has to do comes before what is as it should be.
    let word = paint(in_colour, AnsiColor::Yellow, "warning:");
    for warning in &status.warnings {
        writeln!(out, "{word} {warning}")?;
    }
    write_part(workers(&status.workers), out)?;
    write_part(interfaces(&status.interfaces), out)?;
    if !status.local_addresses.is_empty() {
        write_part(local_addresses(&status.local_addresses), out)?;
    }
    if !status.drops.is_empty() {
        write_part(drops(&status.drops), out)?;
    }
    Ok(())
}

fn write_part(mut table: Table, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    table.write(out)
}

fn workers(workers: &[WorkerView]) -> Table {
    let mut table = Table::headed([
        ">Worker",
        ">Core",
        ">Generation",
        ">Sessions",
        ">Capacity",
        ">RxPkts",
        ">TxPkts",
        ">Hits",
        ">Created",
        ">WrongWorker",
        ">Punted",
        ">Dropped",
    ]);
    for worker in workers {
        table.row([
            worker.id.to_string(),
            or_dash(worker.core),
            worker.generation.to_string(),
            worker.sessions.to_string(),
            worker.session_capacity.to_string(),
            worker.received_packets.to_string(),
            worker.transmitted_packets.to_string(),
            worker.session_hits.to_string(),
            worker.sessions_created.to_string(),
            worker.arrived_at_wrong_worker.to_string(),
            worker.punted_packets.to_string(),
            worker.dropped_packets.to_string(),
        ]);
    }
    table
}

fn interfaces(interfaces: &[InterfaceView]) -> Table {
    let mut table = Table::headed([
        "Interface",
        ">VLAN",
        "Twin",
        "MAC",
        ">MTU",
        "Device",
        "Addresses",
    ]);
    for interface in interfaces {
        table.row([
            interface.name.clone(),
            or_dash(interface.vlan),
            interface.twin.clone(),
            interface.mac.clone(),
            interface.mtu.to_string(),
            interface.device.clone(),
            interface.addresses.join(" "),
        ]);
    }
    table
}

fn local_addresses(addresses: &[LocalAddressView]) -> Table {
    let mut table = Table::headed(["Local address", ">Sessions", ">Capacity"]);
    for local in addresses {
        table.row([
            local.address.to_string(),
            local.in_use.to_string(),
            local.capacity.to_string(),
        ]);
    }
    table
}

fn drops(drops: &[DropView]) -> Table {
    let mut table = Table::headed([">Dropped", "Reason", "Meaning"]);
    for drop in drops {
        table.row([
            drop.packets.to_string(),
            drop.reason.clone(),
            drop.meaning.clone(),
        ]);
    }
    table
}

/// The two largest units of a duration.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::TemplatesView;

    fn status() -> StatusView {
        StatusView {
            version: "0.1.0 (abc)".to_owned(),
            dpdk: "22.11.7".to_owned(),
            uptime_seconds: 93_784,
            generation: 12,
            services: 4,
            servers: 12,
            sessions: 1_000,
            workers: vec![WorkerView {
                id: 0,
                core: Some(2),
                generation: 12,
                sessions: 1_000,
                session_capacity: 1_000_000,
                received_packets: 123_456_789,
                transmitted_packets: 123_000_000,
                session_hits: 5,
                sessions_created: 6,
                arrived_at_wrong_worker: 7,
                punted_packets: 8,
                dropped_packets: 9,
            }],
            interfaces: vec![InterfaceView {
                name: "wan".to_owned(),
                device: "0000:3b:00.0".to_owned(),
                vlan: None,
                twin: "sl-wan".to_owned(),
                mac: "02:00:00:01:00:01".to_owned(),
                mtu: 1_500,
                addresses: vec!["10.1.0.1/24".to_owned(), "10.1.0.100/32".to_owned()],
            }],
            local_addresses: vec![LocalAddressView {
                address: "10.2.0.200".parse().unwrap(),
                pool: "lips".to_owned(),
                in_use: 5,
                capacity: 64_000,
            }],
            templates: TemplatesView::default(),
            drops: vec![DropView {
                reason: "no_route".to_owned(),
                meaning: "Linux has no route to the next hop.".to_owned(),
                packets: 9,
            }],
            warnings: vec!["ip_forward is 0: sysctl -w net.ipv4.ip_forward=1".to_owned()],
        }
    }

    fn rendered(status: &StatusView) -> String {
        let mut out = Vec::new();
        write(status, false, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_status_says_first_what_should_be_mended() {
        let expected = "\
sluice 0.1.0 (abc), DPDK 22.11.7, up 1d 2h, generation 12
Services 4, real servers 12, sessions 1000
warning: ip_forward is 0: sysctl -w net.ipv4.ip_forward=1

Worker  Core  Generation  Sessions  Capacity     RxPkts     TxPkts  Hits  Created  WrongWorker  Punted  Dropped
     0     2          12      1000   1000000  123456789  123000000     5        6            7       8        9

Interface  VLAN  Twin    MAC                 MTU  Device        Addresses
wan           -  sl-wan  02:00:00:01:00:01  1500  0000:3b:00.0  10.1.0.1/24 10.1.0.100/32

Local address  Sessions  Capacity
10.2.0.200            5     64000

Dropped  Reason    Meaning
      9  no_route  Linux has no route to the next hop.
";
        assert_eq!(rendered(&status()), expected);
    }

    #[test]
    fn parts_with_nothing_to_say_are_left_out() {
        let status = StatusView {
            local_addresses: vec![],
            drops: vec![],
            ..status()
        };

        let text = rendered(&status);

        assert!(
            !text.contains("Local address") && !text.contains("Reason"),
            "{text}"
        );
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        assert_eq!(
            [59, 61, 3_661, 90_000].map(duration),
            ["59s", "1m 1s", "1h 1m", "1d 1h"]
        );
    }
}
