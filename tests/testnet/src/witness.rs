//! Notices when the machine itself stands still, which no gateway can help.
//!
//! Shared machines do so, for tens of milliseconds as a rule and now and then for a second; what
//! is measured meanwhile is no outage of a gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long it sleeps at a time.
const NAP: Duration = Duration::from_millis(5);

/// A nap that takes so long was none.
const STILL: Duration = Duration::from_millis(50);

/// A thread that only sleeps and looks at the clock.
#[derive(Debug)]
pub struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Witness {
    /// Begins to watch.
    #[must_use]
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut stood_still = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(NAP);
                let took = began.elapsed();
                if took > STILL {
                    stood_still += took;
                }
            }
            stood_still
        });
        Self { stop, thread }
    }

    /// How long, in sum, the machine has stood still since.
    ///
    /// # Panics
    ///
    /// Never: the thread does not panic.
    #[must_use]
    pub fn stood_still(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a nap does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_seen_less_than_has_passed() {
        let began = Instant::now();
        let witness = Witness::start();
        std::thread::sleep(Duration::from_millis(60));

        assert!(witness.stood_still() <= began.elapsed());
    }
}
