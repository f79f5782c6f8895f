//! VIPs in a routing table that nothing is forwarded by, as Linux shows it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use control::linux::announce_table::{AnnounceError, AnnounceTable, Announcement, clear};
use control::linux::twin::TwinLink;

use crate::mirror::{LAN, lan};
use crate::namespace::{in_namespace, ip};

const TABLE: u32 = 70_201;

fn vip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at_lan(vips: &[&str]) -> Vec<Announcement> {
    let announcement = |text: &&str| Announcement {
        vip: vip(text),
        interface: LAN,
    };
    vips.iter().map(announcement).collect()
}

fn table(twin: &TwinLink) -> AnnounceTable {
    AnnounceTable::open(TABLE, std::slice::from_ref(twin)).unwrap()
}

/// Linux's words for the routes of both families, whether it has made the table or not.
fn shown() -> String {
    let all = ip("-4 route show table all") + &ip("-6 route show table all");
    let table = format!(" table {TABLE}");
    let lines = all.lines().filter(|line| line.contains(&table));
    lines.map(|line| line.replace(&table, "") + "\n").collect()
}

#[test]
fn vips_are_routes_of_our_protocol_until_they_are_withdrawn() {
    in_namespace(|| {
        let twin = lan();
        let mut table = table(twin.link());

        let (announced, applied) = table.apply(&at_lan(&["198.51.100.10", "2001:db8:5::1"]));

        applied.unwrap();
        assert_eq!(
            announced,
            BTreeSet::from([vip("198.51.100.10"), vip("2001:db8:5::1")])
        );
        let text = shown();
        assert!(
            text.contains("198.51.100.10 dev lan0 proto 201 scope link"),
            "{text}"
        );
        assert!(text.contains("2001:db8:5::1 dev lan0 proto 201"), "{text}");
        let main = ip("route show table main");
        assert!(!main.contains("198.51.100.10"), "{main}");

        let (announced, applied) = table.apply(&at_lan(&["198.51.100.11"]));
        applied.unwrap();
        assert_eq!(announced, BTreeSet::from([vip("198.51.100.11")]));
        assert!(!shown().contains("198.51.100.10"), "{}", shown());

        let (announced, applied) = table.apply(&[]);
        applied.unwrap();
        assert_eq!(announced, BTreeSet::new());
        assert_eq!(shown(), "");
    });
}

#[test]
fn a_start_withdraws_what_a_killed_one_left_and_nothing_of_others() {
    in_namespace(|| {
        let twin = lan();
        let left = at_lan(&["198.51.100.10", "2001:db8:5::1"]);
        table(twin.link()).apply(&left).1.unwrap();
        ip(&format!("route add 198.51.100.99 dev lan0 table {TABLE}"));
        ip("route add 198.51.100.98 dev lan0 proto 201 table 70202");

        clear(TABLE).unwrap();

        let text = shown();
        assert!(!text.contains("proto 201"), "{text}");
        assert!(text.contains("198.51.100.99"), "{text}");
        let other = ip("route show table 70202");
        assert!(other.contains("198.51.100.98"), "{other}");
    });
}

#[test]
fn another_programs_route_for_a_vip_is_left_alone() {
    in_namespace(|| {
        let twin = lan();
        ip(&format!(
            "route add 198.51.100.10 dev lan0 table {TABLE} proto static"
        ));
        let mut table = table(twin.link());

        let (announced, applied) = table.apply(&at_lan(&["198.51.100.10", "198.51.100.11"]));

        let sentence = applied.unwrap_err().to_string();
        assert_eq!(
            sentence,
            "could not announce 198.51.100.10 in routing table 70201: another program has a route \
             for it in there"
        );
        assert_eq!(announced, BTreeSet::from([vip("198.51.100.11")]));
        assert!(
            shown().contains("198.51.100.10 dev lan0 proto static"),
            "{}",
            shown()
        );
    });
}

#[test]
fn an_empty_table_is_nothing_to_complain_of() {
    in_namespace(|| clear(TABLE).unwrap());
}

#[test]
fn a_route_goes_over_to_the_twin_that_has_the_vip_now() {
    in_namespace(|| {
        let twin = lan();
        ip("link add wan0 type veth peer name wan1");
        ip("link set wan0 up");
        let wan = TwinLink {
            interface: dataplane::id::InterfaceId(LAN.0 + 1),
            ifindex: ip("-o link show wan0")
                .split(':')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap(),
            name: "wan0".to_owned(),
            mac: twin.link().mac,
        };
        let twins = [twin.link().clone(), wan.clone()];
        let mut table = AnnounceTable::open(TABLE, &twins).unwrap();
        table.apply(&at_lan(&["198.51.100.10"])).1.unwrap();

        let moved = Announcement {
            vip: vip("198.51.100.10"),
            interface: wan.interface,
        };
        let (announced, applied) = table.apply(&[moved]);

        applied.unwrap();
        assert_eq!(announced, BTreeSet::from([moved.vip]));
        let text = shown();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("198.51.100.10 dev wan0"), "{text}");
    });
}

#[test]
fn what_went_with_a_twin_that_was_down_is_said_and_comes_back_with_it() {
    in_namespace(|| {
        let twin = lan();
        let mut table = table(twin.link());
        let wanted = at_lan(&["198.51.100.10"]);
        table.apply(&wanted).1.unwrap();

        ip("link set lan0 down");
        let (announced, applied) = table.apply(&wanted);
        let error = applied.unwrap_err();
        assert!(matches!(error, AnnounceError::Kernel { .. }));
        assert_eq!(
            error.to_string(),
            "could not announce 198.51.100.10 in routing table 70201: Network is down (os error \
             100)"
        );
        assert_eq!(announced, BTreeSet::new());

        ip("link set lan0 up");
        let (announced, applied) = table.apply(&wanted);
        applied.unwrap();
        assert_eq!(announced.len(), 1);
        assert!(shown().contains("198.51.100.10"), "{}", shown());
    });
}
