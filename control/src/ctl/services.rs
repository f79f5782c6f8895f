//! Virtual services with their servers, as readers of `ipvsadm -Ln --stats` expect them.

use std::io::{self, Write};

use super::client::Client;
use super::configuration::write_json;
use super::failure::Failure;
use super::table::{Align, Table};
use super::{Console, Exit};
use crate::config::near;
use crate::view::{ServerView, ServiceView, TrafficView};

/// Columns of numbers, between what something is and what is to be said about it.
const NUMBERS: [&str; 8] = [
    "Weight",
    "ActiveConn",
    "InActConn",
    "Conns",
    "InPkts",
    "OutPkts",
    "InBytes",
    "OutBytes",
];

/// Shows all services, or the one that is `wanted`.
pub(super) fn show(
    client: &Client,
    wanted: Option<&str>,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let answer = client.get("/v1/status/services")?.accepted()?;
    let Some(wanted) = wanted else {
        if console.json {
            console.raw(&answer.body)?;
        } else {
            write(&answer.view::<Vec<_>>()?, console.out)?;
        }
        return Ok(Exit::Well);
    };
    let services: Vec<ServiceView> = answer.view()?;
    let found: Vec<_> = services
        .iter()
        .filter(|it| is_meant(it, wanted))
        .cloned()
        .collect();
    if found.is_empty() {
        return Err(Failure::Refused(vec![no_service(wanted, &services)]));
    }
    if console.json {
        write_json(&found, console)?;
    } else {
        write(&found, console.out)?;
    }
    Ok(Exit::Well)
}

/// Whether an operator may mean this service.
fn is_meant(service: &ServiceView, wanted: &str) -> bool {
    let vip = service.vip.map(|vip| vip.to_string());
    service.name.as_deref() == Some(wanted)
        || vip.as_deref() == Some(wanted)
        || service.key() == wanted
}

fn no_service(wanted: &str, services: &[ServiceView]) -> String {
    let names: Vec<_> = (services.iter())
        .map(|service| service.name.clone().unwrap_or_else(|| service.key()))
        .collect();
    let advice = near(wanted, &names, "sluicectl services");
    format!("there is no service \"{wanted}\": {advice}")
}

fn write(services: &[ServiceView], out: &mut dyn Write) -> io::Result<()> {
    if services.is_empty() {
        return writeln!(out, "No services.");
    }
    let numbers = NUMBERS.map(|_| Align::Right);
    let mut table = Table::new(
        [Align::Left; 2]
            .into_iter()
            .chain(numbers)
            .chain([Align::Left]),
    );
    table.row(["Prot Service".to_owned(), "Scheduler".to_owned()]);
    let heading = ["  -> Server", "Forward"].into_iter().chain(NUMBERS);
    table.row(heading.map(str::to_owned));
    for service in services {
        table.row(service_row(service));
        for server in &service.servers {
            table.row(server_row(server));
        }
    }
    table.write(out)
}

fn service_row(service: &ServiceView) -> Vec<String> {
    let sum = |number: fn(&ServerView) -> u32| -> u64 {
        service.servers.iter().map(|it| u64::from(number(it))).sum()
    };
    let mut row = vec![
        padded(&service.key()),
        service.scheduler.clone(),
        String::new(),
        sum(|server| server.active).to_string(),
        sum(|server| server.inactive).to_string(),
    ];
    row.extend(traffic_cells(&service.traffic));
    let persistent = service.persistent_seconds;
    let persistent = persistent.map(|seconds| format!("persistent {seconds} s"));
    let one_packet = service.one_packet.then(|| "one-packet".to_owned());
    let left_to_linux = (!service.forwarded).then(|| "IPv6: left to Linux".to_owned());
    let notes = [service.name.clone(), persistent, one_packet, left_to_linux];
    let notes: Vec<_> = notes.into_iter().flatten().collect();
    row.push(notes.join(", "));
    row
}

/// A service's key with the VIPs below each other: `tcp  10.1.0.100:80`.
fn padded(key: &str) -> String {
    let (kind, rest) = key.split_once(' ').unwrap_or((key, ""));
    format!("{kind:<4} {rest}")
}

fn server_row(server: &ServerView) -> Vec<String> {
    let mut row = vec![
        format!("  -> {}", server.address),
        server.method.clone(),
        server.weight.to_string(),
        server.active.to_string(),
        server.inactive.to_string(),
    ];
    row.extend(traffic_cells(&server.traffic));
    row.push(notes(server).join(", "));
    row
}

/// What is to be said about a server: its state, if it is not simply up, and why it has another
/// weight than is configured.
fn notes(server: &ServerView) -> Vec<String> {
    let state = server.state.as_deref().filter(|state| *state != "up");
    let is_less = server.available && server.weight != server.configured_weight;
    let weight = is_less.then(|| format!("of weight {}", server.configured_weight));
    let what = state.map(str::to_owned).or(weight);
    let why = server.reasons.join(", ");
    let stands = match (what, why.is_empty()) {
        (Some(what), true) => Some(what),
        (Some(what), false) => Some(format!("{what}: {why}")),
        (None, true) => None,
        (None, false) => Some(why),
    };
    let overloaded = server.overloaded.then(|| "overloaded".to_owned());
    let is_removed = !server.available && server.state.is_none();
    let removed = is_removed.then(|| "removed, its last sessions end".to_owned());
    stands
        .into_iter()
        .chain(overloaded)
        .chain(removed)
        .collect()
}

fn traffic_cells(traffic: &TrafficView) -> [String; 5] {
    [
        traffic.sessions,
        traffic.in_packets,
        traffic.out_packets,
        traffic.in_bytes,
        traffic.out_bytes,
    ]
    .map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(sessions: u64) -> TrafficView {
        TrafficView {
            sessions,
            in_packets: sessions * 10,
            in_bytes: sessions * 600,
            out_packets: sessions * 8,
            out_bytes: sessions * 100_000,
        }
    }

    fn server(address: &str, method: &str) -> ServerView {
        ServerView {
            address: address.parse().unwrap(),
            method: method.to_owned(),
            weight: 1,
            configured_weight: 1,
            state: None,
            reasons: Vec::new(),
            active: 3,
            inactive: 20,
            persistent: 0,
            overloaded: false,
            available: true,
            traffic: traffic(1_234),
        }
    }

    fn rendered(services: &[ServiceView]) -> String {
        let mut out = Vec::new();
        write(services, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn servers_stand_indented_under_their_service() {
        let services = [
            ServiceView {
                name: Some("web".to_owned()),
                protocol: Some("tcp".to_owned()),
                vip: "10.1.0.100:80".parse().ok(),
                mark: None,
                family: None,
                scheduler: "wlc".to_owned(),
                scheduler_lock_waits: 0,
                persistent_seconds: None,
                one_packet: false,
                forwarded: true,
                traffic: traffic(2_468),
                servers: vec![
                    server("10.2.0.11:8080", "fullnat"),
                    ServerView {
                        overloaded: true,
                        available: false,
                        ..server("10.2.0.12:80", "nat")
                    },
                ],
            },
            ServiceView {
                name: None,
                protocol: Some("sctp".to_owned()),
                vip: "[2001:db8::1]:53".parse().ok(),
                mark: None,
                family: None,
                scheduler: "mh".to_owned(),
                scheduler_lock_waits: 0,
                persistent_seconds: None,
                one_packet: false,
                forwarded: false,
                traffic: traffic(0),
                servers: vec![],
            },
            ServiceView {
                name: Some("cache".to_owned()),
                protocol: None,
                vip: None,
                mark: Some(3),
                family: None,
                scheduler: "lblc".to_owned(),
                scheduler_lock_waits: 0,
                persistent_seconds: Some(300),
                one_packet: true,
                forwarded: true,
                traffic: traffic(0),
                servers: vec![],
            },
        ];

        let expected = "\
Prot Service           Scheduler
  -> Server            Forward    Weight  ActiveConn  InActConn  Conns  InPkts  OutPkts  InBytes   OutBytes
tcp  10.1.0.100:80     wlc                         6         40   2468   24680    19744  1480800  246800000  web
  -> 10.2.0.11:8080    fullnat         1           3         20   1234   12340     9872   740400  123400000
  -> 10.2.0.12:80      nat             1           3         20   1234   12340     9872   740400  123400000  overloaded, removed, its last sessions end
sctp [2001:db8::1]:53  mh                          0          0      0       0        0        0          0  IPv6: left to Linux
mark 3                 lblc                        0          0      0       0        0        0          0  cache, persistent 300 s, one-packet
";
        assert_eq!(rendered(&services), expected);
    }

    #[test]
    fn a_gateway_without_services_says_so() {
        assert_eq!(rendered(&[]), "No services.\n");
    }
}
