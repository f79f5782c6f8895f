//! What `ipvsadm` says: the real one beside the kernel's IPVS, and ours beside the data plane.
//!
//! Each line of `ipvsadm` that a scenario has is one call; standard output, standard error and exit
//! code of the two must be the same, byte for byte. Only what moves by itself may differ: how long
//! sessions still last, and in which order they stand.

use std::fmt;

use crate::compare::{DiffLine, listing};
use crate::outcome::{Outcome, ShellLine};
use crate::scenario::{IpvsLine, Scenario};

/// The programs whose lines are compared.
const PROGRAM: &str = "ipvsadm";

/// The scenario with a call of its own for each rule, so that each has an exit code.
#[must_use]
pub fn each(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.ipvs.push(IpvsLine::Each);
    scenario
}

/// What two sides said to the lines of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many lines were compared.
    pub lines: usize,
    /// How many of them list sessions that only time told apart.
    pub moved: usize,
    /// Those that differ.
    pub differences: Vec<Difference>,
}

/// A line to which the sides said different things, or why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line, or the scenario's name.
    pub line: String,
    /// What differs.
    pub lines: Vec<DiffLine>,
}

/// Compares what the sides said.
#[must_use]
pub fn compare(scenario: &Scenario, kernel: &Outcome, gateway: &Outcome) -> Comparison {
    let mut found = Comparison::default();
    let nothing = (kernel.not_comparable.iter().cloned().map(DiffLine::Kernel)).chain(
        gateway
            .not_comparable
            .iter()
            .cloned()
            .map(DiffLine::Gateway),
    );
    let nothing: Vec<_> = nothing.collect();
    if !nothing.is_empty() {
        found.differences.push(Difference {
            line: scenario.name.clone(),
            lines: nothing,
        });
        return found;
    }
    for index in 0..kernel.shell.len().max(gateway.shell.len()) {
        let sides = [kernel, gateway].map(|side| side.shell.get(index));
        let Some(line) = sides.into_iter().flatten().next() else {
            break;
        };
        if sides
            .into_iter()
            .flatten()
            .any(|it| it.command.contains(PROGRAM))
        {
            found.lines += 1;
            found.line(scenario, &line.command, sides);
        }
    }
    found
}

impl Comparison {
    fn line(&mut self, scenario: &Scenario, command: &str, sides: [Option<&ShellLine>; 2]) {
        let [Some(kernel), Some(gateway)] = sides else {
            let here = "only here".to_owned();
            self.differences.push(Difference {
                line: command.to_owned(),
                lines: vec![match sides {
                    [Some(_), _] => DiffLine::Kernel(here),
                    _ => DiffLine::Gateway(here),
                }],
            });
            return;
        };
        let mut lines = Vec::new();
        if kernel.command != gateway.command {
            lines.push(DiffLine::Kernel(kernel.command.clone()));
            lines.push(DiffLine::Gateway(gateway.command.clone()));
        }
        if kernel.output != gateway.output {
            let differences = listing(scenario, [&kernel.output, &gateway.output]);
            match differences.is_empty() {
                true if lists_sessions(&kernel.output) => self.moved += 1,
                true => lines.extend(apart("stdout", &kernel.output, &gateway.output)),
                false => lines.extend(differences),
            }
        }
        let errors = in_our_words(&kernel.errors);
        if errors != gateway.errors {
            lines.extend(apart("stderr", &errors, &gateway.errors));
        }
        if kernel.status != gateway.status {
            lines.extend(apart(
                "exit code",
                &kernel.status.to_string(),
                &gateway.status.to_string(),
            ));
        }
        if !lines.is_empty() {
            self.differences.push(Difference {
                line: command.to_owned(),
                lines,
            });
        }
    }
}

/// What `ipvsadm` says on standard error, in the words of Debian 12's (1.31-1), which are ours: Debian
/// 13's (1.31-5) has another message for `-6` without `-f`.
#[must_use]
pub fn in_our_words(errors: &str) -> String {
    errors.replace("-6 must follow -f", "-6 used before -f")
}

fn lists_sessions(text: &str) -> bool {
    text.contains("IPVS connection entries")
}

/// Both texts, so that also line feeds and spaces are seen.
fn apart(what: &str, kernel: &str, gateway: &str) -> [DiffLine; 2] {
    [
        DiffLine::Kernel(format!("{what} {kernel:?}")),
        DiffLine::Gateway(format!("{what} {gateway:?}")),
    ]
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.line)?;
        (self.lines.iter()).try_for_each(|line| write!(f, "\n    {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(command: &str, output: &str, errors: &str, status: i32) -> ShellLine {
        ShellLine {
            command: command.to_owned(),
            after: 0,
            output: output.to_owned(),
            errors: errors.to_owned(),
            status,
        }
    }

    /// What is found when each side says one thing.
    fn found(kernel: ShellLine, gateway: ShellLine) -> Comparison {
        let side = |line| Outcome {
            shell: vec![line],
            ..Outcome::default()
        };
        compare(&Scenario::default(), &side(kernel), &side(gateway))
    }

    #[test]
    fn the_same_words_are_the_same() {
        let line = said("ipvsadm -C", "", "", 0);
        let comparison = found(line.clone(), line);
        assert_eq!((comparison.lines, comparison.differences.len()), (1, 0));
    }

    #[test]
    fn a_space_an_exit_code_and_a_stream_are_differences() {
        let line = || said("ipvsadm -A -f 1", "x \n", "", 255);
        for other in [
            said("ipvsadm -A -f 1", "x\n", "", 255),
            said("ipvsadm -A -f 1", "x \n", "", 2),
            said("ipvsadm -A -f 1", "", "x \n", 255),
            said("ipvsadm -A -f 2", "x \n", "", 255),
        ] {
            let shown = format!("{other:?}");
            let comparison = found(line(), other);
            assert_eq!(comparison.differences.len(), 1, "{shown}");
        }
    }

    #[test]
    fn other_commands_and_sessions_that_time_moved_do_not_count() {
        let echo = found(said("echo 1", "1", "", 0), said("echo 1", "2", "", 0));
        assert_eq!(echo, Comparison::default());

        let list = |expires: &str| {
            let text = format!(
                "IPVS connection entries\n\
                 pro expire state       source             virtual            destination\n\
                 TCP {expires}  ESTABLISHED 192.168.0.1:1     10.1.0.100:80      10.2.0.11:80\n"
            );
            said("ipvsadm -Lnc", &text, "", 0)
        };
        let moved = found(list("14:59"), list("15:00"));
        assert_eq!((moved.moved, moved.differences.len()), (1, 0));
        assert_eq!(found(list("14:59"), list("09:00")).differences.len(), 1);
    }

    #[test]
    fn what_one_side_could_not_play_is_a_difference() {
        let side = Outcome {
            not_comparable: vec!["no".to_owned()],
            ..Outcome::default()
        };
        let comparison = compare(&Scenario::default(), &Outcome::default(), &side);
        assert_eq!(comparison.differences.len(), 1);
    }
}
