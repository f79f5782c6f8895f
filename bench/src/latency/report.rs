//! What was measured, and what follows from it.
//!
//! What a path adds is taken over the rounds in which it and the direct way were measured: all
//! response times of these rounds together, so that there are enough for the high percentiles.
//! The direct way is measured twice in a round, and both count.

use serde::Serialize;

use super::distribution::{Percentiles, nearest_rank};
use super::open_loop::Outcome;
use super::path;

/// The fractions at which curves have points: evenly spaced on a chart whose axis is the
/// logarithm of the rest, from the median to one in 1,000.
const CURVE_POINTS: u32 = 55;

/// In a calm window the generator gets to all but one in 1,000 requests within this time.
const CALM_LATE_US: f64 = 500.0;

/// In a calm window the gateway's worker has a core but for this share of the time.
const CALM_WAIT: f64 = 0.002;

/// The circumstances of a window; rounds repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// DPDK's name of the gateway's driver.
    pub driver: &'static str,
    /// What an idle worker does, in the words of the configuration.
    pub idle: &'static str,
    /// Requests a second.
    pub rate: u32,
    /// The path's name.
    pub path: &'static str,
}

/// One window on one path.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// Under which circumstances.
    #[serde(flatten)]
    pub setting: Setting,
    /// In which round, from 0.
    pub round: u32,
    /// Response times on kept connections.
    pub kept: Percentiles,
    /// Response times of requests that made their connection.
    pub opened: Percentiles,
    /// How late the generator got to requests, which is its own part.
    pub late: Percentiles,
    /// How long requests were sent.
    pub window_us: f64,
    /// How long the gateway's worker was ready but had no core.
    pub worker_waited_us: f64,
    /// TCP segments the client sent again.
    pub retransmits: u64,
    /// Every response time.
    #[serde(skip)]
    pub outcome: Outcome,
}

impl Window {
    /// Sums up `outcome`.
    #[must_use]
    pub fn new(setting: Setting, round: u32, mut outcome: Outcome) -> Self {
        Self {
            setting,
            round,
            kept: Percentiles::of(&mut outcome.kept),
            opened: Percentiles::of(&mut outcome.opened),
            late: Percentiles::of(&mut outcome.late),
            window_us: 0.0,
            worker_waited_us: 0.0,
            retransmits: 0,
            outcome,
        }
    }

    /// Whether nobody else on the machine took the core away from the generator or the worker for
    /// long. What they do meanwhile shows in response times but is not the gateway's.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let late = self.late.p999_us.or(self.late.max_us);
        late.is_some_and(|late| late <= CALM_LATE_US)
            && self.worker_waited_us <= CALM_WAIT * self.window_us
    }

    const fn nanos(&self, connection: Connection) -> &Vec<u64> {
        match connection {
            Connection::Kept => &self.outcome.kept,
            Connection::New => &self.outcome.opened,
        }
    }
}

/// Which connections a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// Those that carry many requests.
    Kept,
    /// Those made for one request; making them counts.
    New,
}

impl Connection {
    const ALL: [Self; 2] = [Self::Kept, Self::New];

    /// What tables call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::New => "new",
        }
    }
}

/// All rounds of one setting.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Under which circumstances.
    #[serde(flatten)]
    pub setting: Setting,
    /// Whether only calm windows count ([`Window::is_calm`]).
    pub calm: bool,
    /// Which connections.
    pub connection: Connection,
    /// Windows that count.
    pub windows: usize,
    /// Requests in them.
    pub requests: usize,
    /// Response times.
    pub response: Percentiles,
    /// What they are above all direct ones of the same rounds; none for the first direct way, and
    /// for the second above the first.
    pub added: Option<Percentiles>,
    /// What they are above those of a worker that spins; none where the worker spins.
    pub above_spin: Option<Percentiles>,
    /// The share of the time that the worker had no core, although it was ready.
    pub worker_waited: f64,
}

/// The settings that occur, in the order of their first windows.
#[must_use]
pub fn settings(windows: &[Window]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for window in windows {
        if !settings.contains(&window.setting) {
            settings.push(window.setting);
        }
    }
    settings
}

/// Sums up all windows, or the calm ones alone. A setting without one has no summary.
#[must_use]
pub fn summaries(windows: &[Window], calm: bool) -> Vec<Summary> {
    let counted = windows.iter().filter(|window| !calm || window.is_calm());
    let counted: Vec<&Window> = counted.collect();
    let mut summaries = Vec::new();
    for setting in settings(windows) {
        for connection in Connection::ALL {
            let summary = summary(&counted, setting, connection);
            summaries.extend(summary.map(|summary| Summary { calm, ..summary }));
        }
    }
    summaries
}

fn summary(windows: &[&Window], setting: Setting, connection: Connection) -> Option<Summary> {
    let own = of(windows, setting);
    if own.is_empty() {
        return None;
    }
    let above = |base: Vec<&Window>| {
        let (own, base) = (in_rounds_of(&own, &base), in_rounds_of(&base, &own));
        let paired = !own.is_empty();
        paired.then(|| response(&own, connection).above(&response(&base, connection)))
    };
    let direct = |path: path::Path| {
        let path = path.name();
        of(windows, Setting { path, ..setting })
    };
    let mut base = direct(path::Path::Direct);
    if setting.path != path::Path::DirectAgain.name() {
        base.extend(direct(path::Path::DirectAgain));
    }
    let spin = Setting {
        idle: "spin",
        ..setting
    };
    let time: f64 = own.iter().map(|window| window.window_us).sum();
    let waited: f64 = own.iter().map(|window| window.worker_waited_us).sum();
    Some(Summary {
        setting,
        calm: false,
        connection,
        windows: own.len(),
        requests: own.iter().map(|own| own.nanos(connection).len()).sum(),
        response: response(&own, connection),
        added: above(base).filter(|_| setting.path != path::Path::Direct.name()),
        above_spin: above(of(windows, spin)).filter(|_| setting != spin),
        worker_waited: waited / time,
    })
}

fn of<'a>(windows: &[&'a Window], setting: Setting) -> Vec<&'a Window> {
    let own = windows.iter().filter(|window| window.setting == setting);
    own.copied().collect()
}

/// Those of `windows` in whose round `others` has one too.
fn in_rounds_of<'a>(windows: &[&'a Window], others: &[&Window]) -> Vec<&'a Window> {
    let shared = |window: &&&Window| others.iter().any(|other| other.round == window.round);
    windows.iter().filter(shared).copied().collect()
}

/// Response times of several windows as if they were one.
fn response(windows: &[&Window], connection: Connection) -> Percentiles {
    let nanos = windows.iter().map(|window| window.nanos(connection));
    Percentiles::of(&mut nanos.flatten().copied().collect::<Vec<_>>())
}

/// The curve of a setting over all requests of all windows, or the calm ones alone: a fraction,
/// and the response time in microseconds that it does not exceed.
#[must_use]
pub fn curve(windows: &[Window], setting: Setting, calm: bool) -> Vec<(f64, f64)> {
    let own = windows.iter().filter(|window| window.setting == setting);
    let own = own.filter(|window| !calm || window.is_calm());
    let nanos = own.flat_map(|own| own.outcome.kept.iter().chain(&own.outcome.opened));
    let mut nanos: Vec<u64> = nanos.copied().collect();
    nanos.sort_unstable();
    let point = |fraction| Some((fraction, nearest_rank(&nanos, fraction)?));
    curve_fractions().filter_map(point).collect()
}

/// The fractions at which curves have points.
fn curve_fractions() -> impl Iterator<Item = f64> {
    (0..=CURVE_POINTS).map(|point| {
        let nines =
            2.0_f64.log10() + (3.0 - 2.0_f64.log10()) * f64::from(point) / f64::from(CURVE_POINTS);
        1.0 - 10.0_f64.powf(-nines)
    })
}

/// Windows for the tests of this module and of the tables.
#[cfg(test)]
pub(super) mod samples {
    use super::*;

    /// A calm window of a second in which every request took `micros`, and twice as long on a
    /// connection of its own.
    pub(in super::super) fn window(
        path: &'static str,
        idle: &'static str,
        round: u32,
        micros: u64,
    ) -> Window {
        let setting = Setting {
            driver: "net_af_packet",
            idle,
            rate: 1_200,
            path,
        };
        let outcome = Outcome {
            kept: vec![micros * 1_000; 1_000],
            opened: vec![micros * 2_000; 200],
            late: vec![1_000; 1_200],
        };
        Window {
            window_us: 1e6,
            ..Window::new(setting, round, outcome)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::window;
    use super::*;

    #[test]
    fn both_direct_windows_of_a_round_are_what_a_path_is_compared_with() {
        let windows = [
            window("direct", "sleep", 0, 100),
            window("dr", "sleep", 0, 110),
            window("direct again", "sleep", 0, 104),
        ];

        let found = summaries(&windows, false);

        let added = |at: usize| found[at].added.unwrap_or_default();
        // Of 2,000 the first thousand took 100 µs.
        assert_eq!((added(2).p50_us, added(2).p90_us), (Some(10.0), Some(6.0)));
        assert_eq!(added(4).p50_us, Some(4.0), "compared with the first alone");
        assert!(found[0].added.is_none());
    }

    #[test]
    fn what_a_path_adds_is_taken_over_the_rounds_of_both() {
        // The direct way was not calm in the second round.
        let mut disturbed = window("direct", "sleep", 1, 100);
        disturbed.late.p999_us = Some(CALM_LATE_US + 1.0);
        let windows = [
            window("direct", "sleep", 0, 100),
            window("dr", "sleep", 0, 110),
            disturbed,
            window("dr", "sleep", 1, 900),
        ];

        let found = summaries(&windows, true);

        let names: Vec<_> = found
            .iter()
            .map(|s| (s.setting.path, s.connection))
            .collect();
        let expected = ["direct", "dr"].map(|path| Connection::ALL.map(|kind| (path, kind)));
        assert_eq!(names, expected.as_flattened());
        assert!(found[0].added.is_none(), "the direct way adds nothing");
        assert_eq!((found[2].windows, found[2].requests), (2, 2_000));
        assert_eq!(found[2].response.p99_us, Some(900.0));
        assert_eq!(found[2].added.and_then(|added| added.p999_us), Some(10.0));
        assert_eq!(found[3].added.and_then(|added| added.p90_us), Some(20.0));
        assert_eq!(found[3].added.and_then(|added| added.p999_us), None);
    }

    #[test]
    fn all_windows_count_with_the_time_the_worker_had_no_core() {
        let disturbed = Window {
            worker_waited_us: 20_000.0,
            ..window("dr", "sleep", 1, 900)
        };
        let windows = [window("dr", "sleep", 0, 110), disturbed];

        let (all, calm) = (summaries(&windows, false), summaries(&windows, true));

        assert_eq!((all[0].windows, calm[0].windows), (2, 1));
        assert!((all[0].worker_waited - 0.01).abs() < 1e-9);
        assert!(calm[0].worker_waited.abs() < 1e-9);
        assert!(all[0].added.is_none(), "nothing to compare with");
    }

    #[test]
    fn a_late_generator_makes_a_window_restless() {
        let calm = window("dr", "sleep", 0, 100);
        let mut late = calm.clone();
        late.late.p999_us = Some(CALM_LATE_US + 1.0);

        assert!(calm.is_calm());
        assert!(!late.is_calm());
    }

    #[test]
    fn sleeping_is_compared_with_spinning_on_the_same_path() {
        let windows = [window("dr", "sleep", 0, 170), window("dr", "spin", 0, 100)];

        let found = summaries(&windows, false);

        assert_eq!(found[0].above_spin.and_then(|a| a.p50_us), Some(70.0));
        assert!(found[2].above_spin.is_none());
    }

    #[test]
    fn json_has_the_setting_beside_the_figures() {
        let windows = [
            window("direct", "sleep", 0, 100),
            window("nat", "sleep", 0, 150),
        ];

        let json = serde_json::to_value(summaries(&windows, false)).expect("plain data");

        let nat = &json[2];
        assert_eq!(nat["driver"], "net_af_packet");
        assert_eq!(nat["path"], "nat");
        assert_eq!(nat["connection"], "kept");
        assert_eq!(nat["response"]["p999_us"], 150.0);
        assert_eq!(nat["added"]["p50_us"], 50.0);
        assert_eq!(json[0]["added"], serde_json::Value::Null);
    }

    #[test]
    fn curves_run_from_the_median_to_one_in_a_thousand_of_all_requests() {
        let windows = [window("dr", "sleep", 0, 100), window("dr", "sleep", 1, 300)];

        let points = curve(&windows, windows[0].setting, false);

        let (first, last) = (points[0], points[points.len() - 1]);
        assert!((first.0 - 0.5).abs() < 1e-9 && (last.0 - 0.999).abs() < 1e-9);
        assert_eq!((first.1, last.1), (200.0, 600.0));
    }
}
