//! Whether the gateway itself is well: every worker turns and follows the configuration, and Linux
//! still has its interfaces.
//!
//! What depends on it: the watchdog and `/healthz`, readiness, and whether VIPs are announced.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Gateway;
use crate::linux::losses::Losses;
use crate::view::HealthView;

/// How long a worker may stand still or be behind. It turns many times in a millisecond unless
/// something else has its core, and a busy moment is no reason to move all clients. With what VRRP
/// takes then, another gateway has the VIPs within three advertisements of a second.
const PATIENCE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Whether it is well, and if not, everything that is wrong.
    #[must_use]
    pub fn health(&self) -> HealthView {
        let mut problems = self.worker_problems();
        problems.extend(self.losses.lock().list());
        HealthView {
            healthy: problems.is_empty(),
            problems,
            version: self.plane.version.clone(),
        }
    }

    /// As [`Self::health`]; what depends on it follows if it has turned. To be called several times a
    /// second.
    pub fn look_at_health(&self) -> HealthView {
        let health = self.health();
        let is_ill = !health.healthy;
        if self.ill.swap(is_ill, Ordering::Relaxed) != is_ill {
            if is_ill {
                tracing::error!("the gateway is ill: {}", health.problems.join("; "));
            } else {
                tracing::info!("the gateway is well again");
            }
            self.changed.notify_one();
        }
        health
    }

    /// Whether it was ill at the last look.
    pub(super) fn is_ill(&self) -> bool {
        self.ill.load(Ordering::Relaxed)
    }

    /// Every loss in this list makes it ill from now on.
    pub fn set_losses(&self, losses: Losses) {
        *self.losses.lock() = losses;
    }

    fn worker_problems(&self) -> Vec<String> {
        let (generation, published_at) = {
            let state = self.state.lock();
            (state.published.generation, state.published_at)
        };
        let turns = self.plane.counters.iter();
        let turns = turns.map(|it| it.busy_turns.get() + it.idle_turns.get());
        let still = self.pulse.still(turns, Instant::now());
        let late = published_at.elapsed() >= PATIENCE;
        let workers = self.plane.mailboxes.iter().zip(still);
        let problems = workers.filter_map(|(mailbox, still)| {
            let (worker, adopted) = (mailbox.worker, mailbox.adopted());
            if adopted == 0 {
                Some(format!("worker {worker} has not started"))
            } else if still >= PATIENCE {
                let seconds = still.as_secs();
                Some(format!("worker {worker} has stood still for {seconds} s"))
            } else if adopted < generation && late {
                Some(format!(
                    "worker {worker} works with snapshot {adopted} of {generation}"
                ))
            } else {
                None
            }
        });
        problems.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataplane::snapshot::Snapshot;
    use futures_util::FutureExt;

    use super::super::testing::gateway;
    use super::*;

    /// A gateway with one announced VIP, and a worker that has begun.
    fn well() -> Arc<Gateway> {
        let text = "[gateway]\nannounce_table = 201\n\
                    [[service]]\nprotocol = \"udp\"\nvip = \"198.51.100.10\"\nport = 53\n";
        let gateway = gateway(text);
        gateway.plane().mailboxes[0].adopt(&mut Arc::new(Snapshot::default()));
        assert!(gateway.look_at_health().healthy);
        gateway
    }

    #[test]
    fn an_interface_that_was_removed_is_a_problem_for_good() {
        let gateway = well();
        let losses = Losses::default();
        gateway.set_losses(losses.clone());

        losses.add("the twin wan was removed".to_owned());

        assert_eq!(gateway.health().problems, ["the twin wan was removed"]);
        gateway.settled();
        assert_eq!(gateway.readiness().reasons, ["the twin wan was removed"]);
    }

    #[test]
    fn vips_are_withdrawn_while_a_worker_is_stuck() {
        let gateway = well();
        let turn = || gateway.plane().counters[0].idle_turns.add(1);
        let heard = || gateway.changed().now_or_never().is_some();
        assert_eq!(gateway.wished_announcements().len(), 1);

        // A busy moment is none.
        std::thread::sleep(PATIENCE / 2);
        assert!(gateway.look_at_health().healthy && !heard());
        std::thread::sleep(PATIENCE / 2);
        assert!(!gateway.look_at_health().healthy && heard());
        assert_eq!(gateway.wished_announcements(), []);

        turn();
        assert!(gateway.look_at_health().healthy && heard());
        assert_eq!(gateway.wished_announcements().len(), 1);
    }
}
