//! The kernel's side itself: what scenarios stand on must stand.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here ends the test"
)]

use std::io::Write;
use std::time::Duration;

use dataplane::testing::{
    CLIENT, CLIENT_MAC, GATEWAY_MAC, GATEWAY_SERVER_MAC, RIP_1, RIP_1_MAC, VIP, tcp,
};
use differential::kernel::{Kernel, Unusable};
use differential::outcome::Outcome;
use differential::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

/// The kernel, or nothing where none is installed, which is said loudly.
fn kernel(test: &str) -> Option<Kernel> {
    match Kernel::find() {
        Ok(kernel) => Some(kernel),
        Err(missing @ Unusable::Missing) => {
            let may_skip = std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1");
            assert!(may_skip, "{test} may not be skipped here: {missing}");
            // Not by `eprintln!`, whose output the test runner hides when a test passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {missing}");
            None
        }
        Err(unusable) => panic!("{unusable}"),
    }
}

/// A director between the client and one server, with one service.
fn scenario(name: &str, play: Vec<PlayLine>) -> Scenario {
    let interface = |name: &str, addresses: &[&str], mac: String| NetLine::Interface {
        name: name.to_owned(),
        addresses: addresses
            .iter()
            .map(|address| (*address).to_owned())
            .collect(),
        mac: Some(mac),
        mtu: None,
    };
    let neighbour = |address: String, mac: String, interface: &str| NetLine::Neighbour {
        address,
        mac,
        interface: interface.to_owned(),
    };
    Scenario {
        name: name.to_owned(),
        net: vec![
            interface(
                "eth0",
                &["10.1.0.1/24", "10.1.0.100/32"],
                GATEWAY_MAC.to_string(),
            ),
            interface("eth1", &["10.2.0.1/24"], GATEWAY_SERVER_MAC.to_string()),
            neighbour(CLIENT.addr.to_string(), CLIENT_MAC.to_string(), "eth0"),
            neighbour(RIP_1.addr.to_string(), RIP_1_MAC.to_string(), "eth1"),
        ],
        ipvs: vec![
            IpvsLine::Rule("-A -t 10.1.0.100:80 -s rr".to_owned()),
            IpvsLine::Rule("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m -w 3 -x 9".to_owned()),
        ],
        play,
        ..Scenario::default()
    }
}

fn arrives(interface: &str, frame: Vec<u8>) -> PlayLine {
    PlayLine::Packet {
        interface: interface.to_owned(),
        frame,
    }
}

fn shell(command: &str) -> PlayLine {
    PlayLine::Shell(command.to_owned())
}

fn syn() -> PlayLine {
    let frame = tcp().from(CLIENT).to(VIP).ttl(64).syn().build();
    arrives("eth0", frame)
}

fn play(kernel: &Kernel, scenarios: &[Scenario]) -> Vec<Outcome> {
    let outcomes = kernel.play(scenarios).expect("the kernel plays");
    assert_eq!(outcomes.len(), scenarios.len());
    outcomes
}

#[test]
fn a_connection_is_forwarded_both_ways_and_listed() {
    let Some(kernel) = kernel("a_connection_is_forwarded_both_ways_and_listed") else {
        return;
    };
    let answer = tcp()
        .eth_from(RIP_1_MAC)
        .eth_to(GATEWAY_SERVER_MAC)
        .from(RIP_1)
        .to(CLIENT)
        .ttl(64)
        .syn_ack();
    let given = scenario("nat", vec![syn(), arrives("eth1", answer.build())]);

    let outcomes = play(&kernel, &[given]);

    let outcome = &outcomes[0];
    assert_eq!(outcome.not_comparable, [""; 0]);
    let out: Vec<_> = outcome
        .frames
        .iter()
        .map(|output| (output.after, &output.interface[..], output.frame.clone()))
        .collect();
    let to_server = tcp().eth_from(GATEWAY_SERVER_MAC).eth_to(RIP_1_MAC);
    let to_server = to_server.from(CLIENT).to(RIP_1).ttl(63).syn().build();
    let to_client = tcp().eth_from(GATEWAY_MAC).eth_to(CLIENT_MAC);
    let to_client = to_client.from(VIP).to(CLIENT).ttl(63).syn_ack().build();
    assert_eq!(
        out,
        [(Some(0), "eth1", to_server), (Some(1), "eth0", to_client)]
    );
    assert_eq!(outcome.inputs.len(), 2);
    listings_are_whole(outcome);
}

/// The five listings after one connection to the server with weight 3 and upper threshold 9.
fn listings_are_whole(outcome: &Outcome) {
    let line = |listing: &str, word: &str| {
        let text = &outcome.dumps[listing];
        let line = text.lines().find(|line| line.contains(word));
        let line = line.unwrap_or_else(|| panic!("no {word} in {listing}:\n{text}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(line("ln", "->")[1], "RemoteAddress:Port");
    assert_eq!(line("ln", "10.2.0.11")[2..], ["Masq", "3", "1", "0"]);
    assert_eq!(line("lnc", "10.2.0.11")[2], "SYN_RECV");
    assert_eq!(line("thresholds", "10.2.0.11")[2..], ["9", "0", "1", "0"]);
    assert_eq!(line("persistent", "10.2.0.11")[2..], ["3", "0", "1", "0"]);
    assert_eq!(line("stats", "10.2.0.11")[2..5], ["1", "1", "1"]);
}

#[test]
fn commands_are_heard_with_their_exit_codes() {
    let Some(kernel) = kernel("commands_are_heard_with_their_exit_codes") else {
        return;
    };
    let mut given = scenario(
        "shell",
        vec![
            shell("cat /proc/sys/net/ipv4/vs/conn_reuse_mode; echo to error >&2; exit 3"),
            syn(),
            PlayLine::Ipvsadm("-Sn".to_owned()),
            PlayLine::Dump("after".to_owned()),
            shell("sleep 1000 & kill -9 $$"),
        ],
    );
    given.net.push(NetLine::Sysctl {
        key: "net.ipv4.vs.conn_reuse_mode".to_owned(),
        value: "0".to_owned(),
    });
    given
        .ipvs
        .push(IpvsLine::Rule("-D -t 10.1.0.100:81".to_owned()));
    given.ipvs.push(IpvsLine::Each);

    let outcomes = play(&kernel, &[given]);

    let said: Vec<_> = outcomes[0]
        .shell
        .iter()
        .map(|line| (&line.command[..], line.after, line.status))
        .collect();
    assert_eq!(said[0], ("ipvsadm -A -t 10.1.0.100:80 -s rr", 0, 0));
    assert_eq!(said[2], ("ipvsadm -D -t 10.1.0.100:81", 0, 255));
    assert_eq!((said[3].1, said[3].2), (0, 3));
    assert_eq!(said[4], ("ipvsadm -Sn", 1, 0));
    assert_eq!(said[5..7], [("ipvsadm -Ln", 1, 0), ("ipvsadm -Lnc", 1, 0)]);
    assert_eq!((said[7].2, said.len()), (128 + 9, 8));
    let text = |index: usize| outcomes[0].shell[index].output.as_str();
    let errors = |index: usize| outcomes[0].shell[index].errors.as_str();
    assert_eq!((text(2), errors(2)), ("", "No such service\n"));
    assert_eq!((text(3), errors(3)), ("0\n", "to error\n"));
    assert!(text(4).contains("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m -w 3"));
    assert!(text(6).contains("10.2.0.11:80"));
}

#[test]
fn time_passes_as_the_scenario_says() {
    let Some(kernel) = kernel("time_passes_as_the_scenario_says") else {
        return;
    };
    // SYN_RECV lasts a minute; where time is real a second has to do.
    let minutes = if kernel.has_virtual_time() {
        15 * 60
    } else {
        1
    };
    let waits = [
        PlayLine::At(Duration::from_millis(500)),
        PlayLine::Wait(Duration::from_secs(minutes)),
    ];
    let [at, wait] = waits;
    let given = scenario("time", vec![at, syn(), wait, syn()]);

    let outcomes = play(&kernel, &[given]);

    let outcome = &outcomes[0];
    let (first, second) = (outcome.inputs[0].nanos, outcome.inputs[1].nanos);
    assert!((500_000_000..700_000_000).contains(&first), "{first}");
    assert!(second - first >= minutes * 1_000_000_000, "{second}");
    if kernel.has_virtual_time() {
        assert!(
            second - first < minutes * 1_000_000_000 + 100_000_000,
            "{second}"
        );
        assert_eq!(outcome.dumps["lnc"].matches(" 10.2.0.11:80").count(), 1);
        assert!(outcome.dumps["stats"].contains(" 2 "));
    }
}

#[test]
fn a_batch_shares_a_boot_but_nothing_else() {
    let Some(kernel) = kernel("a_batch_shares_a_boot_but_nothing_else") else {
        return;
    };
    let empty = Scenario::default();
    let mut broken = scenario("broken", vec![syn()]);
    broken.net.push(NetLine::Route("nonsense".to_owned()));
    let given = [
        scenario("first", vec![syn()]),
        broken,
        empty,
        scenario("last", vec![syn()]),
    ];

    let outcomes = play(&kernel, &given);

    let frames: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.frames.len())
        .collect();
    assert_eq!(frames, [1, 0, 0, 1]);
    assert!(outcomes[1].not_comparable[0].contains("nonsense"));
    assert!(!outcomes[2].dumps["ln"].contains("10.1.0.100"));
    assert_eq!(outcomes[3].dumps["lnc"].matches("TCP").count(), 1);
}

#[test]
fn a_scenario_that_kills_the_guest_takes_no_other_with_it() {
    let Some(kernel) = kernel("a_scenario_that_kills_the_guest_takes_no_other_with_it") else {
        return;
    };
    let deadly = scenario("deadly", vec![shell("echo c >/proc/sysrq-trigger")]);
    let given = [
        scenario("first", vec![syn()]),
        deadly,
        scenario("last", vec![syn()]),
    ];

    let outcomes = play(&kernel, &given);

    assert_eq!(outcomes[0].frames.len(), 1);
    assert_eq!(outcomes[2].frames.len(), 1);
    let reason = &outcomes[1].not_comparable[0];
    assert!(reason.contains("dies when this is played"), "{reason}");
}
