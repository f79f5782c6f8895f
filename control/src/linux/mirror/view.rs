//! What Linux knows, as the mirror has it, and how it changes.
//!
//! Events say what changed for the listener: a second-best route that comes or goes, or a
//! neighbour that is merely confirmed, changes nothing. Where a message does not fit what is
//! known, the view asks to be read again rather than to guess.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;

use super::event::{InterfaceAddress, MirrorEvent, Prefix, Route};
use super::fact::{Fact, Rank, RankedRoute};
use crate::linux::link::Link;

/// Whether the view still is what Linux knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Trust {
    Kept,
    /// Something happened that Linux does not report in full: everything must be read again.
    Lost,
}

/// A picture of links, addresses, routes and neighbours.
#[derive(Debug, Default)]
pub(super) struct View {
    twins: HashMap<u32, InterfaceId>,
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<InterfaceAddress>,
    /// All routes in scope to each prefix, best first.
    routes: HashMap<Prefix, Vec<(Rank, Route)>>,
    neighbours: BTreeMap<(InterfaceId, IpAddr), MacAddr>,
}

impl View {
    /// An empty picture of these twins, by Linux's number for them.
    pub(super) fn new(twins: HashMap<u32, InterfaceId>) -> Self {
        Self {
            twins,
            ..Self::default()
        }
    }

    /// How many addresses, prefixes with a route, and neighbours there are.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [
            self.addresses.len(),
            self.routes.len(),
            self.neighbours.len(),
        ]
    }

    /// Takes in one fact of a dump, in the dump's order.
    pub(super) fn fill(&mut self, fact: Fact) {
        match fact {
            Fact::Link(link) => {
                self.links.insert(link.ifindex, link);
            }
            Fact::Address(address) => {
                self.addresses.insert(address);
            }
            Fact::Route(new) => {
                let routes = self.routes.entry(new.prefix).or_default();
                let at = routes.partition_point(|(rank, _)| *rank < new.rank);
                // Of several with one rank Linux uses the first.
                if routes.get(at).is_none_or(|(rank, _)| *rank != new.rank) {
                    routes.insert(at, (new.rank, new.route));
                }
            }
            Fact::Neighbour {
                interface,
                addr,
                mac: Some(mac),
            } => {
                self.neighbours.insert((interface, addr), mac);
            }
            Fact::LinkGone { .. }
            | Fact::AddressGone(_)
            | Fact::RouteGone(_)
            | Fact::Neighbour { mac: None, .. } => {}
        }
    }

    /// Takes in one notification; `replaces` is its `NLM_F_REPLACE`. Appends what changed.
    pub(super) fn apply(
        &mut self,
        fact: Fact,
        replaces: bool,
        events: &mut Vec<MirrorEvent>,
    ) -> Trust {
        match fact {
            Fact::Link(link) => self.apply_link(link, events),
            Fact::LinkGone { ifindex } => self.apply_link_gone(ifindex, events),
            Fact::Address(address) => {
                if self.addresses.insert(address) {
                    events.push(MirrorEvent::AddressAdded(address));
                }
                Trust::Kept
            }
            Fact::AddressGone(address) => {
                if self.addresses.remove(&address) {
                    events.push(MirrorEvent::AddressRemoved(address));
                }
                // IPv4 routes that prefer it as their source vanish with it, unreported.
                Trust::Lost
            }
            Fact::Route(new) => self.apply_route(new, replaces, events),
            Fact::RouteGone(old) => self.apply_route_gone(&old, events),
            Fact::Neighbour {
                interface,
                addr,
                mac,
            } => {
                self.apply_neighbour(interface, addr, mac, events);
                Trust::Kept
            }
        }
    }

    /// Tells how to come from this picture to `fresh`.
    pub(super) fn differences(&self, fresh: &Self) -> Vec<MirrorEvent> {
        let mut events = Vec::new();
        for (ifindex, link) in &fresh.links {
            if let Some(event) = fresh.link_event(link, self.links.get(ifindex)) {
                events.push(event);
            }
        }
        for (ifindex, link) in &self.links {
            if !fresh.links.contains_key(ifindex) {
                events.extend(self.link_event(&vanished(link), Some(link)));
            }
        }
        let gone = self.addresses.difference(&fresh.addresses);
        events.extend(gone.copied().map(MirrorEvent::AddressRemoved));
        let come = fresh.addresses.difference(&self.addresses);
        events.extend(come.copied().map(MirrorEvent::AddressAdded));
        self.neighbour_differences(fresh, &mut events);
        self.route_differences(fresh, &mut events);
        events
    }

    fn neighbour_differences(&self, fresh: &Self, events: &mut Vec<MirrorEvent>) {
        for &(interface, addr) in self.neighbours.keys() {
            if !fresh.neighbours.contains_key(&(interface, addr)) {
                events.push(MirrorEvent::NeighbourRemoved { interface, addr });
            }
        }
        for (&(interface, addr), &mac) in &fresh.neighbours {
            if self.neighbours.get(&(interface, addr)) != Some(&mac) {
                events.push(MirrorEvent::NeighbourSet {
                    interface,
                    addr,
                    mac,
                });
            }
        }
    }

    fn route_differences(&self, fresh: &Self, events: &mut Vec<MirrorEvent>) {
        for &prefix in self.routes.keys() {
            if !fresh.routes.contains_key(&prefix) {
                events.push(MirrorEvent::RouteRemoved(prefix));
            }
        }
        for (&prefix, routes) in &fresh.routes {
            let best = best(routes);
            if let Some(route) = best.filter(|_| self.best(prefix) != best) {
                events.push(MirrorEvent::RouteSet {
                    prefix,
                    route: route.clone(),
                });
            }
        }
    }

    fn apply_link(&mut self, link: Link, events: &mut Vec<MirrorEvent>) -> Trust {
        let old = self.links.get(&link.ifindex);
        events.extend(self.link_event(&link, old));
        // Routes out of an interface that is set down vanish, unreported for IPv4.
        let trust = match old {
            Some(old) if old.admin_up && !link.admin_up => Trust::Lost,
            _ => Trust::Kept,
        };
        self.links.insert(link.ifindex, link);
        trust
    }

    fn apply_link_gone(&mut self, ifindex: u32, events: &mut Vec<MirrorEvent>) -> Trust {
        match self.links.remove(&ifindex) {
            Some(old) => {
                events.extend(self.link_event(&vanished(&old), Some(&old)));
                Trust::Lost
            }
            None => Trust::Kept,
        }
    }

    /// What to say when a link that was `old` is `link` now.
    fn link_event(&self, link: &Link, old: Option<&Link>) -> Option<MirrorEvent> {
        let seen = |link: &Link| (link.mtu, link.running, link.mac);
        let &interface = self.twins.get(&link.ifindex)?;
        (old.map(seen) != Some(seen(link))).then_some(MirrorEvent::LinkChanged {
            interface,
            mtu: link.mtu,
            up: link.running,
            mac: link.mac,
        })
    }

    fn apply_route(
        &mut self,
        new: RankedRoute,
        replaces: bool,
        events: &mut Vec<MirrorEvent>,
    ) -> Trust {
        let before = self.best(new.prefix).cloned();
        let routes = self.routes.entry(new.prefix).or_default();
        let at = routes.partition_point(|(rank, _)| *rank < new.rank);
        match routes.get_mut(at).filter(|(rank, _)| *rank == new.rank) {
            Some((_, route)) if *route == new.route => {}
            // IPv6 names all hops of a changed route; IPv4 may now have two of one rank, and
            // only Linux knows which it uses.
            Some(_) if !replaces && new.prefix.addr.is_ipv4() => return Trust::Lost,
            Some((_, route)) => *route = new.route,
            None => routes.insert(at, (new.rank, new.route)),
        }
        self.tell_route(new.prefix, before.as_ref(), events);
        Trust::Kept
    }

    fn apply_route_gone(&mut self, old: &RankedRoute, events: &mut Vec<MirrorEvent>) -> Trust {
        let before = self.best(old.prefix).cloned();
        let Some(routes) = self.routes.get_mut(&old.prefix) else {
            return Trust::Kept;
        };
        let Some(at) = routes.iter().position(|(rank, _)| *rank == old.rank) else {
            return Trust::Kept;
        };
        if routes[at].1 != old.route {
            // One hop of several, or one of two routes of the same rank.
            return Trust::Lost;
        }
        routes.remove(at);
        if routes.is_empty() {
            self.routes.remove(&old.prefix);
        }
        self.tell_route(old.prefix, before.as_ref(), events);
        Trust::Kept
    }

    fn tell_route(&self, prefix: Prefix, before: Option<&Route>, events: &mut Vec<MirrorEvent>) {
        let now = self.best(prefix);
        if now == before {
            return;
        }
        events.push(match now {
            Some(route) => MirrorEvent::RouteSet {
                prefix,
                route: route.clone(),
            },
            None => MirrorEvent::RouteRemoved(prefix),
        });
    }

    fn best(&self, prefix: Prefix) -> Option<&Route> {
        best(self.routes.get(&prefix)?)
    }

    fn apply_neighbour(
        &mut self,
        interface: InterfaceId,
        addr: IpAddr,
        mac: Option<MacAddr>,
        events: &mut Vec<MirrorEvent>,
    ) {
        match mac {
            Some(mac) if self.neighbours.insert((interface, addr), mac) != Some(mac) => {
                events.push(MirrorEvent::NeighbourSet {
                    interface,
                    addr,
                    mac,
                });
            }
            None if self.neighbours.remove(&(interface, addr)).is_some() => {
                events.push(MirrorEvent::NeighbourRemoved { interface, addr });
            }
            _ => {}
        }
    }
}

fn best(routes: &[(Rank, Route)]) -> Option<&Route> {
    routes.first().map(|(_, route)| route)
}

/// The link as it is once it is gone.
fn vanished(link: &Link) -> Link {
    Link {
        running: false,
        admin_up: false,
        ..link.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::mirror::event::{NextHop, RouteTarget};

    const TWIN: InterfaceId = InterfaceId(3);
    const TWIN_IFINDEX: u32 = 7;

    fn view() -> View {
        View::new(HashMap::from([(TWIN_IFINDEX, TWIN)]))
    }

    fn route_through(router: &str) -> Route {
        Route {
            target: RouteTarget::NextHops(vec![NextHop {
                via: Some(router.parse().unwrap()),
                interface: TWIN,
                weight: 1,
            }]),
            mtu: None,
            preferred_source: None,
        }
    }

    fn prefix(text: &str) -> Prefix {
        let (addr, len) = text.split_once('/').unwrap();
        Prefix {
            addr: addr.parse().unwrap(),
            len: len.parse().unwrap(),
        }
    }

    fn ranked(text: &str, metric: u32, router: &str) -> RankedRoute {
        RankedRoute {
            prefix: prefix(text),
            rank: Rank { table: 0, metric },
            route: route_through(router),
        }
    }

    fn apply(view: &mut View, fact: Fact) -> (Trust, Vec<MirrorEvent>) {
        let mut events = Vec::new();
        let trust = view.apply(fact, false, &mut events);
        (trust, events)
    }

    #[test]
    fn only_the_best_route_to_a_prefix_is_told() {
        let mut view = view();
        let worse = ranked("10.0.0.0/8", 20, "192.0.2.1");
        let better = ranked("10.0.0.0/8", 10, "192.0.2.2");
        let set = |route: &RankedRoute| MirrorEvent::RouteSet {
            prefix: route.prefix,
            route: route.route.clone(),
        };

        let told: Vec<_> = [
            Fact::Route(worse.clone()),
            Fact::Route(better.clone()),
            Fact::RouteGone(worse.clone()),
            Fact::Route(worse.clone()),
            Fact::RouteGone(better.clone()),
            Fact::RouteGone(worse.clone()),
        ]
        .into_iter()
        .map(|fact| apply(&mut view, fact))
        .collect();

        let kept = |events| (Trust::Kept, events);
        assert_eq!(
            told,
            [
                kept(vec![set(&worse)]),
                kept(vec![set(&better)]),
                kept(vec![]),
                kept(vec![]),
                kept(vec![set(&worse)]),
                kept(vec![MirrorEvent::RouteRemoved(worse.prefix)]),
            ]
        );
    }

    #[test]
    fn a_table_looked_at_earlier_wins_whatever_the_metric() {
        let mut view = view();
        let mut first_table = ranked("10.0.0.0/8", 1000, "192.0.2.1");
        let mut second_table = ranked("10.0.0.0/8", 1, "192.0.2.2");
        first_table.rank.table = 0;
        second_table.rank.table = 1;

        let _ = apply(&mut view, Fact::Route(first_table));
        let (_, events) = apply(&mut view, Fact::Route(second_table));

        assert_eq!(events, []);
    }

    #[test]
    fn two_ipv4_routes_of_one_rank_are_left_to_linux_to_order() {
        let mut view = view();
        let _ = apply(&mut view, Fact::Route(ranked("10.0.0.0/8", 0, "192.0.2.1")));

        let second = ranked("10.0.0.0/8", 0, "192.0.2.2");
        let outcome = apply(&mut view, Fact::Route(second.clone()));
        assert_eq!(outcome, (Trust::Lost, vec![]));

        let mut events = Vec::new();
        let trust = view.apply(Fact::Route(second.clone()), true, &mut events);
        assert_eq!(trust, Trust::Kept);
        assert_eq!(
            events,
            [MirrorEvent::RouteSet {
                prefix: second.prefix,
                route: second.route
            }]
        );
    }

    #[test]
    fn a_removal_that_does_not_fit_asks_to_read_again() {
        let mut view = view();
        let _ = apply(&mut view, Fact::Route(ranked("10.0.0.0/8", 0, "192.0.2.1")));

        let one_hop = ranked("10.0.0.0/8", 0, "192.0.2.9");
        let outcome = apply(&mut view, Fact::RouteGone(one_hop));

        assert_eq!(outcome, (Trust::Lost, vec![]));
    }

    #[test]
    fn a_neighbour_merely_confirmed_is_not_told_again() {
        let mut view = view();
        let addr: IpAddr = "192.0.2.1".parse().unwrap();
        let seen = |mac| Fact::Neighbour {
            interface: TWIN,
            addr,
            mac,
        };
        let mac = MacAddr([2, 0, 0, 0, 0, 9]);

        assert_eq!(apply(&mut view, seen(Some(mac))).1.len(), 1);
        assert_eq!(apply(&mut view, seen(Some(mac))).1, []);
        assert_eq!(
            apply(&mut view, seen(None)).1,
            [MirrorEvent::NeighbourRemoved {
                interface: TWIN,
                addr
            }]
        );
        assert_eq!(apply(&mut view, seen(None)).1, []);
    }

    #[test]
    fn an_interface_set_down_asks_to_read_again_even_if_it_is_no_twin() {
        let mut view = view();
        let up = Link {
            ifindex: 99,
            admin_up: true,
            running: true,
            ..Link::default()
        };

        assert_eq!(
            apply(&mut view, Fact::Link(up.clone())),
            (Trust::Kept, vec![])
        );
        assert_eq!(
            apply(&mut view, Fact::Link(vanished(&up))),
            (Trust::Lost, vec![])
        );
    }

    #[test]
    fn differences_turn_one_picture_into_the_other() {
        let neighbour = |last: u8| Fact::Neighbour {
            interface: TWIN,
            addr: IpAddr::from([192, 0, 2, last]),
            mac: Some(MacAddr([2, 0, 0, 0, 0, last])),
        };
        let address = |last: u8| InterfaceAddress {
            interface: TWIN,
            addr: IpAddr::from([192, 0, 2, last]),
            prefix_len: 24,
        };
        let link = |mtu| Link {
            ifindex: TWIN_IFINDEX,
            mtu,
            ..Link::default()
        };
        let mut old = view();
        old.fill(Fact::Link(link(1500)));
        old.fill(Fact::Address(address(1)));
        old.fill(neighbour(1));
        old.fill(neighbour(2));
        old.fill(Fact::Route(ranked("10.0.0.0/8", 0, "192.0.2.1")));
        old.fill(Fact::Route(ranked("10.1.0.0/16", 0, "192.0.2.1")));
        let mut fresh = view();
        fresh.fill(Fact::Link(link(9000)));
        fresh.fill(Fact::Address(address(2)));
        fresh.fill(neighbour(2));
        fresh.fill(Fact::Route(ranked("10.1.0.0/16", 0, "192.0.2.2")));

        let events = old.differences(&fresh);

        assert_eq!(
            events,
            [
                MirrorEvent::LinkChanged {
                    interface: TWIN,
                    mtu: 9000,
                    up: false,
                    mac: MacAddr::default()
                },
                MirrorEvent::AddressRemoved(address(1)),
                MirrorEvent::AddressAdded(address(2)),
                MirrorEvent::NeighbourRemoved {
                    interface: TWIN,
                    addr: "192.0.2.1".parse().unwrap()
                },
                MirrorEvent::RouteRemoved(prefix("10.0.0.0/8")),
                MirrorEvent::RouteSet {
                    prefix: prefix("10.1.0.0/16"),
                    route: route_through("192.0.2.2")
                },
            ]
        );
        assert_eq!(fresh.differences(&fresh), []);
    }
}
