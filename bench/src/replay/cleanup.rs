//! Leaves nothing behind, however the run ends.
//!
//! Destructors do not run when a signal ends the program, nor in release builds when it panics.
//! So what outlives a process is known here, and is undone from the end of the run, from a thread
//! that waits for signals, and from the panic hook, whichever comes first.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, Signal};
use testnet::namespace;

use super::huge_pages::HugePages;

/// What has to be undone besides the namespaces, which testnet knows.
struct Left {
    pages: Option<HugePages>,
    /// Nothing may be started any more.
    ended: bool,
}

static LEFT: Mutex<Left> = Mutex::new(Left {
    pages: None,
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
                eprintln!("{signal}: taking everything down");
                undo();
                std::process::exit(128 + signal as i32);
            }
        });
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            say(panic);
            undo();
        }));
        Ok(Self(()))
    }

    /// Keeps huge pages until the end.
    pub fn keep(&self, pages: HugePages) {
        left().pages = Some(pages);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        undo();
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

fn undo() {
    let mut left = left();
    left.ended = true;
    namespace::remove_own();
    // After the programs that use them.
    drop(left.pages.take());
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}
