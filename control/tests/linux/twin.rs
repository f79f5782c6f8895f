//! Twins as an operator and a peer on the wire see them.

use std::net::{Ipv4Addr, UdpSocket};

use control::linux::Twins;
use control::linux::pump::Pump;
use control::linux::twin::{Twin, TwinConfig, TwinError};
use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;

use crate::children::Holder;
use crate::frames::{Arp, ones_complement_sum};
use crate::namespace::{eventually, in_namespace, ip};
use crate::wire::Wire;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn config(persist: bool) -> TwinConfig {
    TwinConfig {
        interface: InterfaceId(0),
        name: "wan0".to_owned(),
        mac: MAC,
        mtu: 1400,
        persist,
    }
}

fn exists(name: &str) -> bool {
    ip("-o link").contains(&format!(": {name}:"))
}

#[test]
fn a_twin_has_the_name_mac_and_mtu_asked_for_and_is_up() {
    in_namespace(|| {
        let twin = Twin::open(&config(false)).unwrap();

        let shown = ip("link show wan0");
        assert!(shown.contains("mtu 1400"), "{shown}");
        assert!(shown.contains("02:00:00:00:00:01"), "{shown}");
        assert!(shown.contains("LOWER_UP"), "{shown}");
        assert!(shown.starts_with(&format!("{}: ", twin.link().ifindex)));
        // Its link-local address comes from that MAC (EUI-64), not from the one it was born with.
        let shown = ip("-6 address show wan0");
        assert!(shown.contains("fe80::ff:fe00:1/64"), "{shown}");
    });
}

#[test]
fn a_persistent_twin_survives_kill_9_without_carrier_and_is_attached_again() {
    in_namespace(|| {
        let holder = Holder::start("persistent-twin wan0").ready();
        ip("address add 10.0.0.1/24 dev wan0");

        holder.kill();

        let shown = ip("link show wan0");
        assert!(shown.contains("NO-CARRIER"), "{shown}");
        let twin = Twin::open(&config(true)).unwrap();
        let shown = ip("address show wan0");
        assert!(shown.contains("LOWER_UP"), "{shown}");
        assert!(shown.contains("10.0.0.1/24"), "{shown}");
        assert!(shown.contains("mtu 1400"), "{shown}");
        drop(twin);
        assert!(exists("wan0"));
    });
}

#[test]
fn a_twin_that_is_not_persistent_vanishes_with_its_holder() {
    in_namespace(|| {
        let twin = Twin::open(&config(false)).unwrap();
        drop(twin);
        assert!(!exists("wan0"));

        let holder = Holder::start("twin wan0").ready();
        assert!(exists("wan0"));
        holder.kill();
        assert!(!exists("wan0"));
    });
}

#[test]
fn a_twin_no_longer_persistent_vanishes_though_it_was_left_by_an_earlier_start() {
    in_namespace(|| {
        Twin::open(&config(true)).unwrap().keep().unwrap();
        assert!(exists("wan0"));

        let twin = Twin::open(&config(false)).unwrap();
        assert!(exists("wan0"));
        drop(twin);

        assert!(!exists("wan0"));
    });
}

#[test]
fn a_name_that_is_not_a_taps_is_refused_by_name() {
    in_namespace(|| {
        ip("link add wan0 type veth peer name other");

        let error = Twin::open(&config(true)).err().unwrap();

        assert!(matches!(error, TwinError::NameInUse(_)), "{error:?}");
        assert!(error.to_string().contains("wan0"), "{error}");
    });
}

#[test]
fn a_twin_held_by_a_living_process_is_refused_and_free_once_that_is_killed() {
    in_namespace(|| {
        let holder = Holder::start("persistent-twin wan0").ready();

        let error = Twin::open(&config(true)).err().unwrap();
        assert!(matches!(error, TwinError::Held(_)), "{error:?}");

        holder.kill();
        assert!(Twin::open(&config(true)).is_ok());
    });
}

#[test]
fn a_process_that_may_not_make_interfaces_is_told_so() {
    in_namespace(|| {
        let outcome = Holder::start_without_net_admin("twin wan0").outcome();

        assert!(outcome.contains("CAP_NET_ADMIN"), "{outcome}");
        assert!(!exists("wan0"));
    });
}

#[test]
fn linux_answers_arp_on_the_wire_through_the_pump() {
    in_namespace(|| {
        let wire = Wire::default();
        let twin = Twin::open(&config(false)).unwrap();
        ip("address add 10.0.0.1/24 dev wan0");
        let pump = Pump::start(vec![twin], vec![wire.port(InterfaceId(0))], None).unwrap();

        let question = Arp {
            reply: false,
            sender_mac: PEER_MAC,
            sender: Ipv4Addr::new(10, 0, 0, 2),
            target_mac: MacAddr::default(),
            target: Ipv4Addr::new(10, 0, 0, 1),
        };
        wire.send(question.frame_to(MacAddr::BROADCAST));

        let answer = || wire.find(|frame| Arp::parse(frame).filter(|arp| arp.reply));
        eventually("an ARP reply", || answer().is_some());
        assert_eq!(answer().unwrap().sender_mac, MAC);
        let (link, counters) = &pump.counters()[0];
        assert_eq!(link.name, "wan0");
        assert_eq!(counters.frames_to_linux.get(), 1);
        assert!(counters.frames_from_linux.get() >= 1);
    });
}

#[test]
fn linux_fills_in_the_checksum_of_what_it_sends() {
    in_namespace(|| {
        let wire = Wire::default();
        wire.host("10.0.0.2", PEER_MAC);
        let twin = Twin::open(&config(false)).unwrap();
        ip("address add 10.0.0.1/24 dev wan0");
        let _pump = Pump::start(vec![twin], vec![wire.port(InterfaceId(0))], None).unwrap();

        let socket = UdpSocket::bind("10.0.0.1:5000").unwrap();
        socket.send_to(b"unusual bytes", "10.0.0.2:6000").unwrap();

        let is_ours = |frame: &[u8]| frame.ends_with(b"unusual bytes").then(|| frame.to_vec());
        eventually("the datagram", || wire.find(is_ours).is_some());
        let frame = wire.find(is_ours).unwrap();
        let (addresses, udp) = (&frame[26..34], &frame[34..]);
        let pseudo = [0, 17, 0, u8::try_from(udp.len()).unwrap()];
        assert_eq!(ones_complement_sum(&[addresses, &pseudo, udp]), 0xffff);
        assert_ne!(&udp[6..8], [0, 0], "no checksum at all");
    });
}

#[test]
fn a_twin_set_down_costs_frames_and_one_removed_is_noticed() {
    in_namespace(|| {
        let wire = Wire::default();
        let twin = Twin::open(&config(false)).unwrap();
        let pump = Pump::start(vec![twin], vec![wire.port(InterfaceId(0))], None).unwrap();
        let counters = &pump.counters()[0].1;

        ip("link set wan0 down");
        wire.send(vec![0xff; 60]);
        eventually("a failed frame", || {
            counters.frames_to_linux_failed.get() == 1
        });
        assert_eq!(counters.removed.get(), 0);

        ip("link delete wan0");
        eventually("the removal", || counters.removed.get() == 1);
        eventually("the loss", || {
            pump.losses().list() == ["the twin wan0 was removed"]
        });
    });
}

#[test]
fn a_frame_of_the_gateways_own_is_sent_as_often_as_asked() {
    in_namespace(|| {
        let wire = Wire::default();
        let twin = Twin::open(&config(false)).unwrap();
        let pump = Pump::start(vec![twin], vec![wire.port(InterfaceId(0))], None).unwrap();

        let gap = std::time::Duration::from_millis(20);
        assert!(pump.sender().send(InterfaceId(0), vec![7; 60], 1, gap));

        let sent = || wire.count(|frame| (frame == [7; 60]).then_some(()));
        eventually("both", || sent() == 2);
        std::thread::sleep(gap * 3);
        assert_eq!(sent(), 2);
    });
}

#[test]
fn a_twin_without_rings_is_refused() {
    in_namespace(|| {
        let twin = Twin::open(&config(false)).unwrap();

        let error = Pump::start(vec![twin], Vec::new(), None).err().unwrap();

        assert_eq!(error.to_string(), "interface 0 has a twin but no rings");
        assert!(!exists("wan0"));
    });
}

#[test]
fn a_start_that_fails_leaves_no_twin_behind_and_one_that_succeeds_does() {
    in_namespace(|| {
        ip("link add lan0 type veth peer name other");
        let mut second = config(true);
        second.interface = InterfaceId(1);
        second.name = "lan0".to_owned();

        assert!(Twins::open(&[config(true), second.clone()]).is_err());
        assert!(!exists("wan0"));

        ip("link delete lan0");
        let twins = Twins::open(&[config(true), second]).unwrap();
        let links = twins.links();
        assert_eq!(links[0].name, "wan0");
        assert_eq!(links[1].name, "lan0");
        let wire = Wire::default();
        let ports = links.iter().map(|link| wire.port(link.interface));
        let pump = twins.start(ports.collect(), None).unwrap();
        assert_eq!(pump.counters().len(), 2);
        drop(pump);
        assert!(exists("wan0") && exists("lan0"));
    });
}
