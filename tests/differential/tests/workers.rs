//! Several workers do together what one does: every scenario of the suite, played once more.
//!
//! What one worker does is compared with the kernel elsewhere. Here it stands in the kernel's place,
//! and frames reach three workers by turns: so persistence, locality, thresholds, cursors of
//! schedulers, listings and counts must hold across workers, by whichever a session is made.

use dataplane::schedule::load::Rules;
use differential::gateway::{self, Making};
use differential::judge::{Judge, Verdict};
use differential::outcome::{Outcome, Output};
use differential::report::account;
use differential::scenario::Scenario;
use differential::written;

/// Scenarios in which several workers do not do as one does, and why.
const APART: [(&str, &str); 1] = [(
    "drop-packet",
    "each worker counts for itself until it drops one",
)];

fn played_by(workers: u16, scenario: &Scenario) -> Result<Outcome, String> {
    let making = Making {
        rules: Rules::default(),
        workers,
        words_only: false,
    };
    let mut outcome = gateway::play_with(scenario, making).map_err(|error| error.to_string())?;
    // Linux stands behind both, and gets the same.
    let punted = outcome.punted.drain(..).map(|it| Output {
        interface: format!("Linux by {}", it.interface),
        ..it
    });
    outcome.frames.extend(punted);
    outcome.frames.sort_by_key(|it| (it.after, it.nanos));
    Ok(outcome)
}

#[test]
fn three_workers_do_in_every_scenario_what_one_does() {
    let judge = Judge {
        kernel: Box::new(|batch| {
            batch
                .iter()
                .map(|scenario| played_by(1, scenario))
                .collect()
        }),
        gateway: Box::new(|scenario| played_by(3, scenario)),
        has_virtual_time: true,
    };
    let all = written::all().into_iter().map(|written| written.scenario);
    let (apart, together): (Vec<_>, Vec<_>) = all.partition(|scenario| {
        let mut names = APART.iter().map(|(name, _)| *name);
        names.any(|name| name == scenario.name)
    });

    let verdicts = judge.judge(&together, false);
    let apart_verdicts = judge.judge(&apart, false);

    let others: Vec<String> = (together.iter().zip(&verdicts))
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Same(_)))
        .map(|(scenario, verdict)| account(&scenario.name, verdict))
        .collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
    assert!(verdicts.len() > 100, "only {} were played", verdicts.len());
    // The list keeps itself true.
    assert_eq!(apart_verdicts.len(), APART.len());
    assert!(apart_verdicts.iter().all(Verdict::differs));
}
