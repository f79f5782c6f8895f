//! Holds whatever runs on the measured core, so that its numbers can be read at rest.
//!
//! Counters of a worker that runs on are read one after the other, and thirty million packets a
//! second pass meanwhile. So a thread of real-time priority takes the core for the
//! few milliseconds of the reading: the worker stands still in the middle of whatever it did, its
//! other threads answer, and the kernel has booked its CPU time to the nanosecond. What it had
//! received then and not yet counted further is one burst at most.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cores;
use super::failure::Failure;

/// The core is the worker's.
const FREE: u8 = 0;
/// This thread has the core.
const HELD: u8 = 1;
/// The core is to be given back.
const RELEASED: u8 = 2;

/// How long taking the core may last.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread that can take the measured core.
pub struct Holder {
    state: Arc<AtomicU8>,
    ask: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Holder {
    /// Starts the thread; it sleeps until it is needed.
    ///
    /// # Errors
    ///
    /// When the kernel does not let it have real-time priority.
    pub fn start(core: usize) -> Result<Self, Failure> {
        let state = Arc::new(AtomicU8::new(FREE));
        let (ask, asked) = mpsc::channel();
        let (report, reported) = mpsc::channel();
        let of_thread = Arc::clone(&state);
        let thread = thread::spawn(move || {
            let prepared = cores::pin(0, core).and_then(|()| become_real_time());
            let is_ready = prepared.is_ok();
            let _gone = report.send(prepared);
            if is_ready {
                work(&of_thread, &asked);
            }
        });
        let holder = Self {
            state,
            ask: Some(ask),
            thread: Some(thread),
        };
        let ended = |_| Failure::Machine("the holding thread has ended".to_owned());
        reported.recv().map_err(ended)??;
        Ok(holder)
    }

    /// Takes the core until the answer is dropped. Keep it for milliseconds: after 0.95 s the
    /// kernel lets others in.
    ///
    /// # Errors
    ///
    /// When the core could not be had.
    pub fn hold(&self) -> Result<Held<'_>, Failure> {
        let lost = || Failure::Machine("the measured core could not be held".to_owned());
        let ask = self.ask.as_ref().ok_or_else(lost)?;
        ask.send(()).map_err(|_| lost())?;
        let start = Instant::now();
        while self.state.load(Ordering::Acquire) != HELD {
            if start.elapsed() > PATIENCE {
                return Err(lost());
            }
            thread::yield_now();
        }
        Ok(Held(self))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.state.store(RELEASED, Ordering::Release);
        drop(self.ask.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The core is held as long as this lives.
#[must_use]
pub struct Held<'a>(&'a Holder);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.state.store(RELEASED, Ordering::Release);
        while self.0.state.load(Ordering::Acquire) == RELEASED {
            thread::yield_now();
        }
    }
}

fn work(state: &AtomicU8, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        state.store(HELD, Ordering::Release);
        while state.load(Ordering::Acquire) == HELD {
            std::hint::spin_loop();
        }
        state.store(FREE, Ordering::Release);
    }
}

/// Makes the calling thread more urgent than every ordinary one.
fn become_real_time() -> Result<(), Failure> {
    let thread = cores::this_thread().to_string();
    let output = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &thread])
        .output()
        .map_err(Failure::io("starting chrt"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Program {
        program: "chrt",
        what: "gave no real-time priority".to_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
