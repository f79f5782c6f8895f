//! Tells what became of scenarios: a line for each, an account of each difference, totals.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::compare::{Comparison, RULES};
use crate::describe::describe;
use crate::judge::{Differing, Verdict};
use crate::known::Known;
use crate::outcome::{Outcome, Output};

/// How many differences of a scenario are told; the first one often causes the others.
const TOLD: usize = 8;

/// The line of a scenario, and the account of its differences.
#[must_use]
pub fn account(name: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Same(comparison) => format!("same            {name}{}", accepted(comparison)),
        Verdict::Differs(differing) => {
            format!("differs         {name}\n{}", differences(differing))
        }
        Verdict::NotComparable(why) => format!("not comparable  {name}: {}", why.join("; ")),
        Verdict::LeftOut(why) => format!("left out        {name}: {why}"),
        Verdict::Failed(why) => format!("failed          {name}: {why}"),
    }
}

fn accepted(comparison: &Comparison) -> String {
    let rules = comparison
        .accepted
        .iter()
        .filter(|(rule, _)| **rule != "left to Linux");
    let rules: Vec<String> = rules
        .map(|(rule, times)| format!("{rule} {times}"))
        .collect();
    if rules.is_empty() {
        String::new()
    } else {
        format!(" ({})", rules.join(", "))
    }
}

fn differences(differing: &Differing) -> String {
    let all = &differing.comparison.differences;
    let mut text = String::new();
    for difference in all.iter().take(TOLD) {
        for line in difference.to_string().lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {line}");
        }
    }
    if all.len() > TOLD {
        let _ = writeln!(text, "    and {} differences more", all.len() - TOLD);
    }
    text.trim_end().to_owned()
}

/// All that one side did, to be read.
#[must_use]
pub fn transcript(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_transcript(&mut text, outcome);
    text
}

fn write_transcript(text: &mut String, outcome: &Outcome) -> fmt::Result {
    write_outputs(text, outcome, None)?;
    for (index, input) in outcome.inputs.iter().enumerate() {
        write_shell(text, outcome, index)?;
        let seconds = std::time::Duration::from_nanos(input.nanos).as_secs_f64();
        writeln!(
            text,
            "{index:4} {seconds:10.3} >> {} {}",
            input.interface,
            describe(&input.frame)
        )?;
        write_outputs(text, outcome, Some(index))?;
    }
    write_shell(text, outcome, outcome.inputs.len())?;
    for (name, listing) in &outcome.dumps {
        writeln!(text, "== {name}\n{listing}")?;
    }
    Ok(())
}

fn write_outputs(text: &mut String, outcome: &Outcome, after: Option<usize>) -> fmt::Result {
    let outputs: [(&str, &[Output]); 2] = [("<<", &outcome.frames), ("to Linux", &outcome.punted)];
    for (word, outputs) in outputs {
        for output in outputs.iter().filter(|output| output.after == after) {
            let told = describe(&output.frame);
            writeln!(
                text,
                "                   {word} {} {told}",
                output.interface
            )?;
        }
    }
    Ok(())
}

fn write_shell(text: &mut String, outcome: &Outcome, after: usize) -> fmt::Result {
    for line in outcome.shell.iter().filter(|line| line.after == after) {
        writeln!(text, "     $ {} (status {})", line.command, line.status)?;
        for said in line.output.lines().chain(line.errors.lines()) {
            writeln!(text, "       | {said}")?;
        }
    }
    Ok(())
}

/// How many scenarios came out how.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    same: usize,
    differ: usize,
    not_comparable: usize,
    left_out: usize,
    failed: usize,
    known: Known,
    /// Those that differ and are known to.
    known_to_differ: usize,
    /// Those on the list that are the same.
    outdated: usize,
    accepted: BTreeMap<&'static str, usize>,
}

impl Totals {
    /// None yet, and these scenarios are known to differ.
    #[must_use]
    pub fn knowing(known: Option<Known>) -> Self {
        Self {
            known: known.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Counts a verdict about the scenario of this name; gives what is to be said about it when it
    /// is known to differ.
    pub fn add(&mut self, name: &str, verdict: &Verdict) -> Option<String> {
        let reason = self.known.reason(name).map(str::to_owned);
        match (reason, verdict) {
            (Some(why), Verdict::Differs(_) | Verdict::NotComparable(_)) => {
                self.known_to_differ += 1;
                return Some(format!("known to differ: {why}"));
            }
            (Some(_), Verdict::Same(_)) => {
                self.outdated += 1;
                self.count(verdict);
                return Some("it is the same now: take it off the list".to_owned());
            }
            _ => self.count(verdict),
        }
        None
    }

    fn count(&mut self, verdict: &Verdict) {
        let comparison = match verdict {
            Verdict::Same(comparison) => {
                self.same += 1;
                Some(comparison)
            }
            Verdict::Differs(differing) => {
                self.differ += 1;
                Some(&differing.comparison)
            }
            Verdict::NotComparable(_) => {
                self.not_comparable += 1;
                None
            }
            Verdict::LeftOut(_) => {
                self.left_out += 1;
                None
            }
            Verdict::Failed(_) => {
                self.failed += 1;
                None
            }
        };
        for (rule, times) in comparison
            .iter()
            .flat_map(|comparison| &comparison.accepted)
        {
            *self.accepted.entry(rule).or_default() += times;
        }
    }

    /// 1 if any scenario differs or failed, or is on the list of those that do and does not; 3 if none does but some mean nothing, which is not the
    /// same as passing; 0 otherwise.
    #[must_use]
    pub fn status(&self) -> u8 {
        match (
            self.differ + self.failed + self.outdated,
            self.not_comparable,
        ) {
            (0, 0) => 0,
            (0, _) => 3,
            _ => 1,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.known_to_differ + self.not_comparable + self.left_out + self.failed;
        let total = self.same + self.differ + others;
        write!(
            f,
            "{total} scenarios: {} same, {} differ",
            self.same, self.differ
        )?;
        let others = [
            (self.known_to_differ, "known to differ"),
            (self.outdated, "the same though known to differ"),
            (self.not_comparable, "not comparable"),
            (self.left_out, "left out"),
            (self.failed, "failed"),
        ];
        for (count, word) in others.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {word}")?;
        }
        for (rule, times) in &self.accepted {
            let deliberate = RULES.iter().find(|known| known.name == *rule);
            let what = deliberate.map_or("", |rule| rule.what);
            let colon = if what.is_empty() { "" } else { ": " };
            write!(f, "\n  {times:5} x {rule}{colon}{what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{DiffLine, Difference};

    fn differing() -> Verdict {
        let mut comparison = Comparison::default();
        comparison.differences.push(Difference::Listing {
            name: "ln".to_owned(),
            lines: vec![
                DiffLine::Kernel("a".to_owned()),
                DiffLine::Gateway("b".to_owned()),
            ],
        });
        Verdict::Differs(Box::new(Differing {
            comparison,
            kernel: Outcome::default(),
            gateway: Outcome::default(),
        }))
    }

    #[test]
    fn a_difference_is_told_line_by_line() {
        assert_eq!(
            account("x", &differing()),
            "differs         x\n    at the end, the listing 'ln' says:\n      kernel  | a\n      gateway | b"
        );
    }

    #[test]
    fn what_means_nothing_does_not_pass() {
        let not_comparable = Verdict::NotComparable(vec!["iptables".to_owned()]);
        let cases: [(&[Verdict], u8); 4] = [
            (&[Verdict::Same(Comparison::default())], 0),
            (&[Verdict::LeftOut("waits 900 s".to_owned())], 0),
            (
                &[Verdict::Same(Comparison::default()), not_comparable.clone()],
                3,
            ),
            (&[not_comparable, differing()], 1),
        ];
        for (verdicts, status) in cases {
            let mut totals = Totals::default();
            for verdict in verdicts {
                assert_eq!(totals.add("x", verdict), None);
            }

            assert_eq!(totals.status(), status, "{totals}");
        }
    }

    #[test]
    fn what_is_known_to_differ_passes_until_it_is_the_same() {
        let known = || Known::parse("x: not yet").ok();
        let mut totals = Totals::knowing(known());
        assert!(totals.add("x", &differing()).is_some());
        assert_eq!(totals.status(), 0, "{totals}");

        let same = Verdict::Same(Comparison::default());
        assert!(totals.add("x", &same).is_some());
        assert_eq!(totals.status(), 1, "{totals}");

        let mut others = Totals::knowing(known());
        assert_eq!(others.add("y", &differing()), None);
        assert_eq!(others.status(), 1, "{others}");
    }
}
