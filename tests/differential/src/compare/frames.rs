//! Compares the frames that left, input by input.

use crate::outcome::{Input, Outcome, Output};
use crate::scenario::{NetLine, Scenario};

use super::deliberate::RULES;
use super::host::Locals;
use super::masks::{ipv4, masked};
use super::reassembly::Reassembler;
use super::{Comparison, Difference, FrameDifference};

/// An input, as rules see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// The input; whole, if it closed the last gap of a datagram.
    pub(super) whole: &'a [u8],
    /// The interfaces that have another MTU than Ethernet's.
    pub(super) mtus: &'a [(String, u16)],
}

impl Case<'_> {
    /// The largest IP packet that an interface takes.
    pub(super) fn mtu(&self, interface: &str) -> u16 {
        const ETHERNET: u16 = 1_500;

        let set = self.mtus.iter().find(|(name, _)| name == interface);
        set.map_or(ETHERNET, |(_, mtu)| *mtu)
    }
}

/// Interface and frame.
type Frame = (String, Vec<u8>);

/// What left after one input.
type After = Vec<Vec<Frame>>;

const INCOMPLETE: &str = "incomplete datagram";

/// Finds the inputs after which other frames left.
pub(super) fn compare(
    found: &mut Comparison,
    scenario: &Scenario,
    kernel: &Outcome,
    gateway: &Outcome,
) {
    let wholes = wholes(&kernel.inputs);
    let locals = Locals::new(scenario);
    let mtus = mtus(scenario);
    let (theirs, their_gaps) = datagrams(&kernel.frames, &wholes);
    let (ours, our_gaps) = datagrams(&gateway.frames, &wholes);
    for (index, (theirs, ours)) in theirs.into_iter().zip(ours).enumerate() {
        let after = index.checked_sub(1);
        let input = after.and_then(|after| kernel.inputs.get(after));
        let whole = after
            .and_then(|after| wholes.get(after))
            .map_or(&[][..], Vec::as_slice);
        let mut step = Step {
            case: Case { whole, mtus: &mtus },
            silent: theirs.is_empty(),
            theirs,
            ours,
            punted: gateway
                .punted
                .iter()
                .filter(|frame| frame.after == after)
                .collect(),
        };
        step.cross_out(found);
        let why = step.judge_punted(found, &locals, input, &gateway.inputs);
        if why.is_some() || !step.theirs.is_empty() || !step.ours.is_empty() {
            found.differences.push(Difference::Frames(FrameDifference {
                after,
                input: whole.to_vec(),
                kernel: step.theirs,
                gateway: step.ours,
                punted: !step.punted.is_empty(),
                why,
            }));
        }
    }
    gaps(found, &kernel.inputs, &their_gaps, &our_gaps);
}

/// The MTUs that the scenario gives to interfaces.
fn mtus(scenario: &Scenario) -> Vec<(String, u16)> {
    let set = |line: &NetLine| match line {
        NetLine::Interface { name, mtu, .. } => Some((name.clone(), (*mtu)?)),
        _ => None,
    };
    scenario.net.iter().filter_map(set).collect()
}

/// Every input; one that closes the last gap of a datagram as the whole datagram.
fn wholes(inputs: &[Input]) -> Vec<Vec<u8>> {
    let mut side = Reassembler::default();
    let whole = |input: &Input| {
        let whole = side.add(&input.interface, &input.frame);
        whole.unwrap_or_else(|| input.frame.clone())
    };
    inputs.iter().map(whole).collect()
}

/// What left before the first input and after each, whole and masked; and the identifications of
/// datagrams that were never whole.
fn datagrams(frames: &[Output], wholes: &[Vec<u8>]) -> (After, Vec<u16>) {
    let mut side = Reassembler::default();
    let mut after: After = vec![Vec::new(); wholes.len() + 1];
    for output in frames {
        let Some(whole) = side.add(&output.interface, &output.frame) else {
            continue;
        };
        let input = output.after.and_then(|index| wholes.get(index));
        let place = output.after.map_or(0, |index| index + 1);
        if let Some(place) = after.get_mut(place) {
            let frame = masked(&whole, input.map(Vec::as_slice));
            place.push((output.interface.clone(), frame));
        }
    }
    (after, side.incomplete())
}

/// What left after one input.
struct Step<'a> {
    case: Case<'a>,
    /// Whether the kernel sent nothing at all.
    silent: bool,
    theirs: Vec<Frame>,
    ours: Vec<Frame>,
    punted: Vec<&'a Output>,
}

impl Step<'_> {
    /// Crosses out what both sent, and what differs on purpose.
    fn cross_out(&mut self, found: &mut Comparison) {
        let ours = &mut self.ours;
        self.theirs
            .retain(|frame| match ours.iter().position(|other| other == frame) {
                Some(index) => {
                    ours.remove(index);
                    false
                }
                None => true,
            });
        for rule in &RULES {
            while let Some((index, ours)) = rule.find(&self.case, &self.theirs, &self.ours) {
                self.theirs.remove(index);
                if let Some(index) = ours {
                    self.ours.remove(index);
                }
                found.accept(rule.name);
            }
        }
    }

    /// Crosses out what Linux does with an input it was given. Says what is wrong if the input
    /// was not Linux's.
    fn judge_punted(
        &mut self,
        found: &mut Comparison,
        locals: &Locals,
        input: Option<&Input>,
        inputs: &[Input],
    ) -> Option<&'static str> {
        let input = input.filter(|_| !self.punted.is_empty())?;
        if !self
            .punted
            .iter()
            .all(|frame| is_an_input(frame, inputs, locals))
        {
            return Some("what the gateway gave to Linux is not what it received");
        }
        let expected = locals.expect(&input.interface, self.case.whole);
        self.theirs
            .retain(|(_, frame)| !expected.allows(self.case.whole, frame));
        if !self.theirs.is_empty() {
            return Some("the gateway gave it to Linux, but this is not what a host sends");
        }
        found.accept("left to Linux");
        let held = is_fragment(&input.frame) && input.frame == self.case.whole;
        (expected.must && self.silent && !held)
            .then_some("the gateway gave it to Linux, which would answer; the kernel did not")
    }
}

/// Whether a frame that the gateway gave to Linux came in like that, or differs only in that it
/// goes to the gateway itself: a local server's.
fn is_an_input(punted: &Output, inputs: &[Input], locals: &Locals) -> bool {
    let came_in = inputs
        .iter()
        .any(|input| (&input.interface, &input.frame) == (&punted.interface, &punted.frame));
    let to_itself = || ipv4(&punted.frame).is_some_and(|(ip, _)| locals.may_have(ip.destination()));
    came_in || to_itself()
}

fn is_fragment(frame: &[u8]) -> bool {
    ipv4(frame).is_some_and(|(ip, _)| ip.is_fragment())
}

/// Both sides send whole datagrams only, where they arrive within 30 s and in as many fragments as
/// fit the gateway's room for one. It may send fragments of those that came in incomplete: of a
/// datagram for which it had no room any more; and no others.
fn gaps(found: &mut Comparison, inputs: &[Input], theirs: &[u16], ours: &[u16]) {
    let mut side = Reassembler::default();
    for input in inputs {
        let _ = side.add(&input.interface, &input.frame);
    }
    let came_in = side.incomplete();
    for _ in ours.iter().filter(|id| came_in.contains(id)) {
        found.accept(INCOMPLETE);
    }
    let unexplained = ours.iter().any(|id| !came_in.contains(id));
    if unexplained || !theirs.is_empty() {
        found.differences.push(Difference::Frequency {
            what: "datagrams that never became whole".to_owned(),
            kernel: theirs.len(),
            gateway: ours.len(),
        });
    }
}
