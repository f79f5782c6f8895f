//! How long an attempt has, and what it is called when it takes longer.

use std::time::{Duration, Instant};

use super::failure::ProbeFailure;

/// The end of an attempt's time.
#[derive(Clone, Copy, Debug)]
pub(in crate::health) struct Deadline {
    started: Instant,
    timeout: Duration,
}

impl Deadline {
    /// `timeout` from `started`.
    pub(in crate::health) fn new(started: Instant, timeout: Duration) -> Self {
        Self { started, timeout }
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.started.elapsed())
    }

    /// What `work` comes to, unless it is still waiting for an answer when time is up.
    pub(in crate::health) async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, ProbeFailure>>,
    ) -> Result<T, ProbeFailure> {
        self.within(work, "answer").await
    }

    /// What `work` comes to, unless the answer that has begun has no end when time is up.
    pub(super) async fn end<T>(
        &self,
        work: impl Future<Output = Result<T, ProbeFailure>>,
    ) -> Result<T, ProbeFailure> {
        self.within(work, "end").await
    }

    /// That there was none of `what` in time.
    pub(super) fn passed(&self, what: &str) -> ProbeFailure {
        ProbeFailure::new(format!("no {what} within {}", in_seconds(self.timeout)))
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, ProbeFailure>>,
        what: &str,
    ) -> Result<T, ProbeFailure> {
        let done = tokio::time::timeout(self.left(), work).await;
        done.unwrap_or_else(|_| Err(self.passed(what)))
    }
}

/// A time as operators write it: `2 s`, `2.5 s`, `300 ms`.
fn in_seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_seconds() {
        assert_eq!(in_seconds(Duration::from_secs(2)), "2 s");
        assert_eq!(in_seconds(Duration::from_millis(2_500)), "2.5 s");
        assert_eq!(in_seconds(Duration::from_millis(300)), "300 ms");
    }
}
