//! How much of its weight a server has now.
//!
//! ```text
//! effective = (configured + scripts) × slow start × load
//! ```
//!
//! It is at least 1 while the configured weight is, so that a server which is well always gets
//! something; a configured weight of 0 takes no new sessions, whatever else there is.

use std::ops::RangeInclusive;
use std::time::Duration;

use dataplane::id::Weight;

/// With what part of its weight, in percent, a server begins that has come up.
const FIRST_PERCENT: f64 = 10.0;

/// How far the factor of the load moves in a second, in percentage points.
const POINTS_PER_SECOND: f64 = 10.0;

/// The largest weight: what the kernel's signed number holds.
const MAX_WEIGHT: u32 = u32::MAX >> 1;

/// Who said how loaded a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// Its agent.
    Agent,
    /// The answer to a check.
    Check,
}

/// What part of its weight a server says that it can bear, and how far it has come there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    teller: Teller,
    from: f64,
    since: Duration,
    target: f64,
}

impl Load {
    /// The server says `percent`, of which what is within `bounds` counts; `before` is what it
    /// said before.
    #[must_use]
    pub fn heard(
        before: Option<Self>,
        teller: Teller,
        percent: u16,
        bounds: &RangeInclusive<u16>,
        now: Duration,
    ) -> Self {
        let target = percent.max(*bounds.start()).min(*bounds.end());
        Self {
            teller,
            from: before.map_or(100.0, |before| before.percent(now)),
            since: now,
            target: target.into(),
        }
    }

    /// The part, in percent, as far as it has come.
    #[must_use]
    pub fn percent(&self, now: Duration) -> f64 {
        let moved = now.saturating_sub(self.since).as_secs_f64() * POINTS_PER_SECOND;
        let way = self.target - self.from;
        self.from + way.clamp(-moved, moved)
    }

    /// Whether `other` was said by the same and goes to the same.
    #[must_use]
    pub fn heads_as(&self, other: &Self) -> bool {
        self.teller == other.teller && (self.target - other.target).abs() < f64::EPSILON
    }

    /// Whether it moves no more.
    #[must_use]
    pub fn has_arrived(&self, now: Duration) -> bool {
        (self.percent(now) - self.target).abs() < f64::EPSILON
    }
}

/// What part of its weight, in percent, a server has so long after it has come up; `None` once it
/// has all of it.
#[must_use]
pub fn slow_start(since: Duration, slow_start: Duration) -> Option<f64> {
    if since >= slow_start {
        return None;
    }
    let part = since.as_secs_f64() / slow_start.as_secs_f64();
    Some(FIRST_PERCENT + (100.0 - FIRST_PERCENT) * part)
}

/// All that a server's weight is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// The configured weight.
    pub configured: Weight,
    /// What scripts add.
    pub scripts: i64,
    /// The percentage of slow start.
    pub slow_start: Option<f64>,
    /// The percentage of the load, and who said it.
    pub load: Option<(Teller, f64)>,
}

impl Factors {
    /// The effective weight.
    #[must_use]
    pub fn weight(&self) -> Weight {
        if self.configured.0 == 0 {
            return Weight(0);
        }
        let whole = i64::from(self.configured.0).saturating_add(self.scripts);
        let whole = u32::try_from(whole.clamp(1, MAX_WEIGHT.into())).unwrap_or(MAX_WEIGHT);
        let parts = [self.slow_start, self.load.map(|(_, percent)| percent)];
        let part: f64 = parts.into_iter().flatten().map(|it| it / 100.0).product();
        Weight(rounded(f64::from(whole) * part))
    }

    /// Why it is not the configured weight, in words: `slow start 40 %`, `agent 75 %`.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let scripts = (self.scripts != 0).then(|| format!("scripts {:+}", self.scripts));
        let slow_start = self.slow_start;
        let slow_start = slow_start.map(|percent| format!("slow start {percent:.0} %"));
        let load = self.load.map(|(teller, percent)| match teller {
            Teller::Agent => format!("agent {percent:.0} %"),
            Teller::Check => format!("load {percent:.0} %"),
        });
        [scripts, slow_start, load].into_iter().flatten().collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the bounds before the cast"
)]
fn rounded(weight: f64) -> u32 {
    weight.round().clamp(1.0, f64::from(MAX_WEIGHT)) as u32
}

impl Load {
    /// As a factor at this time.
    #[must_use]
    pub fn factor(&self, now: Duration) -> (Teller, f64) {
        (self.teller, self.percent(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Factors = Factors {
        configured: Weight(100),
        scripts: 0,
        slow_start: None,
        load: None,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_server_has_the_weight_that_is_configured_unless_there_is_a_reason() {
        assert_eq!(PLAIN.weight(), Weight(100));
        assert!(PLAIN.reasons().is_empty());
    }

    #[test]
    fn every_factor_has_its_reason() {
        let factors = Factors {
            scripts: 20,
            slow_start: Some(40.0),
            load: Some((Teller::Agent, 75.0)),
            ..PLAIN
        };

        assert_eq!(factors.weight(), Weight(36));
        assert_eq!(
            factors.reasons(),
            ["scripts +20", "slow start 40 %", "agent 75 %"]
        );
    }

    #[test]
    fn a_server_that_is_well_gets_something_and_one_without_weight_nothing() {
        let little = Factors {
            configured: Weight(3),
            scripts: -10,
            slow_start: Some(10.0),
            load: Some((Teller::Check, 1.0)),
        };
        let nothing = Factors {
            configured: Weight(0),
            scripts: 10,
            ..PLAIN
        };

        assert_eq!(little.weight(), Weight(1));
        assert_eq!(nothing.weight(), Weight(0));
    }

    #[test]
    fn weights_grow_from_a_tenth_to_all_while_a_server_starts() {
        let percent = |since| slow_start(seconds(since), seconds(30));

        assert_eq!(percent(0), Some(10.0));
        assert_eq!(percent(10), Some(40.0));
        assert_eq!(percent(30), None);
        assert_eq!(slow_start(Duration::ZERO, Duration::ZERO), None);
    }

    #[test]
    fn the_load_moves_a_weight_by_ten_points_a_second() {
        let bounds = 20..=100;
        let load = Load::heard(None, Teller::Agent, 75, &bounds, seconds(5));

        assert_eq!(load.factor(seconds(5)), (Teller::Agent, 100.0));
        assert_eq!(load.factor(seconds(7)), (Teller::Agent, 80.0));
        assert!(!load.has_arrived(seconds(7)));
        assert_eq!(load.factor(seconds(9)), (Teller::Agent, 75.0));
        assert!(load.has_arrived(seconds(9)));

        let back = Load::heard(Some(load), Teller::Check, 0, &bounds, seconds(6));
        assert_eq!(back.factor(seconds(7)), (Teller::Check, 80.0));
        assert_eq!(back.factor(seconds(60)), (Teller::Check, 20.0));
    }

    proptest! {
        #[test]
        fn a_factor_stays_within_its_bounds_and_never_jumps(
            said in prop::collection::vec((0..300_u16, 0..5_000_u64), 1..40),
            (low, high) in (1..100_u16, 100..200_u16),
        ) {
            let mut load = None;
            let mut now = Duration::ZERO;
            let mut last = 100.0;
            for (percent, millis) in said {
                let heard = Load::heard(load, Teller::Agent, percent, &(low..=high), now);
                prop_assert!((heard.percent(now) - last).abs() < 1e-6);
                now += Duration::from_millis(millis);
                let next = heard.percent(now);
                let most = Duration::from_millis(millis).as_secs_f64() * POINTS_PER_SECOND;
                prop_assert!((next - last).abs() <= most + 1e-6);
                prop_assert!((f64::from(low)..=f64::from(high)).contains(&next));
                (load, last) = (Some(heard), next);
            }
        }

        #[test]
        fn a_weight_is_between_one_and_the_largest(
            configured in 1..=MAX_WEIGHT,
            scripts in -1_000..1_000_000_i64,
            slow in prop::option::of(0.0..100.0),
            load in prop::option::of(0.0..1_000.0),
        ) {
            let factors = Factors {
                configured: Weight(configured),
                scripts,
                slow_start: slow,
                load: load.map(|load| (Teller::Agent, load)),
            };
            prop_assert!((1..=MAX_WEIGHT).contains(&factors.weight().0));
        }
    }
}
