//! Whether one check says that its server is well.
//!
//! The first result decides at once; after that `rise` good ones in a row, or `fall` bad ones.

use crate::config::Timing;

/// What a check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It has not been made yet.
    #[default]
    Unknown,
    /// The server is well.
    Good,
    /// It is not.
    Bad,
}

impl Verdict {
    /// What all checks of a server say together: it is well if it is by all of them. Without
    /// checks it is.
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::Good, Self::and)
    }

    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bad, _) | (_, Self::Bad) => Self::Bad,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Good, Self::Good) => Self::Good,
        }
    }
}

/// The results of one check so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judge {
    verdict: Verdict,
    /// Results in a row that say the opposite.
    against: u16,
}

impl Judge {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            verdict: Verdict::Unknown,
            against: 0,
        }
    }

    /// What the check says now.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        self.verdict
    }

    /// Results in a row that say the opposite, and how many it takes.
    #[must_use]
    pub const fn doubt(self, timing: &Timing) -> (u16, u16) {
        (self.against, self.needed(timing))
    }

    /// Takes in the result of a run. Returns whether the verdict is another one now.
    pub fn hear(&mut self, is_good: bool, timing: &Timing) -> bool {
        let said = if is_good { Verdict::Good } else { Verdict::Bad };
        if said == self.verdict {
            self.against = 0;
            return false;
        }
        self.against += 1;
        if self.against < self.needed(timing) {
            return false;
        }
        *self = Self {
            verdict: said,
            against: 0,
        };
        true
    }

    const fn needed(self, timing: &Timing) -> u16 {
        match self.verdict {
            Verdict::Unknown => 1,
            Verdict::Good => timing.fall,
            Verdict::Bad => timing.rise,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timing(rise: u16, fall: u16) -> Timing {
        Timing {
            rise,
            fall,
            ..Timing::default()
        }
    }

    /// The verdicts after each of these results, `+` for a good one.
    fn verdicts(results: &str, timing: &Timing) -> String {
        let mut judge = Judge::default();
        let letter = |result| {
            judge.hear(result == '+', timing);
            match judge.verdict() {
                Verdict::Unknown => '?',
                Verdict::Good => 'g',
                Verdict::Bad => 'b',
            }
        };
        results.chars().map(letter).collect()
    }

    #[test]
    fn the_first_result_decides_at_once() {
        let timing = timing(3, 3);

        assert_eq!(verdicts("+", &timing), "g");
        assert_eq!(verdicts("-", &timing), "b");
    }

    #[test]
    fn a_verdict_changes_after_as_many_results_in_a_row_as_are_asked_for() {
        assert_eq!(verdicts("+--+---", &timing(2, 3)), "ggggggb");
        assert_eq!(verdicts("-+-++", &timing(2, 3)), "bbbbg");
        assert_eq!(verdicts("+-+-", &timing(1, 1)), "gbgb");
    }

    #[test]
    fn a_server_is_well_if_it_is_by_all_of_its_checks() {
        let [unknown, good, bad] = [Verdict::Unknown, Verdict::Good, Verdict::Bad];

        assert_eq!(Verdict::of_all([]), good);
        assert_eq!(Verdict::of_all([good, good]), good);
        assert_eq!(Verdict::of_all([good, unknown]), unknown);
        assert_eq!(Verdict::of_all([unknown, bad, good]), bad);
    }

    proptest! {
        #[test]
        fn a_verdict_is_what_the_last_run_of_equal_results_long_enough_said(
            results in prop::collection::vec(any::<bool>(), 1..60),
            rise in 1..5_u16,
            fall in 1..5_u16,
        ) {
            let timing = timing(rise, fall);
            let mut judge = Judge::default();
            let mut model = results[0];

            for (end, result) in results.iter().enumerate() {
                judge.hear(*result, &timing);
                let needed = usize::from(if *result { rise } else { fall });
                let streak = results[..=end].iter().rev().take_while(|it| *it == result);
                if streak.count() >= needed {
                    model = *result;
                }
                let expected = if model { Verdict::Good } else { Verdict::Bad };
                prop_assert_eq!(judge.verdict(), expected);
            }
        }
    }
}
