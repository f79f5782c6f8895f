//! Compares how often something happened, where chance decides.
//!
//! `twos` draws servers and `drop_entry` draws sessions at random, so frames cannot be the same.
//! What both sides sent to each station, and how many sessions each has in which state, are counts
//! of independent draws: their difference has a standard deviation of at most the root of their sum.
//! Four of them and a few more are chance; above that is a difference.

use std::collections::BTreeMap;

use dataplane::wire::ethernet::Ethernet;

use crate::outcome::Outcome;

use super::{Comparison, Difference};

/// Compares the counts of two outcomes.
pub(super) fn compare(found: &mut Comparison, kernel: &Outcome, gateway: &Outcome) {
    for (what, theirs, ours) in paired(&counts(kernel), &counts(gateway)) {
        if is_chance(theirs, ours) {
            found.accept("chance");
        } else {
            found.differences.push(Difference::Frequency {
                what,
                kernel: theirs,
                gateway: ours,
            });
        }
    }
}

fn is_chance(theirs: usize, ours: usize) -> bool {
    let distance = theirs.abs_diff(ours).saturating_sub(3);
    distance * distance <= 16 * (theirs + ours)
}

/// By what is counted, how often it happened.
type Counts = BTreeMap<String, usize>;

fn counts(outcome: &Outcome) -> Counts {
    let mut counts = Counts::new();
    for output in &outcome.frames {
        if let Ok((link, _)) = Ethernet::parse(&output.frame) {
            let what = format!("frames to {} by {}", link.destination(), output.interface);
            *counts.entry(what).or_default() += 1;
        }
    }
    let sessions = outcome.dumps.get("lnc").map_or("", String::as_str);
    for line in sessions.lines().skip(2) {
        let mut words = line.split_whitespace();
        if let (Some(protocol), Some(state)) = (words.next(), words.nth(1)) {
            let what = format!("{protocol} sessions in {state}");
            *counts.entry(what).or_default() += 1;
        }
    }
    counts
}

fn paired(theirs: &Counts, ours: &Counts) -> Vec<(String, usize, usize)> {
    let count = |counts: &Counts, what: &str| counts.get(what).copied().unwrap_or(0);
    let mut names: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
    names.sort();
    names.dedup();
    let pair = |what: &String| (what.clone(), count(theirs, what), count(ours, what));
    names.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{RIP_1_MAC, RIP_2_MAC, tcp};

    use super::*;
    use crate::outcome::Output;

    /// An outcome with so many frames to two servers.
    fn outcome(first: usize, second: usize) -> Outcome {
        let to = |mac, count| std::iter::repeat_n(tcp().eth_to(mac).build(), count);
        let frames = to(RIP_1_MAC, first).chain(to(RIP_2_MAC, second));
        Outcome {
            frames: frames
                .map(|frame| Output {
                    after: None,
                    nanos: 0,
                    interface: "eth1".to_owned(),
                    frame,
                })
                .collect(),
            ..Outcome::default()
        }
    }

    fn differs(kernel: &Outcome, gateway: &Outcome) -> bool {
        let mut found = Comparison::default();
        compare(&mut found, kernel, gateway);
        !found.differences.is_empty()
    }

    #[test]
    fn chance_explains_small_distances_only() {
        assert!(!differs(&outcome(50, 50), &outcome(60, 40)));
        assert!(differs(&outcome(50, 50), &outcome(100, 0)));
        assert!(differs(&outcome(200, 0), &outcome(0, 0)));
    }
}
