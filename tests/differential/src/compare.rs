//! Holds what the gateway did against what the kernel did.
//!
//! ```text
//! frames    by the input they follow, whole datagrams, free bits masked    frames, masks
//!           what is left over: a deliberate difference, or Linux's work    deliberate, host
//! listings  line by line; the kernel's timers may be late                  listings
//! twos, drop_entry: how often, not which                                   distribution
//! ```
//!
//! A difference is what none of this explains.

mod deliberate;
mod distribution;
mod frames;
mod host;
mod listings;
mod masks;
mod reassembly;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::describe::describe;
use crate::outcome::Outcome;
use crate::scenario::{NetLine, Scenario};

pub use deliberate::{Deliberate, RULES};

use listings::Tolerance;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What nothing explains, in the order of the play.
    pub differences: Vec<Difference>,
    /// How often each rule accepted a difference, by its name.
    pub accepted: BTreeMap<&'static str, usize>,
}

impl Comparison {
    fn accept(&mut self, rule: &'static str) {
        *self.accepted.entry(rule).or_default() += 1;
    }
}

/// Something that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The sides did not play the same frames.
    Inputs {
        /// How many the kernel's side played.
        kernel: usize,
        /// How many the gateway's side played.
        gateway: usize,
    },
    /// Other frames left after an input.
    Frames(FrameDifference),
    /// A command said something else.
    Shell {
        /// The command; the kernel's where the sides ran different ones.
        command: String,
        /// How many frames were played before.
        after: usize,
        /// What it said.
        lines: Vec<DiffLine>,
    },
    /// A final listing says something else.
    Listing {
        /// Its name, as in [`Outcome::dumps`].
        name: String,
        /// What it says.
        lines: Vec<DiffLine>,
    },
    /// Chance cannot explain how often something happened.
    Frequency {
        /// What was counted.
        what: String,
        /// How often on the kernel's side.
        kernel: usize,
        /// How often on the gateway's side.
        gateway: usize,
    },
}

/// Other frames left after an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameDifference {
    /// The input's index; `None` before the first.
    pub after: Option<usize>,
    /// The input.
    pub input: Vec<u8>,
    /// What only the kernel sent: the interface and the frame.
    pub kernel: Vec<(String, Vec<u8>)>,
    /// What only the gateway sent.
    pub gateway: Vec<(String, Vec<u8>)>,
    /// Whether the gateway gave the input to Linux.
    pub punted: bool,
    /// What is wrong, where the frames do not say it.
    pub why: Option<&'static str>,
}

/// A line that only one side has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffLine {
    /// The kernel's.
    Kernel(String),
    /// The gateway's.
    Gateway(String),
}

/// How a comparison treats the kernel's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// Both sides waited as long as the scenario says.
    Same,
    /// The gateway waited an eighth less somewhere, so that what is overdue in the kernel but not
    /// gone is not overdue in the gateway.
    GatewayEarlier,
}

/// Compares two outcomes of a scenario.
#[must_use]
pub fn compare(
    scenario: &Scenario,
    kernel: &Outcome,
    gateway: &Outcome,
    clocks: Clocks,
) -> Comparison {
    let mut found = Comparison::default();
    let same = |(ours, theirs): (&crate::outcome::Input, &crate::outcome::Input)| {
        (&ours.interface, &ours.frame) == (&theirs.interface, &theirs.frame)
    };
    if kernel.inputs.len() != gateway.inputs.len()
        || !gateway.inputs.iter().zip(&kernel.inputs).all(same)
    {
        found.differences.push(Difference::Inputs {
            kernel: kernel.inputs.len(),
            gateway: gateway.inputs.len(),
        });
        return found;
    }
    if is_random(scenario) {
        distribution::compare(&mut found, kernel, gateway);
        return found;
    }
    frames::compare(&mut found, scenario, kernel, gateway);
    let ahead = match clocks {
        Clocks::Same => ahead(kernel, gateway),
        Clocks::GatewayEarlier => Duration::ZERO,
    };
    let tolerance = Tolerance::new(scenario.elapsed(), clocks).with_clock_ahead(ahead);
    shell(&mut found, kernel, gateway, tolerance);
    dumps(&mut found, kernel, gateway, tolerance);
    found
}

/// What of a listing is different, in the lines that show it, on the kernel's side and on the
/// gateway's; nothing where only time has passed.
pub(crate) fn listing(scenario: &Scenario, said: [&str; 2]) -> Vec<DiffLine> {
    let tolerance = Tolerance::new(scenario.elapsed(), Clocks::Same);
    listings::compare_table(&mut Comparison::default(), said, said, tolerance)
}

/// By how much the kernel's clock was ahead of the gateway's at most, as far as frames tell; what
/// is less than a fifth of a second is said by no listing.
fn ahead(kernel: &Outcome, gateway: &Outcome) -> Duration {
    const UNSEEN: Duration = Duration::from_millis(200);

    let pairs = kernel.inputs.iter().zip(&gateway.inputs);
    let most = pairs.map(|(theirs, ours)| theirs.nanos.saturating_sub(ours.nanos));
    let most = Duration::from_nanos(most.max().unwrap_or(0));
    most.saturating_sub(UNSEEN)
}

/// Whether chance decides in the kernel: `twos` draws servers, `drop_entry` draws sessions.
#[must_use]
pub fn is_random(scenario: &Scenario) -> bool {
    draws_two(scenario) || knob(scenario, "drop_entry")
}

/// Whether a service has the scheduler `twos`.
#[must_use]
pub fn draws_two(scenario: &Scenario) -> bool {
    scenario.commands().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(2).any(|pair| pair == ["-s", "twos"])
    })
}

/// Whether the scenario turns a variable of IPVS to something else than 0.
fn knob(scenario: &Scenario, name: &str) -> bool {
    let in_net = scenario.net.iter().any(|line| {
        matches!(line, NetLine::Sysctl { key, value } if key.ends_with(name) && value != "0")
    });
    let turned = |line: &str| line.contains(name) && line.contains(['1', '2', '3']);
    in_net || scenario.commands().any(turned)
}

fn shell(found: &mut Comparison, kernel: &Outcome, gateway: &Outcome, tolerance: Tolerance) {
    for index in 0..kernel.shell.len().max(gateway.shell.len()) {
        let (theirs, ours) = (kernel.shell.get(index), gateway.shell.get(index));
        let Some(line) = theirs.or(ours) else { break };
        let lines = match (theirs, ours) {
            (Some(theirs), Some(ours)) => {
                let mut lines = Vec::new();
                if (&theirs.command, theirs.status) != (&ours.command, ours.status) {
                    let said = |line: &crate::outcome::ShellLine| {
                        format!("{} ended with {}", line.command, line.status)
                    };
                    lines.push(DiffLine::Kernel(said(theirs)));
                    lines.push(DiffLine::Gateway(said(ours)));
                }
                let sessions = [kernel, gateway].map(|side| sessions_beside(side, index));
                let outputs = [theirs.output.as_str(), ours.output.as_str()];
                lines.extend(listings::compare_table(found, outputs, sessions, tolerance));
                let errors = [theirs.errors.as_str(), ours.errors.as_str()];
                lines.extend(listings::compare_table(found, errors, sessions, tolerance));
                lines
            }
            (Some(_), None) => vec![DiffLine::Kernel("only here".to_owned())],
            _ => vec![DiffLine::Gateway("only here".to_owned())],
        };
        if !lines.is_empty() {
            found.differences.push(Difference::Shell {
                command: line.command.clone(),
                after: line.after,
                lines,
            });
        }
    }
}

/// What `-Lnc` says at a line, or right beside it, as a dump does.
/// It tells what is overdue.
fn sessions_beside(side: &Outcome, index: usize) -> &str {
    let near = [Some(index), index.checked_add(1), index.checked_sub(1)];
    let lines = near
        .iter()
        .flatten()
        .filter_map(|near| side.shell.get(*near));
    let mut listings = lines.filter(|line| line.output.contains("IPVS connection entries"));
    listings.next().map_or("", |line| line.output.as_str())
}

/// The listings at the end. What is overdue in the kernel is told by `lnc`, so the others are read
/// behind it.
fn dumps(found: &mut Comparison, kernel: &Outcome, gateway: &Outcome, tolerance: Tolerance) {
    let tolerance = tolerance.with_fresh_statistics();
    let nothing = String::new();
    let text = |outcome: &Outcome, name: &str| outcome.dumps.get(name).unwrap_or(&nothing).clone();
    let sessions = [text(kernel, "lnc"), text(gateway, "lnc")];
    for name in ["lnc", "ln", "persistent", "thresholds", "stats"] {
        let lines = match name {
            "lnc" => listings::compare(found, &sessions[0], &sessions[1], tolerance),
            _ => listings::compare_table(
                found,
                [&text(kernel, name), &text(gateway, name)],
                [&sessions[0], &sessions[1]],
                tolerance,
            ),
        };
        if !lines.is_empty() {
            found.differences.push(Difference::Listing {
                name: name.to_owned(),
                lines,
            });
        }
    }
}

impl fmt::Display for DiffLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(line) => write!(f, "kernel  | {line}"),
            Self::Gateway(line) => write!(f, "gateway | {line}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inputs { kernel, gateway } => write!(
                f,
                "the sides played other frames: {kernel} in the kernel, {gateway} in the gateway"
            ),
            Self::Frames(frames) => frames.fmt(f),
            Self::Shell {
                command,
                after,
                lines,
            } => {
                write!(f, "after {after} frames, `{command}` says:")?;
                lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Listing { name, lines } => {
                write!(f, "at the end, the listing '{name}' says:")?;
                lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Frequency {
                what,
                kernel,
                gateway,
            } => write!(
                f,
                "{what}: {kernel} in the kernel, {gateway} in the gateway"
            ),
        }
    }
}

impl fmt::Display for FrameDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(index) => write!(f, "after frame {index}: {}", describe(&self.input))?,
            None => write!(f, "before the first frame")?,
        }
        if let Some(why) = self.why {
            write!(f, "\n  {why}")?;
        }
        if self.punted {
            write!(f, "\n  gateway | gave it to Linux")?;
        }
        for (side, frames) in [("kernel ", &self.kernel), ("gateway", &self.gateway)] {
            for (interface, frame) in frames {
                write!(f, "\n  {side} | {interface} {}", describe(frame))?;
                write!(f, "\n  {side} |   ")?;
                frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
        }
        if self.kernel.is_empty() && self.why.is_none() {
            write!(f, "\n  kernel  | nothing else")?;
        }
        if self.gateway.is_empty() && !self.punted {
            write!(f, "\n  gateway | nothing else")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
