//! The engine with servers that are well or not as a test says.

use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::service::ServiceKey;

use super::*;
use crate::config::{Damping, Edit, Health, Service};
use crate::gateway::EventKind;
use crate::health::testing::TCP;

const WEB: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
    [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"nat\"\nweight = 100\n\
    [[service.server]]\naddress = \"10.2.0.12\"\nmethod = \"nat\"\n";

/// How often a server is asked in these tests.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long to wait for what happens within some intervals.
const PATIENCE: Duration = Duration::from_secs(10);

fn gateway(health: Health) -> Arc<Gateway> {
    let gateway = crate::gateway::testing::gateway(WEB);
    change(&gateway, |web| web.health = Some(Arc::new(health)));
    gateway
}

fn change(gateway: &Gateway, change: impl FnOnce(&mut Service)) {
    let mut web = gateway.config().services()[0].clone();
    change(&mut web);
    gateway.edit(vec![Edit::Put(web)], &|_| Ok(())).unwrap();
}

fn tcp() -> Check {
    Check {
        timing: Timing {
            interval: INTERVAL,
            ..TCP.timing
        },
        ..TCP
    }
}

fn checked() -> Health {
    Health {
        checks: [tcp()].into(),
        damping: None,
        ..Health::default()
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 2, 0, last])
}

/// What servers do that are asked.
#[derive(Default)]
struct Servers {
    down: Vec<IpAddr>,
    /// Who was asked, in this order.
    asked: Vec<IpAddr>,
    /// How long an answer takes.
    takes: Duration,
    load: Option<u16>,
    /// How often a check was made ready.
    made: usize,
    /// Whether the gateway lacks something to ask them.
    lacks: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Servers>>);

impl Prober for Fake {
    type Ready = ();

    fn ready(&self, _check: &Check) -> Result<(), String> {
        self.0.lock().made += 1;
        Ok(())
    }

    async fn check(&self, (): &(), target: &ProbeTarget) -> Result<ProbeOutcome, ProbeFailure> {
        let server = target.server.ip();
        let takes = {
            let mut servers = self.0.lock();
            servers.asked.push(server);
            servers.takes
        };
        tokio::time::sleep(takes).await;
        let servers = self.0.lock();
        if servers.lacks {
            return Err(ProbeFailure::ours("too many files"));
        }
        if servers.down.contains(&server) {
            return Err(ProbeFailure::new("connection refused"));
        }
        Ok(ProbeOutcome {
            load: servers.load,
            ..ProbeOutcome::default()
        })
    }

    async fn agent(&self, _agent: Agent, _at: SocketAddr) -> Result<AgentWord, ProbeFailure> {
        Ok(AgentWord::default())
    }
}

impl Fake {
    fn start(&self, gateway: &Arc<Gateway>) -> Engine {
        let fake = self.clone();
        Engine::start_with(Arc::clone(gateway), None, move || fake).unwrap()
    }

    fn set(&self, last: u8, is_down: bool) {
        let mut servers = self.0.lock();
        servers.down.retain(|it| *it != address(last));
        if is_down {
            servers.down.push(address(last));
        }
    }

    fn asked(&self, last: u8) -> usize {
        let servers = self.0.lock();
        servers
            .asked
            .iter()
            .filter(|it| **it == address(last))
            .count()
    }
}

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The state of a server, and its weight in the packet path.
fn seen(gateway: &Gateway, last: u8) -> (String, Option<u32>) {
    let end = Endpoint::new(address(last), 80);
    let views = gateway.watched();
    let servers = views.iter().flat_map(|service| &service.servers);
    let mut servers = servers.filter(|it| it.address.ip() == end.addr);
    let state = servers
        .next()
        .map(|it| it.state.clone())
        .unwrap_or_default();
    let snapshot = gateway.published();
    let mut running = snapshot
        .services
        .iter()
        .flatten()
        .flat_map(|it| &it.servers);
    let weight = running.find(|it| it.endpoint == end).map(|it| it.weight.0);
    (state, weight)
}

fn is_seen(gateway: &Gateway, last: u8, state: &str, weight: Option<u32>) -> bool {
    seen(gateway, last) == (state.to_owned(), weight)
}

#[test]
fn a_server_that_fails_leaves_and_comes_back() {
    let gateway = gateway(checked());
    let fake = Fake::default();
    let mut watching = gateway.watch();
    let _engine = fake.start(&gateway);
    until("both are up", || {
        is_seen(&gateway, 11, "up", Some(100)) && is_seen(&gateway, 12, "up", Some(1))
    });

    fake.set(11, true);
    until("it has left", || is_seen(&gateway, 11, "down", None));
    assert_eq!(seen(&gateway, 12), ("up".to_owned(), Some(1)));
    fake.set(11, false);
    until("it is back", || is_seen(&gateway, 11, "up", Some(100)));

    let mut told = Vec::new();
    until("it is told", || watching.len() >= 4);
    while let Ok(event) = watching.try_recv() {
        match event.kind {
            EventKind::ServerDown { name, reason } => told.push((name.server.addr, reason)),
            EventKind::ServerUp(name) => told.push((name.server.addr, None)),
            _ => {}
        }
    }
    let of_it: Vec<_> = told
        .into_iter()
        .filter(|(addr, _)| *addr == address(11))
        .collect();
    let refused = Some("connection refused".to_owned());
    assert_eq!(
        of_it,
        [
            (address(11), None),
            (address(11), refused),
            (address(11), None)
        ]
    );
}

#[test]
fn changes_keep_what_is_known_and_disturb_nobody_else() {
    let gateway = gateway(checked());
    let fake = Fake::default();
    fake.set(12, true);
    let _engine = fake.start(&gateway);
    until("it has left", || is_seen(&gateway, 12, "down", None));

    change(&gateway, |web| {
        web.servers[0].weight = dataplane::id::Weight(7)
    });

    until("the weight is there", || {
        is_seen(&gateway, 11, "up", Some(7))
    });
    assert!(is_seen(&gateway, 12, "down", None));
    let runs = |last: usize| gateway.watched()[0].servers[last].checks[0].runs.bad;
    assert!(runs(1) > 0);

    change(&gateway, |web| drop(web.servers.remove(1)));
    until("it is not asked any more", || {
        let before = fake.asked(12);
        std::thread::sleep(INTERVAL * 3);
        fake.asked(12) == before
    });
    let before = fake.asked(11);
    until("the other one is", || fake.asked(11) > before);
    // Servers that are asked the same share what is made for it.
    assert_eq!(fake.0.lock().made, 1);
}

#[test]
fn runs_have_attempts_and_late_ones_are_counted() {
    let check = Check {
        timing: Timing {
            retry: 2,
            retry_delay: Duration::from_millis(1),
            ..tcp().timing
        },
        ..tcp()
    };
    let gateway = gateway(Health {
        checks: [check].into(),
        ..checked()
    });
    let fake = Fake::default();
    fake.0.lock().takes = INTERVAL * 2;
    let _engine = fake.start(&gateway);
    until("it is up", || is_seen(&gateway, 12, "up", Some(1)));

    fake.set(12, true);
    until("it has left", || is_seen(&gateway, 12, "down", None));

    assert!(fake.asked(12) >= 3);
    let reasons = gateway.watched()[0].servers[1].reasons.clone();
    assert_eq!(reasons, ["connection refused (after 3 attempts)"]);
    until("it is late", || {
        gateway.board().with(|it, _| it.overruns() > 0)
    });
}

#[test]
fn one_failure_is_enough_before_the_first_result() {
    let check = Check {
        timing: Timing {
            retry: 1_000,
            retry_delay: PATIENCE,
            ..tcp().timing
        },
        ..tcp()
    };
    let gateway = gateway(Health {
        checks: [check].into(),
        ..checked()
    });
    let fake = Fake::default();
    fake.set(12, true);
    let _engine = fake.start(&gateway);

    until("it has left", || is_seen(&gateway, 12, "down", None));
}

#[test]
fn servers_stay_as_they_are_while_the_gateway_cannot_ask_them() {
    let gateway = gateway(checked());
    let fake = Fake::default();
    fake.set(12, true);
    let _engine = fake.start(&gateway);
    until("11 is up", || is_seen(&gateway, 11, "up", Some(100)));
    until("12 has left", || is_seen(&gateway, 12, "down", None));

    fake.0.lock().lacks = true;
    let of = |server: usize| gateway.watched()[0].servers[server].clone();
    until("they are not asked", || {
        (0..2).all(|it| of(it).checks[0].runs.unasked > 5)
    });

    assert!(is_seen(&gateway, 11, "up", Some(100)));
    assert!(is_seen(&gateway, 12, "down", None));
    let lack = "not asked: too many files";
    assert_eq!(of(0).reasons, [lack]);
    assert_eq!(of(1).reasons, ["connection refused", lack]);
    fake.0.lock().lacks = false;
    until("they are asked", || of(0).reasons.is_empty());
}

#[test]
fn a_service_that_comes_back_at_once_stands_as_before() {
    let gateway = gateway(checked());
    let fake = Fake::default();
    fake.set(12, true);
    let _engine = fake.start(&gateway);
    until("it has left", || is_seen(&gateway, 12, "down", None));
    let web = gateway.config().services()[0].clone();

    // Before the engine can look.
    gateway.board().with(|_, _| {
        for edit in [Edit::Remove(web.key()), Edit::Put(web.clone())] {
            gateway.edit(vec![edit], &|_| Ok(())).unwrap();
        }
    });

    until("it has left again", || is_seen(&gateway, 12, "down", None));
}

#[test]
fn loads_move_weights_slowly() {
    let gateway = gateway(checked());
    let fake = Fake::default();
    fake.0.lock().load = Some(50);
    let _engine = fake.start(&gateway);

    until("it moves", || {
        let (state, weight) = seen(&gateway, 11);
        state == "up" && weight.is_some_and(|it| it < 100)
    });

    let (_, weight) = seen(&gateway, 11);
    assert!(weight.is_some_and(|it| it > 60), "{weight:?}");
    let reasons = gateway.watched()[0].servers[0].reasons.clone();
    assert!(reasons[0].starts_with("load "), "{reasons:?}");
    until("the bound is there", || {
        is_seen(&gateway, 11, "up", Some(50))
    });
}

#[test]
fn who_comes_and_goes_too_often_stays_away() {
    let gateway = gateway(Health {
        damping: Some(Damping {
            suppress: 1,
            reuse: 1,
            half_life: Duration::from_secs(3_600),
            longest: Duration::from_secs(2),
        }),
        ..checked()
    });
    let fake = Fake::default();
    let _engine = fake.start(&gateway);
    until("it is up", || is_seen(&gateway, 11, "up", Some(100)));

    fake.set(11, true);
    until("it is down", || is_seen(&gateway, 11, "down", None));
    let fell = Instant::now();
    fake.set(11, false);
    until("it is well, but damped", || {
        let reasons = gateway.watched()[0].servers[0].reasons.clone();
        reasons.first().is_none_or(|it| it.starts_with("damped"))
    });
    until("it is back", || is_seen(&gateway, 11, "up", Some(100)));

    // Its time ends to the tick of a second.
    assert!(fell.elapsed() < Duration::from_secs(5));
    let key: ServiceKey = gateway.config().services()[0].key();
    assert!(gateway.quorum(key));
}

#[test]
fn nobody_is_asked_once_the_engine_has_stopped() {
    let gateway = gateway(checked());
    let fake = Fake::default();
    let engine = fake.start(&gateway);
    until("it is asked", || fake.asked(11) > 0);

    drop(engine);

    let before = fake.asked(11);
    std::thread::sleep(INTERVAL * 3);
    assert_eq!(fake.asked(11), before);
}
