//! Scenarios in, outcomes out, over as many boots as it takes.
//!
//! A scenario that hangs or kills the guest takes nothing with it: the others are played again
//! without it, and it is played once more alone before it is given up.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::folder::RunFolder;
use super::image::Kernel;
use super::machine::Machine;
use super::script::Script;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// How many scenarios share a boot at most.
const BATCH: usize = 50;

/// How long a guest may take from one scenario to the next, besides waiting: a few hundred
/// milliseconds are usual, on a busy machine several times that.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often the guest is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// Why nothing could be played.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no place for the guest's files, or its program does not start.
    #[error("user-mode Linux cannot be started: {0}")]
    Start(#[from] io::Error),
    /// The kernel does not get as far as its first process.
    #[error("{kernel} does not boot:\n{console}")]
    Boot {
        /// Which kernel.
        kernel: String,
        /// The end of what it said.
        console: String,
    },
    /// A scenario still names a capture file: its reader should have taken that apart.
    #[error("{scenario} has the capture {} as a whole", capture.display())]
    Capture {
        /// The scenario's name.
        scenario: String,
        /// The capture file.
        capture: PathBuf,
    },
}

impl Kernel {
    /// Plays scenarios, up to 50 in a boot, and says what happened in each, in order. Of a
    /// scenario that hangs or kills the guest the outcome says only that.
    ///
    /// # Errors
    ///
    /// When the kernel does not boot, or a scenario has a capture that was not taken apart.
    pub fn play(&self, scenarios: &[Scenario]) -> Result<Vec<Outcome>, Failure> {
        let scripts = scenarios
            .iter()
            .map(script)
            .collect::<Result<Vec<_>, _>>()?;
        let mut outcomes: Vec<Option<Outcome>> = scripts.iter().map(|_| None).collect();
        let all: Vec<usize> = (0..scripts.len()).collect();
        let mut batches: VecDeque<Vec<usize>> = all.chunks(BATCH).map(<[_]>::to_vec).collect();
        while let Some(batch) = batches.pop_front() {
            let some: Vec<&Script> = batch
                .iter()
                .filter_map(|&index| scripts.get(index))
                .collect();
            let boot = Boot::run(self, &some)?;
            let alone = batch.len() == 1;
            let (mut again, mut suspects) = (Vec::new(), Vec::new());
            for (number, &index) in batch.iter().enumerate() {
                let Some(outcome) = outcomes.get_mut(index) else {
                    continue;
                };
                *outcome = boot.folder.outcome(number);
                match outcome {
                    Some(_) => {}
                    None if alone => *outcome = Some(boot.given_up()),
                    None if boot.stopped_at == Some(number) => suspects.push(vec![index]),
                    None => again.push(index),
                }
            }
            batches.extend(parted(again, boot.stopped_at.is_none()));
            batches.extend(suspects);
        }
        Ok(outcomes.into_iter().flatten().collect())
    }
}

fn script(scenario: &Scenario) -> Result<Script, Failure> {
    Script::of(scenario).map_err(|capture| Failure::Capture {
        scenario: scenario.name.clone(),
        capture,
    })
}

/// What is to be played again: together, or each alone when nobody knows which one failed.
fn parted(again: Vec<usize>, nobody_knows: bool) -> Vec<Vec<usize>> {
    match (again.is_empty(), nobody_knows) {
        (true, _) => Vec::new(),
        (false, true) => again.into_iter().map(|index| vec![index]).collect(),
        (false, false) => vec![again],
    }
}

/// A boot that has ended.
struct Boot {
    folder: RunFolder,
    /// The first scenario that was not played.
    stopped_at: Option<usize>,
    /// Whether the guest had to be ended.
    hung: bool,
}

impl Boot {
    fn run(kernel: &Kernel, scripts: &[&Script]) -> Result<Self, Failure> {
        let folder = RunFolder::make()?;
        folder.write(scripts)?;
        let hung = attend(kernel, &folder, scripts)?;
        if folder.is_up() {
            let stopped_at = (0..scripts.len()).find(|&number| !folder.has_played(number));
            return Ok(Self {
                folder,
                stopped_at,
                hung,
            });
        }
        Err(Failure::Boot {
            kernel: kernel.name(),
            console: folder.last_words(),
        })
    }

    /// The outcome of a scenario that cannot be played.
    fn given_up(&self) -> Outcome {
        let what = if self.hung { "hangs" } else { "dies" };
        let words = self.folder.last_words();
        Outcome {
            not_comparable: vec![format!("the kernel {what} when this is played: {words}")],
            ..Outcome::default()
        }
    }
}

/// Waits for the guest's end, and for no scenario too long. Answers whether it had to be ended.
fn attend(kernel: &Kernel, folder: &RunFolder, scripts: &[&Script]) -> io::Result<bool> {
    let mut machine = Machine::boot(kernel, folder)?;
    let mut played = 0;
    let mut since = Instant::now();
    while !machine.has_ended() {
        while played < scripts.len() && folder.has_played(played) {
            played += 1;
            since = Instant::now();
        }
        let waits = scripts
            .get(played)
            .map_or(Duration::ZERO, |next| next.waits());
        let real = if kernel.virtual_time {
            Duration::ZERO
        } else {
            waits
        };
        if since.elapsed() > PATIENCE + real {
            return Ok(true);
        }
        thread::sleep(LOOK);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_again_is_parted_only_when_nobody_knows_who_failed() {
        assert_eq!(parted(vec![], true), Vec::<Vec<usize>>::new());
        assert_eq!(parted(vec![1, 3], false), [vec![1, 3]]);
        assert_eq!(parted(vec![1, 3], true), [vec![1], vec![3]]);
    }
}
