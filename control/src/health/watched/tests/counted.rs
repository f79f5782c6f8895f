//! What metrics count of checks.

use super::*;

#[test]
fn checks_that_a_server_has_no_longer_stay_counted() {
    let at_81 = Check {
        port: Some(81),
        ..TCP
    };
    let mut watch = Watch::new(Health {
        checks: [TCP, at_81].into(),
        ..Health::default()
    });
    let lack = || Answer::Check(Err(ProbeFailure::ours("too many files")), 1);
    for run in [0, 1] {
        watch.check(run, true, 1);
        watch.check(run, false, 2);
        watch.hear(run, lack(), 3);
    }
    let counted = |watch: &Watch| {
        let counted = watch.watched.sample().services[0].servers[0].counted;
        (counted.good, counted.bad, counted.unasked)
    };
    assert_eq!(counted(&watch), (2, 2, 2));

    watch.watched.configure(&config(checked()), at(4));
    watch.watched.settle(at(4));

    assert_eq!(counted(&watch), (2, 2, 2));
    watch.check(0, true, 5);
    assert_eq!(counted(&watch), (3, 2, 2));
}
