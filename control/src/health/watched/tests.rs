//! What follows from what is heard, without clock or network.

use std::path::Path;

use super::super::agent::AgentState;
use super::super::testing::TCP;
use super::*;
use crate::config::{Agent, Damping, Health, Start, Timing};

mod agents;
mod counted;

/// A service with the servers 11 and 12, watched like this.
fn config(health: Health) -> Config {
    let text = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nweight = 100\n\
        [[service.server]]\naddress = \"10.2.0.12\"\nweight = 100\n";
    let (mut config, _) = Config::from_toml(text, Path::new("t.toml")).unwrap();
    let mut web = config.services()[0].clone();
    web.health = Some(Arc::new(health));
    let plan = config.plan(vec![crate::config::Edit::Put(web)]).unwrap();
    config.carry_out(plan);
    config
}

fn checked() -> Health {
    Health {
        checks: [TCP].into(),
        ..Health::default()
    }
}

fn with_agent() -> Health {
    Health {
        agent: Some(Agent {
            port: 4321,
            interval: at(1),
            timeout: at(1),
        }),
        ..Health::default()
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Services that are watched, and the runs of their first and second server.
struct Watch {
    watched: Watched,
    runs: Vec<RunId>,
}

impl Watch {
    fn new(health: Health) -> Self {
        let mut watched = Watched::default();
        let changes = watched.configure(&config(health), at(0));
        watched.settle(at(0));
        let runs = changes.start.iter().map(|it| it.id).collect();
        Self { watched, runs }
    }

    fn hear(&mut self, run: usize, answer: Answer, now: u64) -> Vec<News> {
        let timed = Timed {
            ended: at(now),
            took: Duration::from_millis(3),
            next: at(now + 1),
        };
        self.watched.hear(&Report {
            id: self.runs[run],
            timed,
            late: Duration::ZERO,
            overran: false,
            answer,
        });
        self.watched.settle(at(now)).1
    }

    fn check(&mut self, run: usize, is_good: bool, now: u64) -> Vec<News> {
        let refused = Err(ProbeFailure::new("connection refused"));
        let result = if is_good {
            Ok(ProbeOutcome::default())
        } else {
            refused
        };
        self.hear(run, Answer::Check(result, 1), now)
    }

    fn agent(&mut self, run: usize, state: Option<AgentState>, percent: Option<u16>, now: u64) {
        let word = AgentWord {
            works: state.filter(|it| *it < AgentState::Ready),
            admits: state.filter(|it| *it >= AgentState::Ready),
            percent,
            ..AgentWord::default()
        };
        self.hear(run, Answer::Agent(Ok(word)), now);
    }

    /// States, weights and reasons of the servers.
    fn seen(&self, now: u64) -> Vec<(String, Option<u32>, String)> {
        let views = self.watched.views(at(now));
        let servers = views[0].servers.iter();
        servers
            .map(|it| (it.state.clone(), it.effective_weight, it.reasons.join(", ")))
            .collect()
    }
}

fn row(state: &str, weight: Option<u32>, reasons: &str) -> (String, Option<u32>, String) {
    (state.to_owned(), weight, reasons.to_owned())
}

#[test]
fn servers_are_assumed_up_or_wait_before_their_first_check() {
    let up = Watch::new(checked());
    let waiting = Watch::new(Health {
        start: Start::Down,
        ..checked()
    });

    assert_eq!(up.seen(0)[0], row("unknown", Some(100), ""));
    assert_eq!(waiting.seen(0)[0], row("unknown", None, ""));
}

#[test]
fn a_service_is_known_once_all_its_servers_were_asked_or_asked_in_vain() {
    let key = config(checked()).services()[0].key();
    let mut watch = Watch::new(checked());
    let lack = || Answer::Check(Err(ProbeFailure::ours("no file left")), 0);
    assert!(!watch.watched.is_known(key));

    watch.check(0, false, 1);
    assert!(!watch.watched.is_known(key));
    for now in 2..7 {
        watch.hear(1, lack(), now);
        assert!(!watch.watched.is_known(key));
    }
    watch.hear(1, lack(), 7);

    assert!(watch.watched.is_known(key));
}

#[test]
fn the_first_result_decides_and_each_change_is_told_once() {
    let mut watch = Watch::new(checked());

    let down = watch.check(0, false, 1);
    let again = watch.check(0, false, 2);
    let up = watch.check(0, true, 3);

    let told: Vec<_> = down.iter().chain(&up).map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "server 10.2.0.11:80 of tcp 10.1.0.100:80 is down: connection refused",
            "server 10.2.0.11:80 of tcp 10.1.0.100:80 is up"
        ]
    );
    assert_eq!(again, []);
    assert_eq!(watch.seen(3)[0], row("up", Some(100), ""));
}

#[test]
fn quorums_are_told_as_they_come_and_go() {
    let mut watch = Watch::new(Health {
        quorum: 200,
        ..checked()
    });

    let lost = watch.check(0, false, 1);
    let gained = watch.check(0, true, 2);

    let sentence = "tcp 10.1.0.100:80 has lost its quorum: the weights of its servers that are up \
                    sum up to 100, and 200 are needed";
    assert_eq!(lost[1].to_string(), sentence);
    assert!(matches!(gained[1], News::Quorum { gained: true, .. }));
}

#[test]
fn a_server_that_comes_up_starts_slowly() {
    let mut watch = Watch::new(Health {
        slow_start: at(10),
        ..checked()
    });
    watch.check(1, true, 1);
    watch.check(0, false, 1);

    watch.check(0, true, 10);
    assert_eq!(watch.seen(10)[0], row("up", Some(10), "slow start 10 %"));
    watch.watched.tick();
    watch.watched.settle(at(15));
    assert_eq!(watch.seen(15)[0], row("up", Some(55), "slow start 55 %"));
    // It was never away.
    assert_eq!(watch.seen(15)[1], row("up", Some(100), ""));
    watch.watched.tick();
    watch.watched.settle(at(20));

    assert_eq!(watch.seen(20)[0], row("up", Some(100), ""));
    watch.watched.tick();
    assert!(!watch.watched.is_unsettled());
}

#[test]
fn slow_start_and_load_cost_no_quorum() {
    let mut watch = Watch::new(Health {
        quorum: 100,
        slow_start: at(100),
        ..with_agent()
    });
    watch.agent(0, Some(AgentState::Down), None, 1);
    watch.agent(1, Some(AgentState::Down), None, 1);

    watch.agent(0, Some(AgentState::Up), Some(50), 2);

    let view = watch.watched.views(at(2)).swap_remove(0);
    assert_eq!((view.quorum, view.weight), (true, 100));
    assert_eq!(view.servers[0].effective_weight, Some(10));
}

#[test]
fn a_server_that_flaps_is_kept_out_until_it_is_quiet() {
    let damping = Damping {
        half_life: at(10),
        suppress: 2,
        reuse: 1,
        longest: at(60),
    };
    let mut watch = Watch::new(Health {
        damping: Some(damping),
        ..checked()
    });
    for second in 0..3 {
        watch.check(0, true, 2 * second + 1);
        watch.check(0, false, 2 * second + 2);
    }

    watch.check(0, true, 7);

    let (state, weight, reason) = watch.seen(7).swap_remove(0);
    assert_eq!((state.as_str(), weight), ("down", None));
    assert!(reason.starts_with("damped for 1"), "{reason}");
    watch.watched.tick();
    watch.watched.settle(at(40));
    assert_eq!(watch.seen(40)[0], row("up", Some(100), ""));
}

#[test]
fn nobody_is_kept_out_whom_the_quorum_needs() {
    let damping = Damping {
        half_life: at(30),
        suppress: 2,
        reuse: 1,
        longest: at(60),
    };
    let mut watch = Watch::new(Health {
        damping: Some(damping),
        ..checked()
    });

    // Given a switch that makes both come and go.
    for second in 0..3 {
        for (run, is_good) in [(0, true), (1, true), (0, false), (1, false)] {
            watch.check(run, is_good, second + 1);
        }
    }

    // Then the first that is back serves at once, and the other waits: it can be done without.
    watch.check(0, true, 4);
    assert_eq!(watch.seen(4)[0], row("up", Some(100), ""));
    watch.check(1, true, 4);
    assert!(
        watch.seen(4)[1].2.starts_with("damped"),
        "{:?}",
        watch.seen(4)
    );
    // Until it cannot.
    let news = watch.check(0, false, 5);
    assert_eq!(watch.seen(5)[1], row("up", Some(100), ""));
    assert!(
        !news.iter().any(|it| matches!(it, News::Quorum { .. })),
        "{news:?}"
    );
}

#[test]
fn what_is_asked_as_before_goes_on() {
    let mut watch = Watch::new(checked());
    watch.check(0, false, 1);
    let mut health = checked();
    health.quorum = 7;

    let same = watch.watched.configure(&config(health.clone()), at(2));
    health.checks = [
        TCP,
        Check {
            port: Some(81),
            ..TCP
        },
    ]
    .into();
    let more = watch.watched.configure(&config(health), at(3));
    watch.watched.settle(at(3));

    assert!(same.start.is_empty() && same.stop.is_empty());
    assert_eq!((more.start.len(), more.stop.len()), (2, 0));
    assert_eq!(watch.seen(3)[0].0, "down");
    let targets = more.start.iter().map(|errand| match &errand.what {
        What::Check(_, target) => target.server.to_string(),
        What::Agent(_, at) => at.to_string(),
    });
    assert_eq!(
        targets.collect::<Vec<_>>(),
        ["10.2.0.11:81", "10.2.0.12:81"]
    );

    let text = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";
    let (nothing, _) = Config::from_toml(text, Path::new("t.toml")).unwrap();
    let gone = watch.watched.configure(&nothing, at(4));
    assert_eq!(gone.stop.len(), 4);
    assert!(watch.watched.views(at(4)).is_empty());
    // A report that was on its way.
    assert_eq!(watch.check(0, true, 5), []);
}

/// TCP once a minute.
fn rarely() -> Health {
    let timing = Timing {
        interval: at(60),
        ..TCP.timing
    };
    Health {
        checks: [Check { timing, ..TCP }].into(),
        start: Start::Down,
        ..Health::default()
    }
}

#[test]
fn a_check_that_is_made_at_other_times_keeps_its_verdict() {
    let mut watch = Watch::new(Health {
        start: Start::Down,
        ..checked()
    });
    watch.check(0, true, 1);
    watch.check(1, false, 1);

    let changes = watch.watched.configure(&config(rarely()), at(2));
    let news = watch.watched.settle(at(2)).1;

    assert_eq!((changes.start.len(), changes.stop.len()), (2, 2));
    assert_eq!(news, []);
    assert_eq!(watch.seen(2)[0], row("up", Some(100), ""));
    assert_eq!(watch.seen(2)[1], row("down", None, "connection refused"));
}

#[test]
fn a_server_is_as_it_was_until_a_new_check_has_its_first_result() {
    let mut watch = Watch::new(rarely());
    watch.check(0, true, 1);
    watch.check(1, false, 1);
    let at_81 = Check {
        port: Some(81),
        ..TCP
    };
    let both = [rarely().checks[0].clone(), at_81.clone()];

    for checks in [both.as_slice(), &[at_81]] {
        let health = Health {
            checks: checks.into(),
            ..rarely()
        };
        let changes = watch.watched.configure(&config(health), at(2));
        let news = watch.watched.settle(at(2)).1;

        assert_eq!(news, []);
        assert_eq!(watch.seen(2)[0], row("up", Some(100), ""));
        assert_eq!(watch.seen(2)[1].0, "down");
        if checks.len() == 1 {
            assert_eq!(watch.seen(2)[1].2, "down before its check was changed");
        }
        if let Some(first) = changes.start.first() {
            watch.runs = vec![first.id];
        }
    }
    watch.check(0, false, 3);

    assert_eq!(watch.seen(3)[0], row("down", None, "connection refused"));
}

#[test]
fn who_is_enabled_again_waits_for_its_first_check() {
    let mut watch = Watch::new(rarely());
    watch.check(0, true, 1);
    let mut disabled = config(rarely());
    let mut web = disabled.services()[0].clone();
    web.servers[0].health = Some(Arc::new(crate::config::ServerHealth {
        disabled: true,
        ..Default::default()
    }));
    let plan = disabled.plan(vec![crate::config::Edit::Put(web)]).unwrap();
    disabled.carry_out(plan);

    watch.watched.configure(&disabled, at(2));
    watch.watched.settle(at(2));
    assert_eq!(watch.seen(2)[0].0, "disabled");
    watch.watched.configure(&config(rarely()), at(3));
    watch.watched.settle(at(3));

    assert_eq!(watch.seen(3)[0], row("unknown", None, ""));
}

#[test]
fn an_agent_that_is_asked_at_other_times_keeps_its_word() {
    let mut watch = Watch::new(with_agent());
    watch.agent(0, Some(AgentState::Maint), None, 1);
    let mut health = with_agent();
    health.agent = health.agent.map(|agent| Agent {
        interval: at(30),
        ..agent
    });

    let changes = watch.watched.configure(&config(health.clone()), at(2));
    watch.watched.settle(at(2));

    assert_eq!(changes.start.len(), 2);
    assert_eq!(watch.seen(2)[0], row("disabled", None, "agent maint"));
    health.agent = health.agent.map(|agent| Agent { port: 1, ..agent });
    watch.watched.configure(&config(health), at(3));
    watch.watched.settle(at(3));
    assert_eq!(watch.seen(3)[0].0, "up");
}

#[test]
fn what_cannot_be_asked_changes_nothing_and_is_told_now_and_then() {
    let mut watch = Watch::new(checked());
    watch.check(0, true, 1);
    let lack = || Answer::Check(Err(ProbeFailure::ours("too many files")), 1);

    let told = (2..14).flat_map(|now| watch.hear(0, lack(), now));
    let told: Vec<_> = told.map(|news| news.to_string()).collect();

    let line = "server 10.2.0.11:80 of tcp 10.1.0.100:80 cannot be asked and stays as it is: too \
                many files";
    assert_eq!(
        told,
        [
            line.to_owned(),
            format!("{line} (and so it was 9 more times)")
        ]
    );
    assert_eq!(
        watch.seen(14)[0],
        row("up", Some(100), "not asked: too many files")
    );
    let runs = watch.watched.views(at(14))[0].servers[0].checks[0]
        .runs
        .clone();
    assert_eq!((runs.good, runs.bad, runs.unasked), (1, 0, 12));
    watch.check(0, true, 15);
    assert_eq!(watch.seen(15)[0], row("up", Some(100), ""));
}

#[test]
fn an_agent_that_does_not_answer_is_seen_and_told_once() {
    let mut watch = Watch::new(with_agent());
    let silent = || Answer::Agent(Err(ProbeFailure::new("connection refused")));

    let told = (1..4).flat_map(|now| watch.hear(0, silent(), now));
    let told: Vec<_> = told.map(|news| news.to_string()).collect();

    let of = "the agent of server 10.2.0.11:80 of tcp 10.1.0.100:80";
    assert_eq!(told, [format!("{of} does not answer: connection refused")]);
    let reason = "its agent does not answer: connection refused";
    assert_eq!(watch.seen(4)[0], row("up", Some(100), reason));
    let told = watch.hear(0, Answer::Agent(Ok(AgentWord::default())), 5);
    assert_eq!(told[0].to_string(), format!("{of} answers"));
    assert_eq!(watch.seen(5)[0], row("up", Some(100), ""));
}
