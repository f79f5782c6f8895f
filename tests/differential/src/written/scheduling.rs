//! Every scheduler with every method over TCP and UDP, and what edits do to it.

use dataplane::address::{Endpoint, Protocol};
use dataplane::testing::{tcp, udp};

use crate::draft::{Draft, VIP, client, server};

use super::Written;
use super::talk::{ACK, FIN, METHODS, Method, NAT, RST, SYN, Talk, serve, serve_tcp, serve_udp};

/// Every scheduler with its flags, but for `twos`, which draws.
const SCHEDULERS: [&str; 19] = [
    "-s rr",
    "-s wrr",
    "-s lc",
    "-s wlc",
    "-s sed",
    "-s nq",
    "-s fo",
    "-s ovf",
    "-s dh",
    "-s lblc",
    "-s lblcr",
    "-s sh",
    "-s sh -b sh-port",
    "-s sh -b sh-fallback",
    "-s sh -b sh-fallback,sh-port",
    "-s mh",
    "-s mh -b mh-port",
    "-s mh -b mh-fallback",
    "-s mh -b mh-fallback,mh-port",
];

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            all.push(schedulers(method, protocol));
        }
        all.push(thresholds(method));
    }
    all.extend([
        edits(),
        edits_of_nothing(),
        heavy(),
        threshold_edits(),
        two_choices(),
        nobody(),
        changes_scheduler(),
    ]);
    all
}

/// The services of all schedulers: port 1001 and so on.
fn services(draft: &mut Draft, method: Method, protocol: Protocol, weights: &[u32]) -> Vec<String> {
    let option = if protocol == Protocol::Tcp {
        "-t"
    } else {
        "-u"
    };
    let names = (1_001..).zip(SCHEDULERS);
    names
        .map(|(port, scheduler)| {
            let name = format!("{option} {VIP}:{port}");
            serve(draft, &name, scheduler, method, weights);
            name
        })
        .collect()
}

/// New clients from `first` on for every service.
fn round(draft: &mut Draft, protocol: Protocol, first: u8, count: u8) {
    for number in first..first + count {
        for port in (1_001..).take(SCHEDULERS.len()) {
            let service = Endpoint::new(VIP, port);
            let client = client(number, 20_000 + u16::from(number));
            match protocol {
                Protocol::Tcp => draft.from_client(tcp().syn().from(client).to(service)),
                _ => draft.from_client(udp().payload(b"hi").from(client).to(service)),
            };
        }
    }
}

fn schedulers(method: Method, protocol: Protocol) -> Written {
    let mut draft = Draft::new(format!("schedulers-{protocol}-{}", method.name));
    services(&mut draft, method, protocol, &[1, 2, 3]);
    round(&mut draft, protocol, 1, 9);
    draft.dump("after nine clients");
    if protocol == Protocol::Tcp {
        // Some become inactive, which the counting schedulers see.
        for port in (1_001..).take(SCHEDULERS.len()) {
            for number in [1, 4, 5] {
                let talk = Talk {
                    client: client(number, 20_000 + u16::from(number)),
                    ..Talk::new(method, number).on_port(port)
                };
                talk.ask_tcp(&mut draft, ACK);
                talk.ask_tcp(&mut draft, FIN);
            }
        }
        draft.dump("three have closed");
    }
    round(&mut draft, protocol, 10, 5);
    Written::new(
        draft,
        "Every scheduler and its flags, with three servers of weights 1, 2 and 3.",
    )
}

fn heavy() -> Written {
    let mut draft = Draft::new("schedulers-heavy");
    let weights = [65_535, 65_536, 196_608, i32::MAX.unsigned_abs()];
    let services = services(&mut draft, NAT, Protocol::Tcp, &weights);
    round(&mut draft, Protocol::Tcp, 1, 6);
    draft.dump("the fourth weighs most");
    for name in &services {
        let port = name.rsplit_once(':').map_or("", |(_, port)| port);
        draft.ipvsadm(format!("-e {name} -r 10.2.0.14:{port} -m -w 131072"));
        draft.ipvsadm(format!("-e {name} -r 10.2.0.11:{port} -m -w 65536"));
    }
    draft.tick();
    round(&mut draft, Protocol::Tcp, 7, 9);
    draft
        .dump("weights of 1, 1, 3 and 2 times 65,536")
        .ipvsadm("-e -t 10.1.0.100:1001 -r 10.2.0.11:1001 -m -w 2147483648")
        .ipvsadm("-e -t 10.1.0.100:1001 -r 10.2.0.11:1001 -m -w -1");
    Written::new(
        draft,
        "Every scheduler with weights above 65,535, which ipvsadm takes up to 2,147,483,647.",
    )
}

fn edits() -> Written {
    let mut draft = Draft::new("schedulers-edits");
    let services = services(&mut draft, NAT, Protocol::Tcp, &[1, 2, 3]);
    round(&mut draft, Protocol::Tcp, 1, 4);
    let port = |name: &str| {
        name.rsplit_once(':')
            .map_or(String::new(), |(_, port)| port.to_owned())
    };
    let steps: [&dyn Fn(&str) -> String; 5] = [
        &|name| format!("-e {name} -r 10.2.0.12:{} -m -w 0", port(name)),
        &|name| format!("-a {name} -r 10.2.0.14:{} -m -w 2", port(name)),
        &|name| format!("-d {name} -r 10.2.0.13:{}", port(name)),
        &|name| format!("-e {name} -r 10.2.0.12:{} -m -w 5", port(name)),
        &|name| format!("-a {name} -r 10.2.0.13:{} -m -w 1", port(name)),
    ];
    for (step, first) in steps.iter().zip([5, 9, 13, 17, 21]) {
        for name in &services {
            draft.ipvsadm(step(name));
        }
        draft.tick();
        round(&mut draft, Protocol::Tcp, first, 4);
        draft.dump("after an edit");
    }
    Written::new(
        draft,
        "Every scheduler while servers rest, come, go, wake up and come back.",
    )
}

fn edits_of_nothing() -> Written {
    let mut draft = Draft::new("schedulers-edits-of-nothing");
    let services = services(&mut draft, NAT, Protocol::Tcp, &[1, 2, 3]);
    for (first, count) in [(1, 1), (2, 2), (4, 3), (7, 4)] {
        round(&mut draft, Protocol::Tcp, first, count);
        for name in &services {
            let port = name.rsplit_once(':').map_or("", |(_, port)| port);
            draft.ipvsadm(format!("-e {name} -r 10.2.0.12:{port} -m -w 2"));
        }
        draft.tick();
    }
    draft.dump("after ten clients");
    for (name, scheduler) in services.iter().zip(SCHEDULERS) {
        draft.ipvsadm(format!("-E {name} {scheduler}"));
    }
    round(&mut draft, Protocol::Tcp, 11, 2);
    Written::new(
        draft,
        "Every scheduler after edits that change nothing: wrr begins a new pass all the same.",
    )
}

fn thresholds(method: Method) -> Written {
    let mut draft = Draft::new(format!("thresholds-{}", method.name));
    draft.rule("-A -t 10.1.0.100:80 -s rr");
    for (number, limits) in [(0, "-x 2 -y 1"), (1, "-x 4"), (2, "-x 4 -y 2")] {
        let (server, option) = (server(number), method.option);
        draft.rule(format!(
            "-a -t 10.1.0.100:80 -r {server}:80 {option} {limits}"
        ));
    }
    for number in 1..=12 {
        Talk::new(method, number).ask_tcp(&mut draft, SYN);
    }
    draft.dump("all are full").ipvsadm("-Ln --thresholds");
    // CLOSE lasts 10 s, so sessions end and servers take new ones.
    for number in 1..=8 {
        let talk = Talk::new(method, number);
        talk.ask_tcp(&mut draft, ACK);
        talk.ask_tcp(&mut draft, RST);
    }
    draft.wait(15).dump("eight have ended");
    for number in 21..=30 {
        Talk::new(method, number).ask_tcp(&mut draft, SYN);
    }
    draft.dump("ten more clients");
    Written::new(
        draft,
        "Upper and lower thresholds: sessions that count, and when a server takes new ones again.",
    )
}

fn threshold_edits() -> Written {
    let mut draft = Draft::new("threshold-edits");
    serve_udp(&mut draft, "-s wlc", NAT, &[1, 1]);
    for number in 1..=6 {
        Talk::new(NAT, number).exchange_udp(&mut draft);
    }
    let limits = ["-x 3", "-x 3 -y 2", "-x 5 -y 5", "-x 4 -y 1", ""];
    for (limits, first) in limits.into_iter().zip([10, 20, 30, 40, 50]) {
        let edit = format!("-e -u 10.1.0.100:80 -r 10.2.0.11:80 -m {limits}");
        draft.ipvsadm(edit.trim_end());
        for number in first..first + 4 {
            Talk::new(NAT, number).ask(&mut draft, udp());
        }
        draft.dump("after an edit");
    }
    Written::new(
        draft,
        "Thresholds that are changed while there are sessions.",
    )
}

fn two_choices() -> Written {
    let mut draft = Draft::new("schedulers-twos");
    serve_udp(&mut draft, "-s twos", NAT, &[1, 2, 3]);
    for number in 1..=200 {
        Talk::new(NAT, number).ask(&mut draft, udp());
    }
    Written::new(
        draft,
        "The scheduler twos draws at random, so it is compared by distribution.",
    )
}

fn nobody() -> Written {
    let mut draft = Draft::new("no-server");
    draft
        .rule("-A -t 10.1.0.100:80 -s rr")
        .rule("-A -u 10.1.0.100:80 -s wlc");
    serve(&mut draft, "-t 10.1.0.100:81", "-s rr", NAT, &[0, 0]);
    let talk = Talk::new(NAT, 1);
    talk.ask_tcp(&mut draft, SYN);
    talk.ask(&mut draft, udp().payload_len(900));
    talk.on_port(81).ask_tcp(&mut draft, SYN);
    talk.on_port(82).ask_tcp(&mut draft, SYN);
    talk.on_port(82).ask(&mut draft, udp());
    talk.ask(&mut draft, tcp().syn().tos(0xb8));
    Written::new(
        draft,
        "Without a server to take it, a client is told that the port is unreachable, over TCP too.",
    )
}

fn changes_scheduler() -> Written {
    let mut draft = Draft::new("scheduler-changed");
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 2, 3]);
    for (scheduler, first) in SCHEDULERS.iter().zip((1_u8..).step_by(6)) {
        draft.ipvsadm(format!("-E -t 10.1.0.100:80 {scheduler}"));
        for number in first..first + 6 {
            Talk::new(NAT, number).ask_tcp(&mut draft, SYN);
        }
    }
    Written::new(
        draft,
        "A service whose scheduler is changed while it has sessions.",
    )
}
