//! The table beside a model, and what it does at its limits.

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::address::V4;
use crate::editor::Editor;
use crate::id::ServerSlot;
use crate::knobs::Knobs;
use crate::session::testing::Dice;
use crate::testing::{RIP_1, RIP_2, Setup, TestService, VIP, service};

const SECRET: HashSecret = HashSecret([1, 2, 3, 4]);
const NOW: Tick = Tick(1_000);
const MINUTE: u32 = 60 * TICKS_PER_SECOND;

fn two() -> TestService {
    service(Protocol::Udp, VIP).dr(RIP_1).dr(RIP_2)
}

fn snapshot_of(editor: &mut Editor, service: &TestService) -> Arc<Snapshot> {
    editor.set_services(&[service.spec()]);
    editor.snapshot()
}

fn snapshot() -> Arc<Snapshot> {
    snapshot_of(&mut Setup::two_arm().editor(), &two())
}

fn server(snapshot: &Snapshot, slot: u32) -> &RealServer {
    snapshot.server(ServerSlot(slot)).unwrap()
}

fn key(client: u32) -> TemplateKey<V4> {
    TemplateKey {
        client: V4(client),
        of: Virtual::Address(Protocol::Udp, VIP),
    }
}

const fn at(snapshot: &Snapshot, now: Tick) -> Visit<'_> {
    Visit {
        snapshot,
        now,
        as_child: true,
    }
}

fn found(
    templates: &Templates<V4>,
    visit: Visit<'_>,
    client: u32,
    slot: u32,
    seconds: u32,
) -> Option<Joined> {
    let new = NewTemplate {
        server: server(visit.snapshot, slot),
        server_port: 80,
        timeout_seconds: seconds,
    };
    templates.found(visit, &key(client), new)
}

/// Client, server, ticks left and children of every template.
fn listed(templates: &Templates<V4>, now: Tick) -> Vec<(IpAddr, u32, u32, u32)> {
    let records = templates.records(now);
    let mut listed: Vec<_> = (records.iter())
        .map(|it| {
            (
                it.client,
                it.server_slot.0,
                it.expires_in_ticks,
                it.children,
            )
        })
        .collect();
    listed.sort_unstable();
    listed
}

/// A template as the kernel has it, whose timer fires.
struct Timed {
    client: u32,
    server: u32,
    deadline: Tick,
    timeout: u32,
    children: Vec<TemplateLink>,
}

/// Lets the timers fire whose time has come.
fn fire(model: &mut Vec<Timed>, now: Tick) {
    for template in model.iter_mut() {
        while !template.children.is_empty() && template.deadline.is_due(now) {
            template.timeout = MINUTE;
            template.deadline = template.deadline.plus(MINUTE);
        }
    }
    model.retain(|template| !template.deadline.is_due(now));
}

#[test]
fn templates_end_when_the_kernels_timers_would_end_them() {
    let snapshot = snapshot();
    for seed in 0..20 {
        let templates = Templates::new(1_000, SECRET);
        let (mut model, mut dice, mut now) =
            (Vec::<Timed>::new(), Dice(seed), Tick(u32::MAX - 999));
        for _ in 0..2_000 {
            now = now.plus(1 + dice.below(40) * dice.below(40) * 16);
            // Deadlines before this moment have passed; in this moment sessions end first.
            fire(&mut model, now.minus(1));
            for template in &mut model {
                while dice.below(3) == 0
                    && let Some(child) = template.children.pop()
                {
                    templates.leave(child, now);
                }
            }
            fire(&mut model, now);
            if dice.below(2) == 0 {
                templates.sweep(&snapshot, now);
            }

            let client = dice.below(12);
            let known = model.iter_mut().find(|it| it.client == client);
            let joined = templates.join(at(&snapshot, now), &key(client));
            assert_eq!(
                joined.map(|it| it.server.0),
                known.as_ref().map(|it| it.server)
            );
            if let Some(template) = known {
                template.deadline = now.plus(template.timeout);
                template.children.extend(joined.map(|it| it.link));
            } else {
                let (slot, seconds) = (dice.below(2), 1 + dice.below(300));
                let joined = found(&templates, at(&snapshot, now), client, slot, seconds);
                model.push(Timed {
                    client,
                    server: slot,
                    deadline: now.plus(seconds * TICKS_PER_SECOND),
                    timeout: seconds * TICKS_PER_SECOND,
                    children: joined.map(|it| it.link).into_iter().collect(),
                });
            }

            let mut expected: Vec<_> = (model.iter())
                .map(|it| {
                    let children = u32::try_from(it.children.len()).unwrap();
                    let left = now.until(it.deadline).unsigned_abs();
                    (V4(it.client).to_ip(), it.server, left, children)
                })
                .collect();
            expected.sort_unstable();
            assert_eq!(listed(&templates, now), expected);
        }
        let end = now.plus(10 * MINUTE);
        model.iter_mut().for_each(|it| {
            let children = it.children.drain(..);
            children.for_each(|child| templates.leave(child, now));
        });
        templates.sweep(&snapshot, end);
        assert!(templates.is_empty());
        for slot in 0..2 {
            assert_eq!(server(&snapshot, slot).shared.persistent(), 0);
        }
    }
}

#[test]
fn a_worker_may_tell_a_little_later_that_a_session_ended() {
    for (late, lives) in [(16, false), (GRACE_TICKS + 1, true)] {
        // Given a template whose session ends in the moment of its deadline.
        let (templates, snapshot) = (Templates::new(64, SECRET), snapshot());
        let link = found(&templates, at(&snapshot, NOW), 1, 0, 60)
            .unwrap()
            .link;
        let end = NOW.plus(MINUTE);

        // When others look at it before the worker has told.
        for tick in 0..=late {
            templates.sweep(&snapshot, end.plus(tick));
        }
        templates.leave(link, end);

        // Then it has ended too, unless that took too long.
        let now = end.plus(late);
        assert_eq!(!templates.records(now).is_empty(), lives, "{late}");
        templates.sweep(&snapshot, now.plus(1));
        assert_eq!(!templates.is_empty(), lives);
    }
}

#[test]
fn of_two_workers_that_make_one_the_second_joins_the_firsts() {
    let (templates, snapshot) = (Templates::new(64, SECRET), snapshot());
    assert_eq!(templates.join(at(&snapshot, NOW), &key(1)), None);

    let first = found(&templates, at(&snapshot, NOW), 1, 0, 300);
    let second = found(&templates, at(&snapshot, NOW), 1, 1, 300);

    assert!(first.is_some());
    assert_eq!(first, second);
    assert_eq!(templates.records(NOW)[0].children, 2);
    assert_eq!(server(&snapshot, 1).shared.persistent(), 0);
}

#[test]
fn keys_that_differ_in_anything_are_others() {
    let (templates, snapshot) = (Templates::new(1_000, SECRET), snapshot());
    let vip = |protocol, port| Virtual::Address(protocol, Endpoint::new(VIP.addr, port));
    let keys = [
        vip(Protocol::Udp, 80),
        vip(Protocol::Tcp, 80),
        vip(Protocol::Udp, 0),
        Virtual::Mark(VIP.addr.0),
        Virtual::Mark(80),
    ];
    let keys = keys.map(|of| TemplateKey { client: V4(7), of });

    for (number, key) in keys.iter().enumerate() {
        assert_eq!(templates.join(at(&snapshot, NOW), key), None, "{number}");
        let new = NewTemplate {
            server: server(&snapshot, 0),
            server_port: 0,
            timeout_seconds: 1,
        };
        assert!(templates.found(at(&snapshot, NOW), key, new).is_some());
    }

    assert_eq!(templates.len(), keys.len());
    assert!(
        keys.iter()
            .all(|key| templates.join(at(&snapshot, NOW), key).is_some())
    );
}

#[test]
fn a_full_table_takes_no_more_until_some_have_ended() {
    // Given a table of 64 shards with four places each, as full as it gets.
    let (templates, snapshot) = (Templates::new(256, SECRET), snapshot());
    let fill = |now, seconds| {
        let made = (0..10_000).filter(|client| {
            let visit = Visit {
                as_child: false,
                ..at(&snapshot, now)
            };
            found(&templates, visit, *client, 0, seconds).is_some()
        });
        made.count()
    };
    assert_eq!((fill(NOW, 1), templates.capacity()), (256, 256));
    assert_eq!(found(&templates, at(&snapshot, NOW), 10_001, 0, 1), None);

    // When a second has passed, then nobody finds them, and the sweep makes room.
    let later = NOW.plus(TICKS_PER_SECOND);
    assert!(templates.records(later).is_empty());
    for _ in 0..3 {
        templates.sweep(&snapshot, later);
    }
    assert!(!templates.is_empty(), "one sweep in a tick, and not of all");
    (1..4).for_each(|tick| templates.sweep(&snapshot, later.plus(tick)));
    assert!(templates.is_empty());
    assert_eq!(server(&snapshot, 0).shared.persistent(), 0);
    assert_eq!(fill(later, 1), 256);
}

#[test]
fn a_template_of_a_server_that_is_gone_is_never_found_again_but_listed_to_its_end() {
    let mut editor = Setup::two_arm().editor();
    let templates = Templates::new(1_000, SECRET);
    let before = snapshot_of(&mut editor, &two());
    let old = found(&templates, at(&before, NOW), 1, 0, 300).unwrap();
    let service = service(Protocol::Udp, VIP);
    let after = snapshot_of(&mut editor, &service.clone().dr(RIP_2));

    assert_eq!(templates.join(at(&after, NOW), &key(1)), None);
    assert!(found(&templates, at(&after, NOW), 1, 1, 100).is_some());
    let back = snapshot_of(&mut editor, &two());
    let again = templates.join(at(&back, NOW), &key(1)).unwrap();

    assert_eq!(again.server, ServerSlot(1));
    let mut records = templates.records(NOW);
    records.sort_by_key(|record| record.server.port);
    let ports = records
        .iter()
        .map(|it| (it.server.port, it.virtual_endpoint.port));
    assert_eq!(ports.collect::<Vec<_>>(), [(80, 80), (65_535, 65_535)]);
    assert_eq!(records[1].expires_in_ticks, 300 * TICKS_PER_SECOND);

    // Its session still ends with it.
    templates.leave(old.link, NOW);
    let end = NOW.plus(300 * TICKS_PER_SECOND);
    (0..2).for_each(|tick| templates.sweep(&back, end.plus(tick)));
    assert_eq!(templates.len(), 1);
    assert_eq!(server(&back, 0).shared.persistent(), 0);
}

#[test]
fn weight_0_matters_only_if_the_knob_says_so() {
    let mut editor = Setup::two_arm().editor();
    let templates = Templates::new(64, SECRET);
    let before = snapshot_of(&mut editor, &two());
    found(&templates, at(&before, NOW), 1, 0, 300).unwrap();
    let mut spec = two().spec();
    spec.servers[0].weight.0 = 0;
    editor.set_services(&[spec]);
    let quiet = editor.snapshot();
    assert!(templates.join(at(&quiet, NOW), &key(1)).is_some());

    editor.set_knobs(Knobs {
        expire_quiescent_template: true,
        ..Knobs::default()
    });
    let expiring = editor.snapshot();
    assert_eq!(templates.join(at(&expiring, NOW), &key(1)), None);
}

#[test]
fn a_worker_that_has_not_heard_of_a_server_leaves_its_templates_alone() {
    // Given a worker whose snapshot is from before the server, and its template.
    let mut editor = Setup::two_arm().editor();
    let empty = snapshot_of(&mut editor, &service(Protocol::Udp, VIP));
    let newer = snapshot_of(&mut editor, &two());
    let templates = Templates::new(64, SECRET);
    let visit = Visit {
        as_child: false,
        ..at(&newer, NOW)
    };
    found(&templates, visit, 1, 0, 1).unwrap();

    // Then it cannot use it, and does not take it away from others.
    assert_eq!(templates.join(at(&empty, NOW), &key(1)), None);
    assert!(templates.join(visit, &key(1)).is_some());

    // And when it ends, a worker that knows the server counts it.
    let end = NOW.plus(TICKS_PER_SECOND);
    templates.sweep(&empty, end);
    assert_eq!(
        (templates.len(), server(&newer, 0).shared.persistent()),
        (1, 1)
    );
    templates.sweep(&newer, end.plus(1));
    assert_eq!(
        (templates.len(), server(&newer, 0).shared.persistent()),
        (0, 0)
    );
}

#[test]
fn workers_that_take_turns_at_one_template_lose_no_child() {
    let (templates, snapshot) = (Templates::new(64, SECRET), snapshot());

    std::thread::scope(|scope| {
        for worker in 0..4_u32 {
            let (templates, snapshot) = (&templates, &snapshot);
            scope.spawn(move || {
                for round in 0..1_000 {
                    let visit = at(snapshot, NOW.plus(round / 100));
                    let joined = templates.join(visit, &key(1)).or_else(|| {
                        let slot = worker % 2;
                        found(templates, visit, 1, slot, 300)
                    });
                    templates.sweep(snapshot, visit.now);
                    if round % 10 != 0 {
                        templates.leave(joined.unwrap().link, visit.now);
                    }
                }
            });
        }
    });

    let records = templates.records(NOW);
    assert_eq!((records.len(), records[0].children), (1, 400));
    let shares = [0, 1].map(|slot| server(&snapshot, slot).shared.persistent());
    assert_eq!(shares.iter().sum::<u32>(), 1);
}
