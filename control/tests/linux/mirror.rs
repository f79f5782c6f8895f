//! The mirror beside a kernel whose tables `ip` changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use control::linux::mirror::{MAIN_TABLE, Mirror, MirrorEvent, NextHop, Route, RouteTarget};
use control::linux::twin::{Twin, TwinConfig};
use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;
use tokio::sync::mpsc;

use crate::namespace::{eventually, in_namespace, ip};

pub(crate) const LAN: InterfaceId = InterfaceId(4);

/// A twin `lan0` with 10.0.0.1/24 and 2001:db8::1/64.
pub(crate) fn lan() -> Twin {
    let twin = Twin::open(&TwinConfig {
        interface: LAN,
        name: "lan0".to_owned(),
        mac: MacAddr([2, 0, 0, 0, 0, 4]),
        mtu: 1500,
        persist: false,
    })
    .unwrap();
    ip("address add 10.0.0.1/24 dev lan0");
    ip("address add 2001:db8::1/64 dev lan0 nodad");
    twin
}

/// What a listener knows by adding up the events.
struct Listener {
    mirror: Mirror,
    events: mpsc::Receiver<Vec<MirrorEvent>>,
    link: Option<(u32, bool)>,
    addresses: BTreeSet<String>,
    routes: BTreeMap<String, Route>,
    neighbours: BTreeMap<String, MacAddr>,
    synchronised: usize,
}

impl Listener {
    fn start(twin: &Twin, tables: &[u32]) -> Self {
        let (sender, events) = mpsc::channel(4);
        Self {
            mirror: Mirror::start(&[twin.link().clone()], tables, sender).unwrap(),
            events,
            link: None,
            addresses: BTreeSet::new(),
            routes: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            synchronised: 0,
        }
    }

    fn synchronised(twin: &Twin) -> Self {
        let mut listener = Self::start(twin, &[MAIN_TABLE]);
        listener.until("the first picture", |seen| seen.synchronised > 0);
        listener
    }

    fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        eventually(what, || {
            while let Ok(batch) = self.events.try_recv() {
                for event in batch {
                    self.learn(event);
                }
            }
            condition(self)
        });
    }

    fn learn(&mut self, event: MirrorEvent) {
        match event {
            MirrorEvent::LinkChanged { mtu, up, .. } => self.link = Some((mtu, up)),
            MirrorEvent::AddressAdded(address) => {
                assert_eq!(address.interface, LAN);
                let text = format!("{}/{}", address.addr, address.prefix_len);
                assert!(self.addresses.insert(text), "told twice: {address:?}");
            }
            MirrorEvent::AddressRemoved(address) => {
                let text = format!("{}/{}", address.addr, address.prefix_len);
                assert!(self.addresses.remove(&text), "never told: {address:?}");
            }
            MirrorEvent::RouteSet { prefix, route } => {
                let old = self.routes.insert(prefix.to_string(), route.clone());
                assert_ne!(old, Some(route), "told twice: {prefix}");
            }
            MirrorEvent::RouteRemoved(prefix) => {
                let old = self.routes.remove(&prefix.to_string());
                assert!(old.is_some(), "never told: {prefix}");
            }
            MirrorEvent::NeighbourSet { addr, mac, .. } => {
                self.neighbours.insert(addr.to_string(), mac);
            }
            MirrorEvent::NeighbourRemoved { addr, .. } => {
                self.neighbours.remove(&addr.to_string());
            }
            MirrorEvent::Synchronised => self.synchronised += 1,
        }
    }

    fn has_target(&self, prefix: &str, target: &RouteTarget) -> bool {
        self.routes.get(prefix).map(|route| &route.target) == Some(target)
    }
}

fn hop(via: &str) -> NextHop {
    NextHop {
        via: Some(via.parse().unwrap()),
        interface: LAN,
        weight: 1,
    }
}

fn through(via: &str) -> RouteTarget {
    RouteTarget::NextHops(vec![hop(via)])
}

fn on_link() -> RouteTarget {
    RouteTarget::NextHops(vec![NextHop {
        via: None,
        interface: LAN,
        weight: 1,
    }])
}

#[test]
fn what_is_there_at_the_start_is_told_and_then_synchronised() {
    in_namespace(|| {
        let twin = lan();
        ip("route add default via 10.0.0.254 mtu 1400 src 10.0.0.1");
        ip("route add 10.9.0.0/16 nexthop via 10.0.0.2 weight 3 nexthop via 10.0.0.3");
        ip("route add 198.51.100.0/24 via 192.0.2.77 dev lan0 onlink");
        ip("route add blackhole 10.66.0.0/16");
        ip("route add unreachable 10.67.0.0/16");
        ip("route add prohibit 10.68.0.0/16");
        ip("route add 2001:db8:9::/48 via 2001:db8::9");
        ip("route add 10.99.0.0/16 via inet6 2001:db8::9");
        ip("route add 10.70.0.0/16 via 10.0.0.2 table 100");
        ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:22 dev lan0");

        let seen = Listener::synchronised(&twin);

        assert_eq!(seen.link, Some((1500, true)));
        assert!(seen.addresses.contains("10.0.0.1/24"));
        assert!(seen.addresses.contains("2001:db8::1/64"));
        assert!(!seen.addresses.contains("127.0.0.1/8"));
        let default = &seen.routes["0.0.0.0/0"];
        assert_eq!(default.target, through("10.0.0.254"));
        assert_eq!(default.mtu, Some(1400));
        assert_eq!(default.preferred_source, "10.0.0.1".parse().ok());
        let mut heavier = hop("10.0.0.2");
        heavier.weight = 3;
        let several = RouteTarget::NextHops(vec![heavier, hop("10.0.0.3")]);
        assert!(seen.has_target("10.9.0.0/16", &several));
        assert!(seen.has_target("10.0.0.0/24", &on_link()));
        assert!(seen.has_target("198.51.100.0/24", &through("192.0.2.77")));
        assert!(seen.has_target("10.66.0.0/16", &RouteTarget::Blackhole));
        assert!(seen.has_target("10.67.0.0/16", &RouteTarget::Unreachable));
        assert!(seen.has_target("10.68.0.0/16", &RouteTarget::Prohibited));
        assert!(seen.has_target("2001:db8:9::/48", &through("2001:db8::9")));
        assert!(seen.has_target("10.99.0.0/16", &through("2001:db8::9")));
        assert!(seen.has_target("2001:db8::/64", &on_link()));
        // Another table's, a local and a broadcast one.
        for absent in ["10.70.0.0/16", "10.0.0.1/32", "10.0.0.255/32"] {
            assert!(!seen.routes.contains_key(absent), "{absent}");
        }
        assert_eq!(seen.neighbours["10.0.0.2"].0, [2, 0, 0, 0, 0, 0x22]);
    });
}

#[test]
fn what_the_mirror_holds_is_counted() {
    in_namespace(|| {
        let twin = lan();
        let mut seen = Listener::synchronised(&twin);
        let held = |seen: &Listener| {
            let counters = seen.mirror.counters();
            let held = [&counters.addresses, &counters.routes, &counters.neighbours];
            held.map(|it| usize::try_from(it.get()).unwrap())
        };
        let told = |seen: &Listener| {
            [
                seen.addresses.len(),
                seen.routes.len(),
                seen.neighbours.len(),
            ]
        };

        ip("route add 10.9.0.0/16 via 10.0.0.2");
        ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:22 dev lan0");

        seen.until("all is counted", |seen| {
            seen.routes.contains_key("10.9.0.0/16")
                && seen.neighbours.contains_key("10.0.0.2")
                && held(seen) == told(seen)
        });
        assert!(seen.mirror.counters().changed_at.get() > 0);
    });
}

#[test]
fn configured_tables_are_merged_and_the_first_wins() {
    in_namespace(|| {
        let twin = lan();
        ip("route add 10.70.0.0/16 via 10.0.0.2 table 100");
        ip("route add 10.70.0.0/16 via 10.0.0.3");
        ip("route add 10.71.0.0/16 via 10.0.0.3");

        let mut seen = Listener::start(&twin, &[100, MAIN_TABLE]);
        seen.until("the first picture", |seen| seen.synchronised == 1);

        assert!(seen.has_target("10.70.0.0/16", &through("10.0.0.2")));
        assert!(seen.has_target("10.71.0.0/16", &through("10.0.0.3")));
    });
}

#[test]
fn changes_are_told_as_they_happen() {
    in_namespace(|| {
        let twin = lan();
        let mut seen = Listener::synchronised(&twin);

        ip("address add 10.0.0.77/32 dev lan0");
        ip("route add 10.9.0.0/16 via 10.0.0.2 metric 20");
        ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:22 dev lan0");
        ip("link set lan0 mtu 1400");
        seen.until("all of them", |seen| {
            seen.addresses.contains("10.0.0.77/32")
                && seen.has_target("10.9.0.0/16", &through("10.0.0.2"))
                && seen.neighbours.contains_key("10.0.0.2")
                && seen.link == Some((1400, true))
        });

        ip("route add 10.9.0.0/16 via 10.0.0.3 metric 10");
        seen.until("a better route", |seen| {
            seen.has_target("10.9.0.0/16", &through("10.0.0.3"))
        });
        ip("route replace 10.9.0.0/16 via 10.0.0.4 metric 10");
        seen.until("another hop", |seen| {
            seen.has_target("10.9.0.0/16", &through("10.0.0.4"))
        });
        ip("route delete 10.9.0.0/16 metric 10");
        seen.until("the next best", |seen| {
            seen.has_target("10.9.0.0/16", &through("10.0.0.2"))
        });
        ip("route delete 10.9.0.0/16");
        ip("address delete 10.0.0.77/32 dev lan0");
        ip("neighbour replace 10.0.0.2 lladdr 02:00:00:00:00:23 dev lan0");
        seen.until("removals and a new MAC", |seen| {
            !seen.routes.contains_key("10.9.0.0/16")
                && !seen.addresses.contains("10.0.0.77/32")
                && seen.neighbours["10.0.0.2"].0 == [2, 0, 0, 0, 0, 0x23]
        });
        ip("neighbour delete 10.0.0.2 dev lan0");
        seen.until("no neighbour", |seen| seen.neighbours.is_empty());
    });
}

#[test]
fn ipv6_multipath_routes_follow_every_hop() {
    in_namespace(|| {
        let twin = lan();
        let mut seen = Listener::synchronised(&twin);
        let both = RouteTarget::NextHops(vec![hop("2001:db8::2"), hop("2001:db8::3")]);

        ip("route add 2001:db8:9::/48 via 2001:db8::2");
        ip("route append 2001:db8:9::/48 via 2001:db8::3");
        seen.until("both hops", |seen| {
            seen.has_target("2001:db8:9::/48", &both)
        });
        ip("route delete 2001:db8:9::/48 via 2001:db8::2");
        seen.until("one hop", |seen| {
            seen.has_target("2001:db8:9::/48", &through("2001:db8::3"))
        });
        ip("route delete 2001:db8:9::/48 via 2001:db8::3");
        seen.until("none", |seen| !seen.routes.contains_key("2001:db8:9::/48"));
    });
}

#[test]
fn a_route_out_of_another_interface_is_elsewhere() {
    in_namespace(|| {
        let twin = lan();
        ip("link add mgmt0 type veth peer name mgmt1");
        ip("link set mgmt0 up");
        ip("link set mgmt1 up");
        let mut seen = Listener::synchronised(&twin);

        ip("address add 172.16.0.1/16 dev mgmt0");
        seen.until("the management network", |seen| {
            seen.has_target("172.16.0.0/16", &RouteTarget::Elsewhere)
        });
        assert!(!seen.addresses.contains("172.16.0.1/16"));

        // IPv4 routes vanish unreported when their interface is set down.
        ip("link set mgmt0 down");
        seen.until("no management network", |seen| {
            !seen.routes.contains_key("172.16.0.0/16")
        });
    });
}

#[test]
fn routes_that_linux_drops_without_a_word_are_missed_too() {
    in_namespace(|| {
        let twin = lan();
        ip("address add 10.0.0.77/32 dev lan0");
        ip("route add 10.9.0.0/16 via 10.0.0.2 src 10.0.0.77");
        ip("route add 10.8.0.0/16 via 10.0.0.2");
        let mut seen = Listener::synchronised(&twin);

        ip("address delete 10.0.0.77/32 dev lan0");
        seen.until("the route with that source", |seen| {
            !seen.routes.contains_key("10.9.0.0/16")
        });
        assert!(seen.routes.contains_key("10.8.0.0/16"));

        ip("link set lan0 down");
        seen.until("all routes of the twin", |seen| {
            !seen.routes.contains_key("10.8.0.0/16")
                && !seen.routes.contains_key("10.0.0.0/24")
                && seen.link.is_some_and(|(_, up)| !up)
        });
    });
}

#[test]
fn a_listener_that_sleeps_through_an_overrun_ends_with_the_right_picture() {
    in_namespace(|| {
        let twin = lan();
        let mut seen = Listener::synchronised(&twin);

        let mut batch = String::new();
        for round in ["add", "delete"] {
            for n in 0..20_000 {
                batch.push_str(&format!(
                    "route {round} 11.{}.{}.0/24 via 10.0.0.2\n",
                    n / 250,
                    n % 250
                ));
            }
        }
        batch.push_str("route add 10.9.0.0/16 via 10.0.0.2\n");
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(batch.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());

        seen.until("the last route alone", |seen| {
            seen.has_target("10.9.0.0/16", &through("10.0.0.2"))
                && !seen.routes.keys().any(|prefix| prefix.starts_with("11."))
        });
        assert!(seen.mirror.counters().overruns.get() > 0);
        assert!(seen.synchronised > 1);
    });
}

#[test]
fn dropping_themirror_closes_the_channel() {
    in_namespace(|| {
        let twin = lan();
        let (sender, mut events) = mpsc::channel(4);
        let mirror = Mirror::start(&[twin.link().clone()], &[MAIN_TABLE], sender).unwrap();

        drop(mirror);

        eventually("the end", || {
            matches!(
                events.try_recv(),
                Err(mpsc::error::TryRecvError::Disconnected)
            )
        });
    });
}
