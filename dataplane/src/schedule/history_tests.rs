//! Replays histories whose every decision is known.
//!
//! `histories.txt` was made by an executable model of the kernel's schedulers that agreed with
//! Linux 6.1.192 in every decision of 302 random histories. Each line is one service: its
//! scheduler (`mh+fp`: with fallback and port;
//! `lblcr+30`: with an expiration of 30 seconds; `wlc@176`: by the rules of Linux 6.1.176) and what happens to it, in order.
//!
//! ```text
//!   a11:80:3:6:2   server 10.2.0.11:80 is added: weight 3, thresholds 6 and 2
//!   e11:0:6:2      it gets weight 0         d11        it is removed
//!   p=12           a session goes to .12    p=-        … to nobody
//!   p10.0.0.7:1024=12   … of this client
//!   p>10.9.0.3=12       … with this VIP instead of 10.1.0.100
//!   t31                 31 seconds go by
//!   +4  -4  x4     session 4 of those alive becomes active, inactive, ends
//! ```

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::load::Rules;
use super::*;
use crate::address::V4;
use crate::id::{ServerSlot, Weight};
use crate::service::{Method, ServerShared};
use crate::time::TICKS_PER_SECOND;

const HISTORIES: &str = include_str!("histories.txt");

/// A service under replay.
struct Replay {
    kind: SchedulerKind,
    scheduler: Scheduler,
    standings: Arc<Standings>,
    /// Newest first.
    servers: Vec<Arc<RealServer>>,
    /// Removed servers by host: the kernel revives them with their counts.
    trash: HashMap<u8, Arc<RealServer>>,
    /// Host and whether it is active.
    sessions: Vec<(u8, bool)>,
    picks: u32,
    now: Tick,
}

fn kind(name: &str) -> SchedulerKind {
    match name.split_once('+').unwrap_or((name, "")) {
        ("rr", _) => SchedulerKind::Rr,
        ("wrr", _) => SchedulerKind::Wrr,
        ("lc", _) => SchedulerKind::Lc,
        ("wlc", _) => SchedulerKind::Wlc,
        ("sed", _) => SchedulerKind::Sed,
        ("nq", _) => SchedulerKind::Nq,
        ("fo", _) => SchedulerKind::Fo,
        ("ovf", _) => SchedulerKind::Ovf,
        ("dh", _) => SchedulerKind::Dh,
        ("sh", options) => SchedulerKind::Sh {
            fallback: options.contains('f'),
            port: options.contains('p'),
        },
        ("mh", options) => SchedulerKind::Mh {
            fallback: options.contains('f'),
            port: options.contains('p'),
        },
        ("lblc", _) => SchedulerKind::Lblc {
            expiration_seconds: 86_400,
        },
        ("lblcr", seconds) => SchedulerKind::Lblcr {
            expiration_seconds: seconds.parse().unwrap(),
        },
        _ => panic!("no scheduler is called {name}"),
    }
}

fn host(server: &RealServer) -> u8 {
    u8::try_from(server.slot.0).unwrap()
}

fn numbers<T: std::str::FromStr, const N: usize>(text: &str) -> [T; N] {
    let mut parts = text.split(':').map(|part| part.parse().ok().unwrap());
    std::array::from_fn(|_| parts.next().unwrap())
}

impl Replay {
    fn new(kind: SchedulerKind, rules: Rules) -> Self {
        Self {
            kind,
            scheduler: Scheduler::new(kind, &[]),
            standings: Standings::under(rules),
            servers: Vec::new(),
            trash: HashMap::new(),
            sessions: Vec::new(),
            picks: 0,
            now: Tick(0),
        }
    }

    fn step(&mut self, step: &str) {
        let (verb, rest) = step.split_at(1);
        match verb {
            "a" => self.add(numbers(rest)),
            "e" => self.edit(numbers(rest)),
            "d" => self.remove(rest.parse().unwrap()),
            "p" => self.pick(rest),
            "+" => self.set_active(rest.parse().unwrap(), true),
            "-" => self.set_active(rest.parse().unwrap(), false),
            "x" => self.end(rest.parse().unwrap()),
            "t" => self.wait(rest.parse().unwrap()),
            _ => panic!("no step is called {step}"),
        }
    }

    fn place(&self, of: u8) -> usize {
        self.servers
            .iter()
            .position(|server| host(server) == of)
            .unwrap()
    }

    fn adopt(&mut self, changes: &[Change]) {
        self.scheduler = self.scheduler.changed(self.kind, &self.servers, changes);
    }

    fn add(&mut self, [of, port, weight, upper, lower]: [u32; 5]) {
        let of = u8::try_from(of).unwrap();
        let revived = self.trash.remove(&of);
        let shared = revived.as_ref().map_or_else(
            || Arc::new(ServerShared::new(1, &self.standings)),
            |server| Arc::clone(&server.shared),
        );
        let server = Arc::new(RealServer {
            service: crate::service::ServiceKey::WEB,
            slot: ServerSlot(of.into()),
            endpoint: Endpoint::new([10, 2, 0, of].into(), u16::try_from(port).unwrap()),
            weight: Weight(weight),
            last_weight: Weight(weight),
            method: Method::Nat,
            upper_threshold: upper,
            lower_threshold: lower,
            available: true,
            shared,
        });
        let before = revived.map_or((0, 0), |old| (old.upper_threshold, old.lower_threshold));
        if before != (upper, lower) {
            load::thresholds_changed(&server, before.0);
        }
        self.servers.insert(0, server);
        self.adopt(&[Change::Added(0, Weight(weight))]);
    }

    fn edit(&mut self, [of, weight, upper, lower]: [u32; 4]) {
        let place = self.place(u8::try_from(of).unwrap());
        let old = &self.servers[place];
        let new = Arc::new(RealServer {
            weight: Weight(weight),
            last_weight: if weight > 0 {
                Weight(weight)
            } else {
                old.last_weight
            },
            upper_threshold: upper,
            lower_threshold: lower,
            ..RealServer::clone(old)
        });
        if (old.upper_threshold, old.lower_threshold) != (upper, lower) {
            load::thresholds_changed(&new, old.upper_threshold);
        }
        let before = old.weight;
        self.servers[place] = new;
        self.adopt(&[Change::Edited(before, Weight(weight))]);
    }

    fn remove(&mut self, of: u8) {
        let place = self.place(of);
        let gone = self.servers.remove(place);
        let weight = gone.weight;
        self.trash.insert(of, gone);
        self.adopt(&[Change::Removed(place, weight)]);
    }

    fn pick(&mut self, rest: &str) {
        let (flow, expected) = rest.split_once('=').unwrap();
        let (client, vip) = flow.split_once('>').unwrap_or((flow, "10.1.0.100"));
        let (client, port) = client.split_once(':').unwrap_or(("192.0.2.1", "1"));
        let addr = |text: &str| V4::from(text.parse::<Ipv4Addr>().unwrap());
        let client = Endpoint::new(addr(client), port.parse().unwrap());
        let flow = FlowInfo::of(client, addr(vip), self.now);

        let picked = self.scheduler.pick(&self.servers, flow);

        let picked = picked.map(|place| Arc::clone(&self.servers[place]));
        let name = picked
            .as_ref()
            .map_or("-".into(), |server| host(server).to_string());
        assert_eq!(name, expected, "decision {} of {:?}", self.picks, self.kind);
        self.picks += 1;
        if let Some(server) = picked {
            load::bind(&server, false);
            self.sessions.push((host(&server), false));
        }
    }

    fn wait(&mut self, seconds: u32) {
        self.now = self.now.plus(seconds * TICKS_PER_SECOND);
    }

    fn server_of(&self, session: usize) -> Arc<RealServer> {
        let of = self.sessions[session].0;
        let listed = self.servers.iter().find(|server| host(server) == of);
        Arc::clone(listed.unwrap_or_else(|| &self.trash[&of]))
    }

    fn set_active(&mut self, session: usize, active: bool) {
        let server = self.server_of(session);
        if active {
            load::activate(&server.shared);
        } else {
            load::deactivate(&server.shared);
        }
        self.sessions[session].1 = active;
    }

    fn end(&mut self, session: usize) {
        let server = self.server_of(session);
        let (_, active) = self.sessions.remove(session);
        if active {
            load::deactivate(&server.shared);
        }
        load::unbind(&server, false);
    }
}

fn replay(history: &str) -> Replay {
    let (name, steps) = history.split_once(' ').unwrap();
    let (name, rules) = match name.split_once('@') {
        Some((name, "176")) => (name, Rules::Linux6_1_176),
        Some((_, other)) => panic!("no rules are called {other}"),
        None => (name, Rules::default()),
    };
    let mut replay = Replay::new(kind(name), rules);
    for step in steps.split(' ') {
        replay.step(step);
    }
    replay
}

/// The hosts of a line of picks.
fn picks(replay: &mut Replay, hosts: &[u8]) {
    for host in hosts {
        replay.pick(&format!("={host}"));
    }
}

#[test]
fn every_decision_of_the_histories_is_the_kernels() {
    let decisions: u32 = HISTORIES.lines().map(|line| replay(line).picks).sum();

    assert!(
        decisions > 9_000,
        "only {decisions} decisions were compared"
    );
}

#[test]
fn rr_serves_the_newest_server_first() {
    replay("rr a11:80:1:0:0 a12:80:1:0:0 a13:80:1:0:0 p=13 p=12 p=11 p=13");
}

#[test]
fn rr_goes_on_behind_a_server_that_was_removed() {
    replay("rr a11:80:1:0:0 a12:80:1:0:0 a13:80:1:0:0 p=13 p=12 d12 p=11 d13 p=11 d11 p=-");
}

#[test]
fn rr_serves_a_server_added_in_the_middle_of_a_round_in_the_next() {
    replay("rr a11:80:1:0:0 a12:80:1:0:0 p=12 a13:80:1:0:0 p=11 p=13 p=12");
}

#[test]
fn wrr_serves_as_was_seen_in_the_kernel() {
    let mut replay = replay("wrr a11:80:1:0:0 a12:80:2:0:0 a13:80:3:0:0");

    picks(
        &mut replay,
        &[13, 12, 11, 13, 13, 12, 13, 12, 11, 13, 13, 12],
    );
}

#[test]
fn wrr_finds_a_light_server_behind_a_heavy_overloaded_one() {
    let mut replay = replay("wrr a11:80:1:0:0 a12:80:65535:1:0 p=12");

    picks(&mut replay, &[11; 100]);
}

#[test]
fn wlc_serves_the_newest_of_equals_and_then_the_idler_for_its_weight() {
    replay("wlc a11:80:1:0:0 a12:80:2:0:0 p=12 p=11 p=12 p=12 p=11 +0 p=11");
}

#[test]
fn mh_gives_nobody_or_another_when_the_server_takes_no_sessions() {
    let servers = "a11:80:1:0:0 a12:80:2:0:0 a13:80:3:0:0";

    replay(&format!(
        "mh {servers} p192.168.0.1:1=11 e11:0:0:0 p192.168.0.1:1=- p10.0.0.1:1=13"
    ));
    replay(&format!(
        "mh+f {servers} e12:0:0:0 e13:0:0:0 p10.0.0.1:1=11 p192.168.0.1:1=11"
    ));
}

#[test]
fn another_scheduler_starts_anew_and_the_same_goes_on() {
    let mut replay = replay("rr a11:80:1:0:0 a12:80:1:0:0 p=12");

    replay.adopt(&[]);
    picks(&mut replay, &[11]);
    replay.pick("=12");
    replay.kind = SchedulerKind::Wrr;
    replay.adopt(&[]);

    picks(&mut replay, &[12, 11, 12]);
}

#[test]
fn mh_options_take_effect_without_a_new_table() {
    let mut replay = replay("mh a11:80:1:0:0 a12:80:2:0:0 a13:80:3:0:0 e11:0:0:0");
    replay.pick("192.168.0.1:1=-");

    replay.kind = SchedulerKind::Mh {
        fallback: true,
        port: false,
    };
    replay.adopt(&[]);

    let flow = samples::flow_of([192, 168, 0, 1], 1);
    assert!(replay.scheduler.pick(&replay.servers, flow).is_some());
}
