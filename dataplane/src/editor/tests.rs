//! Single changes beside whole configurations, and what is kept by counting beside what a look
//! at everything finds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::address::{Address, Endpoint, Protocol};
use crate::hasher::FastMap;
use crate::id::Weight;
use crate::schedule::{FlowInfo, Schedule};
use crate::service::{Method, MssClamp, SchedulerKind, ServiceKey, Unserved};
use crate::snapshot::{ReplySource, ReplyVips, Role};
use crate::time::Tick;

#[derive(Clone, Debug)]
enum Step {
    Put(ServiceSpec),
    Remove(ServiceKey),
    /// Linux has an address, or has it no more.
    Host(IpAddr, bool),
    /// So many seconds later, with all snapshots so far adopted or not.
    Collect(u64, bool),
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        9 => (1..6_u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
        1 => Just("2001:db8::1".parse().unwrap()),
    ]
}

fn key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let by_address = (protocol, address(), 80..82_u16).prop_map(|(protocol, addr, port)| {
        ServiceKey::address(protocol, Endpoint::new(addr, port))
    });
    prop_oneof![
        8 => by_address,
        2 => (1..3_u32).prop_map(ServiceKey::Mark),
        1 => Just(ServiceKey::Mark6(1)),
    ]
}

fn server() -> impl Strategy<Value = ServerSpec> {
    let method = prop_oneof![Just(Method::Dr), Just(Method::Nat), Just(Method::Fullnat)];
    (address(), 80..82_u16, method, 0..3_u32).prop_map(|(addr, port, method, weight)| ServerSpec {
        endpoint: Endpoint::new(addr, port),
        weight: Weight(weight),
        method,
        upper_threshold: weight,
        lower_threshold: 0,
        edits: 0,
    })
}

fn service() -> impl Strategy<Value = ServiceSpec> {
    let servers = proptest::collection::vec(server(), 0..4);
    let locals = proptest::collection::btree_set(6..9_u8, 0..3);
    let unserved = prop_oneof![Just(Unserved::Linux), Just(Unserved::Drop)];
    let addr = (1..5_u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
    let checked = proptest::collection::vec(addr, 0..3);
    let parts = (key(), servers, checked, locals, unserved);
    parts.prop_map(|(key, mut servers, checked, locals, unserved)| {
        let mut seen = BTreeSet::new();
        servers.retain(|server| seen.insert(server.endpoint));
        let locals = locals.into_iter().map(|last| LocalSpec {
            addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
            ports: 1_024..=1_100,
            host: last == 6,
        });
        ServiceSpec {
            key,
            scheduler: SchedulerKind::Rr,
            servers,
            checked,
            local_addresses: locals.collect(),
            unserved,
            mss_clamp: MssClamp::Auto,
            persistence: None,
            one_packet: false,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let host = (1..9_u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
    prop_oneof![
        6 => service().prop_map(Step::Put),
        2 => key().prop_map(Step::Remove),
        1 => (host, any::<bool>()).prop_map(|(addr, has)| Step::Host(addr, has)),
        2 => (0..200_u64, any::<bool>()).prop_map(|(later, all)| Step::Collect(later, all)),
    ]
}

fn editor() -> Editor {
    Editor::new(
        1,
        Steering::Software { workers: 1 },
        Timeouts::default(),
        Vec::new(),
    )
}

/// What a snapshot says, without the numbers of slots, in an order of its own.
fn said(snapshot: &Snapshot) -> Vec<String> {
    let server = |server: &crate::service::RealServer| {
        format!(
            "{}:{} {} {} {}-{} {}",
            server.endpoint.addr,
            server.endpoint.port,
            server.weight.0,
            server.method,
            server.upper_threshold,
            server.lower_threshold,
            server.available
        )
    };
    let mut said = Vec::new();
    for service in snapshot.services.iter().flatten() {
        let servers: Vec<_> = service.servers.iter().map(|it| server(it)).collect();
        let locals: Vec<_> = (service.local_addresses.iter())
            .map(|it| it.addr())
            .collect();
        said.push(format!("{} {servers:?} {locals:?}", service.key));
    }
    for known in snapshot.servers.iter().flatten() {
        said.push(format!("{} has or had {}", known.service, server(known)));
    }
    for ((protocol, end), slot) in &*snapshot.service_index {
        let service = snapshot.services.get(slot.index()).unwrap();
        let key = service.as_ref().unwrap().key;
        said.push(format!("{protocol} {}:{} is {key}", end.addr, end.port));
    }
    for (mark, slot) in &*snapshot.marked_services {
        let service = snapshot.services.get(slot.index()).unwrap();
        said.push(format!("{mark} is {}", service.as_ref().unwrap().key));
    }
    for (addr, role) in &*snapshot.roles {
        let role = match role {
            Role::Host => "host".to_owned(),
            Role::Vip(unserved) => format!("{unserved:?}"),
            Role::Local { pool, host } => format!("local {} {host}", pool.addr()),
        };
        said.push(format!("{addr} {role}"));
    }
    said.extend(sorted(&all(snapshot)).map(|it| format!("nat {it:?}")));
    said.push(format!("{:?}", snapshot.has_services));
    said.sort();
    said
}

fn all(snapshot: &Snapshot) -> FastMap<ReplySource, ReplyVips> {
    let sources = snapshot.nat_servers.iter();
    sources.map(|(it, vips)| (*it, vips.clone())).collect()
}

/// Sources of replies, in an order of their own.
fn sorted(
    sources: &FastMap<ReplySource, ReplyVips>,
) -> impl Iterator<Item = (u8, Endpoint<V4>, Vec<Endpoint<V4>>, bool)> {
    let sources = sources.iter().map(|((protocol, end), replies)| {
        let mut vips = replies.vips.clone();
        vips.sort();
        (*protocol as u8, *end, vips, replies.any)
    });
    let sources: BTreeSet<_> = sources.collect();
    sources.into_iter()
}

/// What the indices of an editor would be if somebody looked at everything.
fn check_indices(editor: &Editor) {
    let next = &editor.next;
    let book = &editor.services;
    let by_nat = book.specs.values().flat_map(|(_, spec)| {
        let servers = spec.servers.iter();
        let by_nat = servers.filter(|server| server.method == Method::Nat);
        by_nat.map(|server| (spec.key, server.endpoint))
    });
    let past = book.retired.keys().chain(book.once_nat.keys());
    let mut expected = FastMap::default();
    let mut addresses = BTreeSet::new();
    for (key, endpoint) in by_nat.chain(past.copied()) {
        if let Some(addr) = V4::from_ip(endpoint.addr) {
            index::note_replies(&mut expected, key, Endpoint::new(addr, endpoint.port));
            addresses.insert(addr);
        }
    }
    // A service of IPv6 has no replies that could be told apart.
    expected.retain(|_, replies| replies.any || !replies.vips.is_empty());
    let [found, expected] = [all(next), expected].map(|it| sorted(&it).collect::<Vec<_>>());
    assert_eq!(found, expected);
    let found: BTreeSet<_> = next.nat_addresses.iter().copied().collect();
    assert_eq!(found, addresses);

    let gone = book.retired.keys().map(|(key, _)| *key);
    let gone: BTreeSet<_> = gone.filter(|key| !book.specs.contains_key(key)).collect();
    let is_mark = |key: &&ServiceKey| matches!(key, ServiceKey::Mark(_));
    assert_eq!(next.past_services.marks, gone.iter().any(|it| is_mark(&it)));
    let v4 = |key: &ServiceKey| {
        let end = key.virtual_endpoint()?;
        Some(Endpoint::new(V4::from_ip(end.addr)?, end.port))
    };
    let ends: BTreeSet<_> = gone.iter().filter_map(v4).collect();
    let found: BTreeSet<_> = next.past_services.ends.iter().map(|it| it.1).collect();
    assert_eq!(found, ends);

    let before = sorted(&next.local_servers).collect::<Vec<_>>();
    let mut fresh = Editor {
        next: next.clone(),
        ..self::editor()
    };
    fresh.index.look_at_local_servers();
    fresh.index_local_servers();
    let fresh = sorted(&fresh.next.local_servers).collect::<Vec<_>>();
    assert_eq!(before, fresh);

    let slots = next.servers.iter().flatten().map(|it| it.endpoint.addr);
    let checked = (book.specs.values()).flat_map(|(_, spec)| spec.checked.iter().copied());
    let mut expected = BTreeMap::new();
    for addr in slots.chain(checked).filter_map(V4::from_ip) {
        *expected.entry(addr).or_insert(0) += 1;
    }
    let found: BTreeMap<_, _> = next.servers_at.iter().map(|(at, n)| (*at, *n)).collect();
    assert_eq!(found, expected);

    let serves = |key: &ServiceKey| !key.is_ipv6();
    assert_eq!(next.has_services, book.specs.keys().any(serves));
}

fn take(editor: &mut Editor, step: &Step, now: &mut u64) {
    match step {
        Step::Host(addr, true) => editor.add_host_address(*addr),
        Step::Host(addr, false) => editor.remove_host_address(*addr),
        Step::Collect(later, all) => {
            *now += later;
            let generation = editor.state().generation;
            let adopted = if *all { generation } else { 0 };
            editor.collect(adopted, Duration::from_secs(*now));
        }
        Step::Put(_) | Step::Remove(_) => {}
    }
}

/// A service with servers of these last bytes and weights.
fn with_servers(scheduler: SchedulerKind, servers: &[(u32, u32)]) -> ServiceSpec {
    let server = |&(number, weight): &(u32, u32)| ServerSpec {
        endpoint: Endpoint::new(IpAddr::V4(Ipv4Addr::from(0x0a02_0000 + number)), 80),
        weight: Weight(weight),
        method: Method::Dr,
        upper_threshold: 0,
        lower_threshold: 0,
        // Somebody has said each weight.
        edits: weight,
    };
    ServiceSpec {
        key: ServiceKey::Mark(1),
        scheduler,
        servers: servers.iter().map(server).collect(),
        checked: Vec::new(),
        local_addresses: Vec::new(),
        unserved: Unserved::Drop,
        mss_clamp: MssClamp::Auto,
        persistence: None,
        one_packet: false,
    }
}

/// The servers of the one service, in its order, and who gets the next session.
fn next_of(editor: &mut Editor) -> (Vec<Endpoint<IpAddr>>, Option<usize>) {
    let flow = FlowInfo::of(Endpoint::new(V4(1), 1), V4(2), Tick::default());
    let snapshot = editor.snapshot();
    let service = snapshot.services.iter().flatten().next().unwrap();
    let servers = &service.servers;
    (
        servers.iter().map(|it| it.endpoint).collect(),
        service.scheduler.pick(servers, flow),
    )
}

proptest! {
    #[test]
    fn servers_that_change_at_once_are_as_if_one_had_changed_after_the_other(
        before in proptest::collection::btree_map(0..8_u32, 1..13_u32, 0..8),
        after in proptest::collection::btree_map(0..8_u32, 1..13_u32, 0..8),
        picks in 0..9,
        kind in prop::sample::select(vec![SchedulerKind::Rr, SchedulerKind::Wrr]),
    ) {
        let [before, after] = [before, after].map(|it| it.into_iter().collect::<Vec<_>>());
        let (mut at_once, mut by_one) = (editor(), editor());
        for editor in [&mut at_once, &mut by_one] {
            editor.put_service(&with_servers(kind, &before));
            for _ in 0..picks {
                next_of(editor);
            }
        }

        at_once.put_service(&with_servers(kind, &after));
        let mut steps = before.clone();
        for (number, _) in &before {
            if !after.iter().any(|it| it.0 == *number) {
                steps.retain(|it| it.0 != *number);
                by_one.put_service(&with_servers(kind, &steps));
            }
        }
        for server in &after {
            match steps.iter_mut().find(|it| it.0 == server.0) {
                Some(known) => *known = *server,
                None => steps.push(*server),
            }
            by_one.put_service(&with_servers(kind, &steps));
        }

        for _ in 0..3 {
            prop_assert_eq!(next_of(&mut at_once), next_of(&mut by_one));
        }
    }

    #[test]
    fn single_changes_come_to_what_the_whole_comes_to(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let (mut by_one, mut by_all) = (editor(), editor());
        let mut wanted: BTreeMap<ServiceKey, ServiceSpec> = BTreeMap::new();
        let mut now = 0;

        for step in steps {
            match &step {
                Step::Put(spec) => {
                    let mut spec = spec.clone();
                    // What all services of a VIP say together.
                    let vip = |key: ServiceKey| key.virtual_endpoint().map(|it| it.addr);
                    let other = wanted.values().find(|it| {
                        it.key != spec.key && vip(it.key).is_some() && vip(it.key) == vip(spec.key)
                    });
                    spec.unserved = other.map_or(spec.unserved, |it| it.unserved);
                    by_one.put_service(&spec);
                    wanted.insert(spec.key, spec);
                }
                Step::Remove(key) => {
                    by_one.remove_service(*key);
                    wanted.remove(key);
                }
                Step::Host(..) | Step::Collect(..) => {}
            }
            let all: Vec<_> = wanted.values().cloned().collect();
            by_all.set_services(&all);
            let mut later = now;
            take(&mut by_one, &step, &mut later);
            take(&mut by_all, &step, &mut now);
            let [one, all] = [&mut by_one, &mut by_all].map(Editor::snapshot);

            check_indices(&by_one);
            prop_assert_eq!(said(&one), said(&all));
        }
    }
}
