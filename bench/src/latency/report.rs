//! What was measured, and what follows from it.
//!
//! What the gateway adds is compared round by round, each path with the direct way of the same
//! round, and the median over the rounds is told: a disturbance that hits one round then says
//! nothing.

use std::fmt::Write as _;

use serde::Serialize;

use super::distribution::{Percentiles, nearest_rank};
use super::open_loop::Outcome;
use crate::median::median;

/// The fractions at which curves have points: evenly spaced on a chart whose axis is the
/// logarithm of the rest, from the median to one in 1,000.
const CURVE_POINTS: u32 = 55;

/// In a calm window the generator gets to all but one in 1,000 requests within this time.
const CALM_LATE_US: f64 = 1_000.0;

/// In a calm window the gateway's worker has a core but for this share of the time.
const CALM_WAIT: f64 = 0.01;

/// The circumstances of a window; rounds repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// DPDK's name of the gateway's driver.
    pub driver: &'static str,
    /// What an idle worker does, in the words of the configuration.
    pub idle: &'static str,
    /// Requests a second.
    pub rate: u32,
    /// `direct` or the method.
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
    /// Response times at [`curve_fractions`], of all requests.
    #[serde(skip)]
    pub curve: Vec<f64>,
}

impl Window {
    /// Sums up `outcome`; none when one kind of request was not sent at all.
    #[must_use]
    pub fn new(setting: Setting, round: u32, mut outcome: Outcome) -> Option<Self> {
        let mut all = [outcome.kept.as_slice(), &outcome.opened].concat();
        all.sort_unstable();
        let curve = curve_fractions().map(|fraction| nearest_rank(&all, fraction));
        Some(Self {
            setting,
            round,
            kept: Percentiles::of(&mut outcome.kept)?,
            opened: Percentiles::of(&mut outcome.opened)?,
            late: Percentiles::of(&mut outcome.late)?,
            window_us: 0.0,
            worker_waited_us: 0.0,
            retransmits: 0,
            curve: curve.collect::<Option<_>>()?,
        })
    }

    /// Whether nobody else on the machine took the core away from the generator or the worker for
    /// long. What they do meanwhile shows in response times but is not the gateway's.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.late.p999_us <= CALM_LATE_US && self.worker_waited_us <= CALM_WAIT * self.window_us
    }

    const fn percentiles(&self, connection: Connection) -> &Percentiles {
        match connection {
            Connection::Kept => &self.kept,
            Connection::New => &self.opened,
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

    const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::New => "new",
        }
    }
}

/// The medians over the rounds of one setting.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Under which circumstances.
    #[serde(flatten)]
    pub setting: Setting,
    /// Whether only calm windows count ([`Window::is_calm`]).
    pub calm: bool,
    /// Which connections.
    pub connection: Connection,
    /// Rounds.
    pub rounds: usize,
    /// Response times.
    pub response: Percentiles,
    /// What they are above the same round's direct ones; none for the direct way itself.
    pub added: Option<Percentiles>,
    /// What they are above those of a worker that spins; none where the worker spins.
    pub above_spin: Option<Percentiles>,
    /// How long the worker had no core in a window.
    pub worker_waited_us: f64,
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

/// Sums up all windows, in the order of the first of each setting.
#[must_use]
pub fn summaries(windows: &[Window]) -> Vec<Summary> {
    summed_up(windows, false)
}

/// Sums up the calm windows. A path is compared only in rounds in which it and the direct way
/// were calm.
#[must_use]
pub fn calm_summaries(windows: &[Window]) -> Vec<Summary> {
    let calm: Vec<Window> = windows.iter().filter(|w| w.is_calm()).cloned().collect();
    summed_up(&calm, true)
}

fn summed_up(windows: &[Window], calm: bool) -> Vec<Summary> {
    let kinds = settings(windows)
        .into_iter()
        .flat_map(|setting| Connection::ALL.map(|connection| (setting, connection)));
    kinds
        .filter_map(|(setting, connection)| summary(windows, setting, connection))
        .map(|summary| Summary { calm, ..summary })
        .collect()
}

fn summary(windows: &[Window], setting: Setting, connection: Connection) -> Option<Summary> {
    let rounds: Vec<&Window> = of(windows, setting).collect();
    let response: Vec<Percentiles> = rounds
        .iter()
        .map(|window| *window.percentiles(connection))
        .collect();
    let above = |base: Setting| {
        let pairs = rounds.iter().filter_map(|window| {
            let base = of(windows, base).find(|other| other.round == window.round)?;
            let base = base.percentiles(connection);
            Some(window.percentiles(connection).above(base))
        });
        Percentiles::median_of(&pairs.collect::<Vec<_>>()).filter(|_| base != setting)
    };
    Some(Summary {
        setting,
        calm: false,
        connection,
        rounds: rounds.len(),
        response: Percentiles::median_of(&response)?,
        added: above(Setting {
            path: "direct",
            ..setting
        }),
        above_spin: above(Setting {
            idle: "spin",
            ..setting
        }),
        worker_waited_us: median(rounds.iter().map(|w| w.worker_waited_us).collect())?,
    })
}

fn of(windows: &[Window], setting: Setting) -> impl Iterator<Item = &Window> {
    windows
        .iter()
        .filter(move |window| window.setting == setting)
}

/// The fractions at which curves have points.
pub fn curve_fractions() -> impl Iterator<Item = f64> {
    (0..=CURVE_POINTS).map(|point| {
        let nines =
            2.0_f64.log10() + (3.0 - 2.0_f64.log10()) * f64::from(point) / f64::from(CURVE_POINTS);
        1.0 - 10.0_f64.powf(-nines)
    })
}

/// Point by point, the median over the rounds of a setting.
#[must_use]
pub fn curve(windows: &[Window], setting: Setting) -> Vec<f64> {
    let rounds: Vec<&Window> = of(windows, setting).collect();
    let points = 0..curve_fractions().count();
    let point = |at: usize| {
        median(
            rounds
                .iter()
                .filter_map(|w| w.curve.get(at).copied())
                .collect(),
        )
    };
    points.filter_map(point).collect()
}

/// The table for the terminal: response times, and what the gateway adds.
#[must_use]
pub fn table(summaries: &[Summary]) -> String {
    let mut text = String::new();
    let mut heading = String::new();
    for summary in summaries {
        let Setting {
            driver, idle, rate, ..
        } = summary.setting;
        let which = if summary.calm {
            "calm windows only"
        } else {
            "all windows"
        };
        let wanted = format!("{driver}, an idle worker {idle}s, {rate} requests/s, {which}");
        if wanted != heading {
            heading = wanted;
            let _ = write!(
                text,
                "\n{heading}; medians of the rounds, µs\n{:8} {:5} {:>6}{}  added:{}  {:>7}\n",
                "path",
                "conn.",
                "rounds",
                columns(&Percentiles::NAMES),
                columns(&Percentiles::NAMES),
                "no core"
            );
        }
        let added = summary.added.map_or([const { String::new() }; 5], signed);
        let _ = writeln!(
            text,
            "{:8} {:5} {:>6}{}        {}  {:>7.0}",
            summary.setting.path,
            summary.connection.name(),
            summary.rounds,
            columns(&summary.response.values().map(|value| format!("{value:.0}"))),
            columns(&added),
            summary.worker_waited_us
        );
    }
    text
}

/// The table of what sleeping costs where little arrives.
#[must_use]
pub fn idle_table(summaries: &[Summary]) -> String {
    let mut text = format!(
        "\nWhat a worker that sleeps when idle adds to one that spins, µs\n{:15} {:8} {:5} {:7}{}\n",
        "driver",
        "path",
        "conn.",
        "windows",
        columns(&Percentiles::NAMES)
    );
    for summary in summaries {
        let Some(above) = summary.above_spin else {
            continue;
        };
        let _ = writeln!(
            text,
            "{:15} {:8} {:5} {:7}{}",
            summary.setting.driver,
            summary.setting.path,
            summary.connection.name(),
            if summary.calm { "calm" } else { "all" },
            columns(&signed(above))
        );
    }
    text
}

fn signed(percentiles: Percentiles) -> [String; 5] {
    percentiles.values().map(|value| format!("{value:+.0}"))
}

fn columns<T: std::fmt::Display>(words: &[T; 5]) -> String {
    words
        .iter()
        .fold(String::new(), |line, word| line + &format!(" {word:>7}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(path: &'static str, idle: &'static str, round: u32, micros: u64) -> Window {
        let setting = Setting {
            driver: "net_af_packet",
            idle,
            rate: 100,
            path,
        };
        let outcome = Outcome {
            kept: vec![micros * 1_000; 10],
            opened: vec![micros * 2_000; 10],
            late: vec![1_000; 20],
        };
        let window = Window::new(setting, round, outcome);
        Window {
            window_us: 1e6,
            ..window.expect("there are samples of each kind")
        }
    }

    #[test]
    fn what_a_path_adds_is_paired_by_round() {
        // The second round was disturbed for both paths alike.
        let windows = [
            window("direct", "sleep", 0, 100),
            window("dr", "sleep", 0, 110),
            window("direct", "sleep", 1, 900),
            window("dr", "sleep", 1, 910),
            window("direct", "sleep", 2, 120),
            window("dr", "sleep", 2, 130),
        ];

        let found = summaries(&windows);

        let names: Vec<_> = found
            .iter()
            .map(|s| (s.setting.path, s.connection))
            .collect();
        let expected = ["direct", "dr"].map(|path| Connection::ALL.map(|kind| (path, kind)));
        assert_eq!(names, expected.as_flattened());
        let kept = &found[2];
        assert_eq!(kept.response.p99_us, 130.0);
        assert_eq!(kept.added.map(|added| added.p99_us), Some(10.0));
        assert_eq!(found[3].added.map(|added| added.p50_us), Some(20.0));
        assert!(found[0].added.is_none(), "the direct way adds nothing");
    }

    #[test]
    fn rounds_in_which_somebody_else_took_the_core_are_told_apart() {
        let disturbed = Window {
            worker_waited_us: 20_000.0,
            ..window("dr", "sleep", 1, 900)
        };
        let windows = [
            window("direct", "sleep", 0, 100),
            window("dr", "sleep", 0, 110),
            window("direct", "sleep", 1, 100),
            disturbed,
        ];

        let (all, calm) = (summaries(&windows), calm_summaries(&windows));

        assert_eq!(all[2].added.map(|added| added.p50_us), Some(405.0));
        assert_eq!(calm[2].added.map(|added| added.p50_us), Some(10.0));
        assert_eq!((all[2].rounds, calm[2].rounds), (2, 1));
        assert!(table(&calm).contains("calm windows only"));
    }

    #[test]
    fn a_late_generator_makes_a_window_restless() {
        let calm = window("dr", "sleep", 0, 100);
        let mut late = calm.clone();
        late.late.p999_us = 1_001.0;

        assert!(calm.is_calm());
        assert!(!late.is_calm());
    }

    #[test]
    fn sleeping_is_compared_with_spinning_on_the_same_path() {
        let windows = [window("dr", "sleep", 0, 170), window("dr", "spin", 0, 100)];

        let found = summaries(&windows);

        assert_eq!(found[0].above_spin.map(|above| above.p50_us), Some(70.0));
        assert!(found[2].above_spin.is_none());
        let table = idle_table(&found);
        assert!(
            table.contains("net_af_packet   dr       kept  all         +70"),
            "{table}"
        );
    }

    #[test]
    fn a_window_without_one_kind_of_request_is_none() {
        let outcome = Outcome {
            kept: vec![1],
            opened: vec![],
            late: vec![1],
        };
        let setting = window("dr", "sleep", 0, 1).setting;

        assert!(Window::new(setting, 0, outcome).is_none());
    }

    #[test]
    fn json_has_the_setting_beside_the_figures() {
        let windows = [
            window("direct", "sleep", 0, 100),
            window("nat", "sleep", 0, 150),
        ];

        let json = serde_json::to_value(summaries(&windows)).expect("plain data");

        let nat = &json[2];
        assert_eq!(nat["driver"], "net_af_packet");
        assert_eq!(nat["path"], "nat");
        assert_eq!(nat["connection"], "kept");
        assert_eq!(nat["response"]["p999_us"], 150.0);
        assert_eq!(nat["added"]["p50_us"], 50.0);
        assert_eq!(json[0]["added"], serde_json::Value::Null);
    }

    #[test]
    fn curves_run_from_the_median_to_one_in_a_thousand() {
        let fractions: Vec<f64> = curve_fractions().collect();

        assert!((fractions[0] - 0.5).abs() < 1e-9);
        assert!((fractions[fractions.len() - 1] - 0.999).abs() < 1e-9);
        let windows = [window("dr", "sleep", 0, 100), window("dr", "sleep", 1, 300)];
        let points = curve(&windows, windows[0].setting);
        assert_eq!(points.len(), fractions.len());
        assert_eq!(points.last(), Some(&400.0));
    }
}
