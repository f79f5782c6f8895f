//! Scenarios played into the gateway's side alone.

// Helpers of tests stop them by a panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use dataplane::address::{Endpoint, V4};
use dataplane::schedule::load::Rules;
use dataplane::testing::{
    CLIENT, CLIENT_MAC, GATEWAY_SERVER_MAC, RIP_1_MAC, RIP_2, RIP_2_MAC, RIP_3, VIP, arp_request,
    icmp_echo, tcp, udp,
};
use differential::gateway::{self, Making};
use differential::outcome::Outcome;
use differential::read;

/// The network that the data plane's packets are built for.
const NET: &str = "\
[net]
if eth0 addr 10.1.0.1/24 addr 10.1.0.100/32 mac 02:00:00:01:00:01
if eth1 addr 10.2.0.1/24 mac 02:00:00:02:00:01
neigh 10.1.0.9 02:00:00:01:00:09 eth0
neigh 10.2.0.11 02:00:00:02:00:0b eth1
neigh 10.2.0.12 02:00:00:02:00:0c eth1
neigh 10.2.0.13 02:00:00:02:00:0d eth1
";

/// Three servers by NAT in turn.
const NAT: &str = "\
[ipvs]
-A -t 10.1.0.100:80 -s rr
-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m
-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m
-a -t 10.1.0.100:80 -r 10.2.0.13:80 -m
";

fn played(rules: &str, play: &str) -> Outcome {
    played_by(1, rules, play)
}

fn played_by(workers: u16, rules: &str, play: &str) -> Outcome {
    let text = format!("{NET}{rules}[play]\n{play}");
    let scenario = read::parse("test", Path::new("."), &text).unwrap();
    let making = Making {
        rules: Rules::default(),
        workers,
        words_only: false,
    };
    gateway::play_with(&scenario, making).unwrap()
}

/// The line that plays a frame.
fn packet(interface: &str, frame: &[u8]) -> String {
    let mut line = format!("pkt {interface} ");
    for byte in frame {
        write!(line, "{byte:02x}").unwrap();
    }
    line + "\n"
}

fn client(port: u16) -> Endpoint<V4> {
    Endpoint::new(CLIENT.addr, port)
}

fn syn(port: u16) -> String {
    packet("eth0", &tcp().from(client(port)).syn().build())
}

/// What was said by the lines of the play, in order: on standard error if nowhere else.
fn said(outcome: &Outcome) -> Vec<(&str, i32)> {
    let lines = outcome.shell.iter();
    let said = lines.map(|line| match line.output.as_str() {
        "" => (line.errors.as_str(), line.status),
        output => (output, line.status),
    });
    said.collect()
}

#[test]
fn a_nat_session_leaves_with_the_directors_macs_and_comes_back() {
    let reply = tcp()
        .from(RIP_3)
        .to(client(40_000))
        .eth_to(GATEWAY_SERVER_MAC)
        .syn_ack()
        .build();
    let play = syn(40_000) + &packet("eth1", &reply) + &syn(40_001);

    let outcome = played(NAT, &play);

    assert_eq!(outcome.not_comparable, [""; 0]);
    let left: Vec<_> = (outcome.frames.iter())
        .map(|frame| (frame.after, frame.interface.as_str()))
        .collect();
    assert_eq!(
        left,
        [(Some(0), "eth1"), (Some(1), "eth0"), (Some(2), "eth1")]
    );
    let to_server = tcp().from(client(40_001)).to(RIP_2).syn().ttl(63);
    let to_server = to_server.eth_from(GATEWAY_SERVER_MAC).eth_to(RIP_2_MAC);
    assert_eq!(outcome.frames[2].frame, to_server.build());
    let to_client = tcp().from(VIP).to(client(40_000)).syn_ack().ttl(63);
    let to_client = to_client
        .eth_from(dataplane::testing::GATEWAY_MAC)
        .eth_to(CLIENT_MAC);
    assert_eq!(outcome.frames[1].frame, to_client.build());
    assert_eq!((outcome.inputs.len(), outcome.punted.len()), (3, 0));
}

#[test]
fn several_workers_forward_what_one_does() {
    let reply = |server: Endpoint<V4>, port| {
        let reply = tcp().from(server).to(client(port)).syn_ack();
        packet("eth1", &reply.eth_to(GATEWAY_SERVER_MAC).build())
    };
    let play = syn(40_000) + &syn(40_001) + &reply(RIP_3, 40_000) + &reply(RIP_2, 40_001);

    let by_one = played_by(1, NAT, &play);
    let by_three = played_by(3, NAT, &play);

    assert_eq!(by_one.frames.len(), 4);
    assert_eq!(by_three.frames, by_one.frames);
    assert_eq!(by_three.dumps["ln"], by_one.dumps["ln"]);
}

#[test]
fn what_is_linuxs_is_punted_where_it_came_from() {
    let arp = packet("eth0", &arp_request(CLIENT.addr, VIP.addr));
    let echo = packet("eth0", &icmp_echo().build());
    let unserved = packet("eth0", &tcp().to(Endpoint::new(VIP.addr, 81)).syn().build());

    let outcome = played(NAT, &(arp + &echo + &unserved));

    assert_eq!(outcome.frames, []);
    let punted: Vec<_> = (outcome.punted.iter())
        .map(|frame| (frame.after, frame.interface.as_str()))
        .collect();
    assert_eq!(
        punted,
        [(Some(0), "eth0"), (Some(1), "eth0"), (Some(2), "eth0")]
    );
    assert_eq!(outcome.punted[2].frame, outcome.inputs[2].frame);
}

#[test]
fn a_session_ends_with_its_time_and_listings_say_so() {
    let play = syn(40_000) + "dump fresh\nwait 59.5\ndump old\nat 60.5\ndump over\n";

    let outcome = played(NAT, &play);

    let listed: Vec<bool> = (outcome.shell.iter())
        .filter(|line| line.command == "ipvsadm -Lnc")
        .map(|line| line.output.contains("SYN_RECV"))
        .collect();
    assert_eq!(listed, [true, true, false]);
    assert!(
        outcome.shell[0].output.contains("TCP  10.1.0.100:80 rr"),
        "{:?}",
        said(&outcome)
    );
    assert_eq!(outcome.shell[5].after, 1);
    assert!(
        !outcome.dumps["lnc"].contains("TCP"),
        "{}",
        outcome.dumps["lnc"]
    );
    let stats = &outcome.dumps["stats"];
    assert!(stats.contains("10.2.0.13:80"), "{stats}");
}

#[test]
fn each_rule_is_a_command_of_its_own_when_asked_for() {
    let rules = NAT.replace("[ipvs]", "[ipvs]\neach") + "-a -t 10.1.0.100:80 -r 10.2.0.13:80 -m\n";

    let outcome = played(&rules, "");

    let statuses: Vec<i32> = outcome.shell.iter().map(|line| line.status).collect();
    assert_eq!(statuses[..4], [0; 4]);
    assert_ne!(statuses[4], 0, "it is there already");
    assert_eq!(
        outcome.shell[0].command,
        "ipvsadm -A -t 10.1.0.100:80 -s rr"
    );
}

#[test]
fn what_ip_changes_the_gateway_follows() {
    let large = tcp()
        .from(client(40_000))
        .dont_fragment()
        .payload_len(1_200);
    let large = packet("eth0", &large.build());
    let play = syn(40_000)
        + "sh ip neigh replace 10.2.0.13 lladdr 02:00:00:02:00:0b dev eth1 nud permanent\n"
        + &large
        + "sh ip link set eth1 mtu 1000\n"
        + &large;

    let outcome = played(NAT, &play);

    assert_eq!(outcome.not_comparable, [""; 0]);
    assert_eq!(said(&outcome), [("", 0), ("", 0)]);
    assert_eq!(outcome.frames[1].frame[..6], RIP_1_MAC.0);
    // ICMP 3/4 with the new MTU goes back to the client.
    let error = &outcome.frames[2];
    assert_eq!(error.interface, "eth0");
    assert_eq!(error.frame[34..42][..2], [3, 4]);
    assert_eq!(error.frame[40..42], 1_000_u16.to_be_bytes());
}

#[test]
fn knobs_are_read_and_written_as_files_and_by_sysctl() {
    let segment = packet("eth0", &tcp().from(client(40_000)).ack().build());
    let play = segment.clone()
        + "sh echo 1 > /proc/sys/net/ipv4/vs/sloppy_tcp\n"
        + &segment
        + "sh cat /proc/sys/net/ipv4/vs/sloppy_tcp; sysctl -n net.ipv4.vs.drop_entry\n"
        + "sh V=0; echo $V > /proc/sys/net/ipv4/vs/sloppy_tcp; sysctl net.ipv4.vs.sloppy_tcp\n"
        + "sh echo 4 > /proc/sys/net/ipv4/vs/drop_entry\n"
        + "sh sysctl -w net.ipv4.vs.drop_entry=x\n";

    let outcome = played(NAT, &play);

    assert_eq!((outcome.punted.len(), outcome.frames.len()), (1, 1));
    assert_eq!(
        said(&outcome),
        [
            ("", 0),
            ("1\n0\n", 0),
            ("net.ipv4.vs.sloppy_tcp = 0\n", 0),
            ("/bin/sh: 1: echo: echo: I/O error\n", 1),
            (
                "sysctl: setting key \"net.ipv4.vs.drop_entry\": Invalid argument\n",
                1
            ),
        ]
    );
    assert_eq!(outcome.not_comparable, [""; 0]);
}

#[test]
fn a_shell_line_meets_our_ipvsadm_and_the_scenarios_clock() {
    let play = syn(40_000)
        + "sh for w in 5 6; do ipvsadm -e -t 10.1.0.100:80 -r 10.2.0.11:80 -m -w $w || exit; done\n"
        + "sh ipvsadm -Sn | grep -c 'w 6'\n"
        + "sh sleep 61; ipvsadm -Lnc | grep -c SYN_RECV\n"
        + "sh ipvsadm -Sn > rules; ipvsadm -C; ipvsadm -Ln | grep -c 10.2; ipvsadm -R < rules; ipvsadm -Ln | grep -c 10.2\n";

    let outcome = played(NAT, &play);

    assert_eq!(outcome.not_comparable, [""; 0]);
    assert_eq!(
        said(&outcome),
        [("", 0), ("1\n", 0), ("0\n", 1), ("0\n3\n", 0)]
    );
}

#[test]
fn a_line_that_is_not_understood_makes_the_scenario_not_comparable() {
    for (line, reason) in [
        (
            "sh iptables -t mangle -F",
            "the command `iptables` in `iptables -t mangle -F`",
        ),
        ("sh ip link add d type dummy", "`ip link add d type dummy`"),
        (
            "sh tc qdisc add dev eth0 root netem loss 1%",
            "`tc qdisc add dev eth0 root netem loss 1%`",
        ),
        (
            "sh sysctl -w net.ipv4.vs.conntrack=1",
            "net.ipv4.vs.conntrack=1: packets do not pass netfilter",
        ),
    ] {
        let outcome = played(NAT, &(line.to_owned() + "\n"));

        assert_eq!(outcome.not_comparable, [reason]);
    }
}

#[test]
fn a_next_hop_whose_mac_nobody_says_is_a_reason() {
    let rules = NAT.to_owned() + "-a -t 10.1.0.100:80 -r 10.2.0.99:80 -m\n";

    let outcome = played(&rules, &syn(40_000));

    assert_eq!(
        outcome.not_comparable,
        ["the MAC of 10.2.0.99 on eth1 is not said"]
    );
}

#[test]
fn an_interface_that_is_not_there_cannot_be_played_to() {
    let text = format!("{NET}[play]\n{}", packet("eth7", &[0; 60]));
    let scenario = read::parse("test", Path::new("."), &text).unwrap();

    let failure = gateway::play(&scenario, Rules::default()).unwrap_err();

    assert_eq!(
        failure.to_string(),
        "there is no interface \"eth7\" in [net]"
    );
}

#[test]
fn a_filter_that_marks_makes_a_mark_service() {
    let rules = "\
[ipvs]
tc qdisc add dev eth0 clsact
tc filter add dev eth0 ingress protocol ip u32 match ip dst 10.1.0.100 match ip dport 53 0xffff action skbedit mark 7
-A -f 7 -s rr
-a -f 7 -r 10.2.0.11 -m
";
    let query = udp()
        .from(client(40_000))
        .to(Endpoint::new(VIP.addr, 53))
        .build();
    let play = packet("eth0", &query) + &syn(40_000);

    let outcome = played(rules, &play);

    assert_eq!(outcome.not_comparable, [""; 0]);
    let sent: Vec<_> = outcome.frames.iter().map(|frame| frame.after).collect();
    let punted: Vec<_> = outcome.punted.iter().map(|frame| frame.after).collect();
    assert_eq!((sent, punted), (vec![Some(0)], vec![Some(1)]));
}
