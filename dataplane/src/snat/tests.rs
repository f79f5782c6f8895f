//! Beside a model: no tuple is ever lent twice, replies come home, and ports rest.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::steering::DEFAULT_KEY;
use crate::time::TICKS_PER_SECOND;

const W0: WorkerId = WorkerId(0);
const NOW: Tick = Tick(5_000_000);

fn lip() -> IpAddr {
    [10, 2, 0, 1].into()
}

fn server(n: u8) -> Endpoint<V4> {
    Endpoint::new(V4::from([10, 2, 0, 11 + n]), 80)
}

fn rss(entries: usize, workers: u16) -> Steering {
    let table: Vec<_> = (0..workers).cycle().take(entries).map(WorkerId).collect();
    Steering::toeplitz(&DEFAULT_KEY, &table).unwrap()
}

fn reply<A: Address>(server: Endpoint<A>, lip: A, port: u16) -> FlowKey<A> {
    FlowKey {
        source: server,
        destination: Endpoint::new(lip, port),
        protocol: Protocol::Tcp,
    }
}

fn seconds(count: u32) -> u32 {
    count * TICKS_PER_SECOND
}

fn by_bucket(servers: impl IntoIterator<Item = Endpoint<V4>>) -> ServersByBucket {
    let mut by_bucket = ServersByBucket::default();
    let ends = servers.into_iter();
    by_bucket.extend(ends.map(|it| Endpoint::new(it.addr.to_ip(), it.port)));
    by_bucket
}

/// Lends until nothing is left.
fn take_all(local: &LocalAddress, worker: WorkerId, server: Endpoint<V4>) -> Vec<u16> {
    std::iter::from_fn(|| local.take(worker, server, Protocol::Tcp, NOW))
        .map(|lent| lent.port)
        .collect()
}

#[test]
fn replies_to_a_lent_port_come_home_and_workers_share_all_ports() {
    for workers in 1..=16 {
        for steering in [
            Steering::Software { workers },
            rss(128, workers),
            rss(512, workers),
        ] {
            let local = LocalAddress::new(lip(), 1024..=3071, &steering, workers.into(), 0);
            let mut lent = HashSet::new();

            for worker in (0..workers).map(WorkerId) {
                for port in take_all(&local, worker, server(0)) {
                    let reply = reply(server(0), V4::from([10, 2, 0, 1]), port);
                    assert_eq!(steering.local_reply_owner(&reply), worker, "{steering:?}");
                    assert!(lent.insert(port), "{port} lent twice by {steering:?}");
                }
            }

            assert_eq!(lent.len(), 2048, "{steering:?}");
            assert_eq!(local.in_use(), 2048);
        }
    }
}

#[test]
fn ipv6_replies_come_home_too() {
    let lip = V6(0x2001_0db8_0009_0000_0000_0000_0000_0001);
    let server = Endpoint::new(V6(0x2001_0db8_0009_0000_0000_0000_0000_0011), 443);
    let steering = rss(128, 3);
    let local = LocalAddress::new(lip.to_ip(), DEFAULT_PORTS, &steering, 3, 0);

    for worker in (0..3).map(WorkerId) {
        for _ in 0..500 {
            let lent = local.take(worker, server, Protocol::Tcp, NOW).unwrap();
            let reply = reply(server, lip, lent.port);
            assert_eq!(steering.local_reply_owner(&reply), worker);
        }
    }
}

#[test]
fn a_port_that_could_move_is_lent_to_the_other_server_when_it_is_back() {
    for steering in [Steering::Software { workers: 2 }, rss(128, 2)] {
        // Given that all ports of one server's bucket are lent.
        let local = LocalAddress::new(lip(), 1024..=1087, &steering, 2, 0);
        let (from, to) = (server(0), server(4));
        let worker = WorkerId(1);
        let ports = take_all(&local, worker, from);
        take_all(&local, worker, to);
        let end = |port| Endpoint::new(V4::from([10, 2, 0, 1]), port);

        let mut moved = 0;
        for port in ports {
            // When one comes back, then the other server gets it if that was said before.
            let could_move = local.could_move(worker, end(port), from, to);
            local.give_back(worker, from, port, NOW, None);
            let lent = local.take(worker, to, Protocol::Tcp, NOW);
            assert_eq!(lent.map(|lent| lent.port), could_move.then_some(port));
            moved += usize::from(could_move);
        }

        assert!(moved > 8, "{moved} under {steering:?}");
        assert!(!local.could_move(worker, end(1024), from, server(1)));
        assert!(!local.could_move(worker, end(1023), from, to));
        assert!(!local.could_move(worker, Endpoint::new(V4(7), 1024), from, to));
    }
}

#[test]
fn a_server_of_the_other_family_gets_no_port() {
    let steering = Steering::Software { workers: 1 };
    let local = LocalAddress::new(lip(), DEFAULT_PORTS, &steering, 1, 0);

    let lent = local.take(W0, Endpoint::new(V6(1), 80), Protocol::Tcp, NOW);

    assert_eq!(lent, None);
    assert!(!local.reserve(W0, Endpoint::new(V6(1), 80), 2000));
}

#[test]
fn a_pool_of_64_ports_ends_at_64_sessions_and_lends_again_what_comes_back() {
    for steering in [Steering::Software { workers: 1 }, rss(128, 1)] {
        let local = LocalAddress::new(lip(), 2000..=2063, &steering, 1, 0);

        let ports = take_all(&local, W0, server(0));
        assert_eq!(ports, (2000..=2063).collect::<Vec<_>>());

        local.give_back(W0, server(0), 2007, NOW, Some(9));
        let again = local.take(W0, server(0), Protocol::Tcp, NOW.plus(1));
        assert_eq!(
            again,
            Some(Lent {
                port: 2007,
                previous_end: Some(9),
            })
        );
        assert_eq!(local.take(W0, server(0), Protocol::Tcp, NOW.plus(1)), None);
        let capacity = local.capacity_towards(by_bucket([server(0)]));
        assert_eq!((local.in_use(), capacity), (64, 64));
    }
}

#[test]
fn seeds_begin_at_different_ports_and_lend_each_once_in_the_order_they_rested() {
    for steering in [Steering::Software { workers: 2 }, rss(128, 2)] {
        let pool = |seed| LocalAddress::new(lip(), 2000..=4047, &steering, 2, seed);
        let sorted = |mut ports: Vec<u16>| {
            ports.sort_unstable();
            ports
        };

        // Given two starts of a gateway with the same address.
        let (before, after) = (pool(3 << 60), pool(9 << 60));
        let old = take_all(&before, W0, server(0));
        let new = take_all(&after, W0, server(0));

        // Then the first quarter of the ports of one start is none of the other's.
        let quarter = old.len() / 4;
        let poisoned: HashSet<_> = old[..quarter].iter().collect();
        assert!(!new[..quarter].iter().any(|port| poisoned.contains(port)));
        // And both lend the same ports, each once.
        assert_eq!(sorted(old.clone()), sorted(new.clone()));
        assert_eq!(new.iter().collect::<HashSet<_>>().len(), new.len());

        // And what comes back is lent in the order it came.
        let back = [new[5], new[900], new[17]];
        for (port, n) in back.into_iter().zip(1..) {
            after.give_back(W0, server(0), port, NOW.plus(seconds(n)), None);
        }
        let later = NOW.plus(seconds(60));
        let again = back.map(|_| {
            after
                .take(W0, server(0), Protocol::Udp, later)
                .unwrap()
                .port
        });
        assert_eq!(again, back);
    }
}

#[test]
fn a_port_that_was_reserved_is_lent_to_nobody_until_it_comes_back() {
    for steering in [Steering::Software { workers: 1 }, rss(128, 1)] {
        // Given a pool of four ports, one of which had a session before.
        let local = LocalAddress::new(lip(), 2000..=2003, &steering, 1, 0);
        let first = local.take(W0, server(0), Protocol::Udp, NOW).unwrap();
        local.give_back(W0, server(0), first.port, NOW, None);

        // When that one and another from the middle are reserved.
        assert!(local.reserve(W0, server(0), 2002));
        assert!(local.reserve(W0, server(0), first.port));
        assert!(!local.reserve(W0, server(0), 2002), "it is lent");
        assert!(
            !local.reserve(W0, server(0), 2004),
            "it is none of the pool's"
        );
        assert!(!local.reserve(WorkerId(7), server(0), 2001));
        assert_eq!(local.in_use(), 2);

        // Then the others are lent, and it is again when it is back.
        assert_eq!(take_all(&local, W0, server(0)), [2001, 2003]);
        local.give_back(W0, server(0), 2002, NOW, None);
        assert_eq!(take_all(&local, W0, server(0)), [2002]);
        assert_eq!(local.in_use(), 4);
    }
}

#[test]
fn one_address_carries_all_ports_to_each_of_four_servers() {
    let steering = Steering::Software { workers: 2 };
    let local = LocalAddress::new(lip(), DEFAULT_PORTS, &steering, 2, 0);

    for n in 0..4 {
        let to_one_server =
            take_all(&local, W0, server(n)).len() + take_all(&local, WorkerId(1), server(n)).len();
        assert_eq!(to_one_server, 64_512);
    }

    assert_eq!(local.in_use(), 4 * 64_512);
    let capacity = local.capacity_towards(by_bucket((0..4).map(server)));
    assert_eq!(local.in_use(), capacity);
}

/// Ports are shared by servers of different buckets: it is the tuple that must be unique.
#[test]
fn one_address_carries_more_sessions_to_eight_servers_than_there_are_ports() {
    for steering in [Steering::Software { workers: 3 }, rss(128, 3), rss(512, 2)] {
        let workers = steering.workers();
        let local = LocalAddress::new(lip(), DEFAULT_PORTS, &steering, workers.into(), 0);
        let mut tuples = HashSet::new();

        for n in 0..120_000_u32 {
            let to = server(u8::try_from(n % 8).unwrap());
            let worker = WorkerId(u16::try_from(n / 8).unwrap_or(u16::MAX) % workers);
            let lent = local.take(worker, to, Protocol::Tcp, NOW).unwrap();
            assert!(tuples.insert((lent.port, to)), "{to:?} {lent:?}");
        }

        assert_eq!(local.in_use(), 120_000);
    }
}

#[test]
fn no_more_is_lent_to_servers_of_one_bucket_than_the_capacity_says() {
    // Given servers 0, 4, 8 and 12, which are of one bucket.
    for (steering, most) in [(Steering::Software { workers: 3 }, 64), (rss(128, 2), 128)] {
        let workers = steering.workers();
        let local = LocalAddress::new(lip(), 2000..=2063, &steering, workers.into(), 0);
        let servers = || [0, 4, 8, 12].map(server);

        for worker in (0..workers).map(WorkerId) {
            for server in servers() {
                take_all(&local, worker, server);
            }
        }

        assert_eq!(local.capacity_towards(by_bucket(servers())), most);
        assert_eq!(local.capacity_towards(by_bucket([])), 0);
        assert!(
            local.in_use() >= 64 && local.in_use() <= most,
            "{}",
            local.in_use()
        );
    }
}

#[test]
fn a_range_without_a_port_for_a_worker_lends_it_nothing() {
    let steering = Steering::Software { workers: 4 };
    let local = LocalAddress::new(lip(), 2001..=2002, &steering, 4, 0);

    assert_eq!(take_all(&local, W0, server(0)), []);
    assert_eq!(take_all(&local, WorkerId(1), server(0)), [2001]);
    assert_eq!(take_all(&local, WorkerId(9), server(0)), []);
}

#[test]
fn port_0_is_never_lent() {
    let steering = Steering::Software { workers: 1 };
    let local = LocalAddress::new(lip(), 0..=2, &steering, 1, 0);

    assert_eq!(take_all(&local, W0, server(0)), [1, 2]);
}

#[test]
fn the_end_of_a_tcp_session_is_told_for_120_seconds() {
    let steering = Steering::Software { workers: 1 };
    let local = LocalAddress::new(lip(), 2000..=2000, &steering, 1, 0);
    let take = |protocol, at| {
        local
            .take(W0, server(0), protocol, at)
            .unwrap()
            .previous_end
    };

    assert_eq!(take(Protocol::Tcp, NOW), None);
    local.give_back(W0, server(0), 2000, NOW, Some(7));
    assert_eq!(take(Protocol::Tcp, NOW.plus(seconds(120) - 1)), Some(7));
    local.give_back(W0, server(0), 2000, NOW, Some(8));
    assert_eq!(take(Protocol::Tcp, NOW.plus(seconds(120))), None);
}

#[test]
fn a_udp_session_in_between_keeps_the_tcp_record_and_its_age() {
    let steering = Steering::Software { workers: 1 };
    let local = LocalAddress::new(lip(), 2000..=2000, &steering, 1, 0);
    let take = |protocol, at| {
        local
            .take(W0, server(0), protocol, at)
            .unwrap()
            .previous_end
    };

    take(Protocol::Tcp, NOW);
    local.give_back(W0, server(0), 2000, NOW, Some(7));
    assert_eq!(take(Protocol::Udp, NOW), None);
    local.give_back(W0, server(0), 2000, NOW.plus(seconds(100)), None);
    assert_eq!(take(Protocol::Tcp, NOW.plus(seconds(110))), Some(7));
    local.give_back(W0, server(0), 2000, NOW.plus(seconds(110)), None);
    assert_eq!(take(Protocol::Tcp, NOW.plus(seconds(121))), None);
}

/// One step of a history: lend any port towards a server, or one particular, or give back that of
/// the n-th session.
#[derive(Clone, Debug)]
enum Step {
    Take(u16, u8, Protocol),
    Reserve(u16, u8, u16),
    GiveBack(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    prop_oneof![
        3 => (0..3_u16, 0..6_u8, protocol).prop_map(|(w, s, p)| Step::Take(w, s, p)),
        1 => (0..3_u16, 0..6_u8, 1998..2026_u16).prop_map(|(w, s, p)| Step::Reserve(w, s, p)),
        3 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
    ]
}

/// A worker's port in a bucket of servers.
type Place = (WorkerId, usize, u16);

#[derive(Debug, Default)]
struct Model {
    lent: HashSet<Place>,
    freed: HashMap<Place, Tick>,
    tcp_end: HashMap<Place, (u32, Tick)>,
    sessions: Vec<(WorkerId, u8, u16, Protocol)>,
}

impl Model {
    /// The free ports whose replies come home, and when they were given back.
    fn free(
        &self,
        steering: &Steering,
        (worker, to): (WorkerId, u8),
        ports: RangeInclusive<u16>,
    ) -> Vec<(u16, Option<Tick>)> {
        let bucket = bucket_of(server(to));
        ports
            .filter(|port| {
                let reply = reply(server(to), V4::from([10, 2, 0, 1]), *port);
                steering.local_reply_owner(&reply) == worker
                    && !self.lent.contains(&(worker, bucket, *port))
            })
            .map(|port| (port, self.freed.get(&(worker, bucket, port)).copied()))
            .collect()
    }
}

/// When the longest rested of the free ports in the class of `port` was given back; `None` is
/// never.
fn longest_rested(local: &LocalAddress, free: &[(u16, Option<Tick>)], port: u16) -> Option<Tick> {
    let same_class = |other: u16| local.port_class::<V4>(other) == local.port_class::<V4>(port);
    (free.iter())
        .filter(|(other, _)| same_class(*other))
        .map(|(_, freed)| *freed)
        .min_by_key(|freed| freed.map(|tick| tick.0))
        .flatten()
}

fn run(steering: &Steering, steps: &[Step]) -> Result<(), TestCaseError> {
    let ports = 2000..=2023;
    let local = LocalAddress::new(lip(), ports.clone(), steering, 3, 0);
    let mut model = Model::default();
    // 20 s a step, so that the window opens and closes.
    for (step, now) in steps.iter().zip((0..).map(|n| NOW.plus(n * seconds(20)))) {
        match step {
            Step::Take(worker, to, protocol) => {
                let worker = WorkerId(*worker);
                let free = model.free(steering, (worker, *to), ports.clone());
                let lent = local.take(worker, server(*to), *protocol, now);
                prop_assert_eq!(lent.is_some(), !free.is_empty());
                let Some(lent) = lent else { continue };

                let place = (worker, bucket_of(server(*to)), lent.port);
                prop_assert!(model.lent.insert(place), "{:?} lent twice", place);
                let reply = reply(server(*to), V4::from([10, 2, 0, 1]), lent.port);
                prop_assert_eq!(steering.local_reply_owner(&reply), worker);
                let same_tuple = |s: &&(_, u8, u16, _)| (s.1, s.2) == (*to, lent.port);
                prop_assert_eq!(model.sessions.iter().find(same_tuple), None);
                let freed = model.freed.get(&place).copied();
                prop_assert_eq!(freed, longest_rested(&local, &free, lent.port));
                let end = model.tcp_end.get(&place).copied();
                let end = end.filter(|(_, at)| at.until(now).cast_unsigned() < seconds(120));
                let end = end.filter(|_| *protocol == Protocol::Tcp);
                prop_assert_eq!(lent.previous_end, end.map(|(end, _)| end));
                model.sessions.push((worker, *to, lent.port, *protocol));
            }
            Step::Reserve(worker, to, port) => {
                let worker = WorkerId(*worker);
                let place = (worker, bucket_of(server(*to)), *port);
                let reply = reply(server(*to), V4::from([10, 2, 0, 1]), *port);
                let expected = ports.contains(port)
                    && steering.local_reply_owner(&reply) == worker
                    && !model.lent.contains(&place);
                prop_assert_eq!(local.reserve(worker, server(*to), *port), expected);
                if expected {
                    model.lent.insert(place);
                    model.sessions.push((worker, *to, *port, Protocol::Udp));
                }
            }
            Step::GiveBack(which) if !model.sessions.is_empty() => {
                let which = which.index(model.sessions.len());
                let (worker, to, port, protocol) = model.sessions.swap_remove(which);
                let end = (protocol == Protocol::Tcp).then_some(now.0);
                local.give_back(worker, server(to), port, now, end);

                let place = (worker, bucket_of(server(to)), port);
                model.lent.remove(&place);
                model.freed.insert(place, now);
                if let Some(end) = end {
                    model.tcp_end.insert(place, (end, now));
                }
            }
            Step::GiveBack(_) => {}
        }
        prop_assert_eq!(local.in_use(), model.sessions.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lending_by_port_behaves_as_the_model(steps in prop::collection::vec(step(), 1..400)) {
        run(&Steering::Software { workers: 3 }, &steps)?;
    }

    #[test]
    fn lending_by_hash_behaves_as_the_model(steps in prop::collection::vec(step(), 1..400)) {
        run(&rss(16, 3), &steps)?;
    }
}
