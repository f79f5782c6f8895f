//! Neighbours that Linux keeps resolved on a wire with hosts.

use std::net::IpAddr;

use control::linux::neighbour::NeighbourKeeper;
use control::linux::pump::Pump;
use control::linux::twin::TwinLink;
use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;

use crate::frames::Arp;
use crate::mirror::{LAN, lan};
use crate::namespace::{eventually, in_namespace, ip};
use crate::wire::Wire;

const HOST: &str = "10.0.0.2";
const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x22]);

fn host() -> IpAddr {
    HOST.parse().unwrap()
}

fn lan_with_host() -> (Pump, Wire, TwinLink) {
    let wire = Wire::default();
    wire.host(HOST, HOST_MAC);
    let twin = lan();
    let link = twin.link().clone();
    let pump = Pump::start(vec![twin], vec![wire.port(LAN)], None).unwrap();
    (pump, wire, link)
}

fn shown() -> String {
    ip("neighbour show 10.0.0.2 dev lan0")
}

#[test]
fn a_wanted_neighbour_is_resolved_and_managed_until_it_is_unwanted() {
    in_namespace(|| {
        let (_pump, _wire, link) = lan_with_host();
        let mut keeper = NeighbourKeeper::open(&[link]).unwrap();

        keeper.want(LAN, host()).unwrap();
        keeper.want(LAN, host()).unwrap();
        eventually("its MAC", || shown().contains("02:00:00:00:00:22"));
        assert!(shown().contains("managed"), "{}", shown());

        keeper.unwant(LAN, host()).unwrap();
        assert_eq!(shown(), "");
        keeper.unwant(LAN, host()).unwrap();
    });
}

#[test]
fn a_refresh_brings_back_what_a_link_set_down_has_lost() {
    in_namespace(|| {
        let (_pump, _wire, link) = lan_with_host();
        let mut keeper = NeighbourKeeper::open(&[link]).unwrap();
        keeper.want(LAN, host()).unwrap();
        eventually("its MAC", || shown().contains("02:00:00:00:00:22"));

        ip("link set lan0 down");
        assert_eq!(shown(), "");
        ip("link set lan0 up");
        keeper.refresh().unwrap();

        eventually("its MAC again", || shown().contains("02:00:00:00:00:22"));
        assert!(shown().contains("managed"), "{}", shown());
    });
}

#[test]
fn a_permanent_entry_of_the_operator_is_left_alone() {
    in_namespace(|| {
        let (_pump, _wire, link) = lan_with_host();
        let mut keeper = NeighbourKeeper::open(&[link]).unwrap();
        ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:99 dev lan0");

        keeper.want(LAN, host()).unwrap();
        keeper.refresh().unwrap();
        keeper.unwant(LAN, host()).unwrap();

        assert!(
            shown().contains("02:00:00:00:00:99 PERMANENT"),
            "{}",
            shown()
        );
    });
}

#[test]
fn without_managed_entries_each_refresh_asks_for_what_is_not_known() {
    in_namespace(|| {
        let (_pump, wire, link) = lan_with_host();
        let mut keeper = NeighbourKeeper::open(&[link])
            .unwrap()
            .without_managed_entries();

        keeper.want(LAN, host()).unwrap();
        eventually("its MAC", || shown().contains("02:00:00:00:00:22"));
        assert!(!shown().contains("managed"), "{}", shown());

        let asked = || wire.count(|frame| Arp::parse(frame).filter(|arp| !arp.reply));
        let before = asked();
        ip("neighbour delete 10.0.0.2 dev lan0");
        keeper.refresh().unwrap();
        eventually("another question", || asked() > before);
        eventually("its MAC again", || shown().contains("02:00:00:00:00:22"));
    });
}

#[test]
fn an_interface_without_a_twin_is_refused() {
    in_namespace(|| {
        let mut keeper = NeighbourKeeper::open(&[]).unwrap();

        let error = keeper.want(InterfaceId(9), host()).unwrap_err();

        assert_eq!(error.to_string(), "interface 9 has no twin");
    });
}
