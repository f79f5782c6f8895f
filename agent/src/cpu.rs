//! How busy the CPU is.
//!
//! `/proc/stat` counts what all cores together have spent their time on since the start. Two looks
//! at it, some seconds apart, tell the share in between that was not idle.

use std::collections::VecDeque;
use std::time::Duration;

/// From one look to the next.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Looks that are remembered: the share is that of the last five seconds.
const REMEMBERED: usize = 6;

/// How many cores the text of `/proc/stat` has lines of: those of the whole machine, of which the
/// load average speaks too, however few of them the agent itself may use.
pub(crate) fn cores(stat: &str) -> u64 {
    let is_core = |line: &&str| {
        let number = line.strip_prefix("cpu");
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(is_core).count().max(1) as u64
}

/// Time of all cores since the start, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTime {
    idle: u64,
    all: u64,
}

/// The last looks, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct CpuHistory(VecDeque<CpuTime>);

impl CpuTime {
    /// From the text of `/proc/stat`, whose first line is the sum of all cores (proc_stat(5)):
    ///
    /// ```text
    ///   cpu  user nice system idle iowait irq softirq steal guest guest_nice
    /// ```
    pub(crate) fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // Guests are in `user` and `nice` already.
        let ticks: Option<Vec<u64>> = line
            .split_ascii_whitespace()
            .take(8)
            .map(|ticks| ticks.parse().ok())
            .collect();
        let ticks = ticks?;
        // A core that waits for a disk could run something else.
        let idle = ticks
            .get(3)?
            .saturating_add(ticks.get(4).copied().unwrap_or(0));
        let all = ticks
            .iter()
            .fold(0_u64, |sum, &ticks| sum.saturating_add(ticks));
        Some(Self { idle, all })
    }
}

impl CpuHistory {
    /// Remembers a look, and forgets the oldest.
    pub(crate) fn push(&mut self, time: CpuTime) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// The percentage of the time remembered in which the CPU was busy; `None` before two looks.
    pub(crate) fn busy_percent(&self) -> Option<u64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let all = last.all.checked_sub(first.all).filter(|&all| all > 0)?;
        // The kernel's idle time may go back a little (proc_stat(5)).
        let idle = last.idle.saturating_sub(first.idle).min(all);
        Some((all - idle) * 100 / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 800 50 5 5 10 60 20\n\
                        cpu0 50 10 15 400 25 2 3 5 30 10\n\
                        intr 12345 0 0\n";

    fn time(idle: u64, all: u64) -> CpuTime {
        CpuTime { idle, all }
    }

    #[test]
    fn the_first_line_is_all_cores_and_waiting_is_idle() {
        // 100 + 20 + 30 + 800 + 50 + 5 + 5 + 10; guests are counted once.
        assert_eq!(CpuTime::parse(STAT), Some(time(850, 1020)));
    }

    #[test]
    fn cores_are_those_of_the_machine() {
        assert_eq!(cores(STAT), 1);
        assert_eq!(
            cores("cpu  1 2\ncpu0 1 2\ncpu1 1 2\ncpu17 1 2\nctxt 5\n"),
            3
        );
        assert_eq!(cores(""), 1, "one at least");
    }

    #[test]
    fn a_text_of_another_kind_is_none() {
        for text in ["", "intr 5", "cpu0 1 2 3 4", "cpu  1 2 3", "cpu  1 2 3 x"] {
            assert_eq!(CpuTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_busy_share_is_that_of_the_last_looks() {
        let mut history = CpuHistory::default();
        history.push(time(0, 0));
        assert_eq!(history.busy_percent(), None, "one look is none");

        history.push(time(75, 100));
        assert_eq!(history.busy_percent(), Some(25));

        for look in 2..=6 {
            history.push(time(75, 100 * look));
        }
        assert_eq!(
            history.busy_percent(),
            Some(100),
            "the idle second is forgotten"
        );
    }

    #[test]
    fn idle_time_that_goes_back_is_none() {
        let mut history = CpuHistory::default();
        history.push(time(50, 100));
        history.push(time(49, 200));

        assert_eq!(history.busy_percent(), Some(100));
    }
}
