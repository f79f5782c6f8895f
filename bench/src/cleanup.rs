//! Leaves nothing behind, however the program ends.
//!
//! Destructors do not run when a signal ends the program, nor in release builds when it panics.
//! So what outlives a process is known here, and is undone from the end of the run, from a thread
//! that waits for signals, and from the panic hook, whichever comes first.

use std::any::Any;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, Signal};
use testnet::namespace;

/// What has to be undone besides the namespaces, which testnet knows.
struct Left {
    /// Dropping these undoes them.
    kept: Vec<Box<dyn Any + Send>>,
    /// Nothing may be started any more.
    ended: bool,
}

static LEFT: Mutex<Left> = Mutex::new(Left {
    kept: Vec::new(),
    ended: false,
});

/// Undoes everything when it is dropped.
#[must_use]
pub struct Cleanup(());

impl Cleanup {
    /// Begins to wait for signals and panics. Call it before any other thread starts, so that
    /// all of them leave the signals to the one that waits.
    ///
    /// # Errors
    ///
    /// When the signals cannot be blocked.
    pub fn install() -> io::Result<Self> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        signals.thread_block()?;
        std::thread::spawn(move || {
            if let Ok(signal) = signals.wait() {
                // Held to the end: whoever panics because the ground is taken away waits for it.
                let mut left = left();
                eprintln!("{signal}: taking everything down");
                left.undo();
                std::process::exit(128 + signal as i32);
            }
        });
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let mut left = left();
            say(panic);
            left.undo();
            std::process::exit(1);
        }));
        Ok(Self(()))
    }

    /// Keeps something until the end that is undone by its drop.
    pub fn keep(&self, thing: impl Send + 'static) {
        left().kept.push(Box::new(thing));
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        left().undo();
    }
}

/// Starts a program, unless everything is being taken down.
///
/// # Errors
///
/// When it cannot be started, or the run has ended.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let left = left();
    if left.ended {
        return Err(io::Error::other("the run has ended"));
    }
    command.spawn()
}

impl Left {
    fn undo(&mut self) {
        self.ended = true;
        namespace::remove_own();
        // After the programs that use them.
        self.kept.clear();
    }
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}
