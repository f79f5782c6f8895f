//! Takes the namespaces down however the program ends.
//!
//! Drops do it when a measurement returns. A signal returns nowhere, and a release aborts on
//! panic, so neither drops anything: a thread waits for signals, and a panic hook comes before
//! the abort.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use testnet::namespace;

/// Set by whoever takes down: everybody else waits for the end, as the ground is taken away
/// under it.
static TAKING_DOWN: AtomicBool = AtomicBool::new(false);

/// Makes signals and panics take the namespaces down. To be called before the first thread is
/// made, which would get the signals otherwise.
///
/// # Errors
///
/// When no thread can be made.
pub fn on_any_end() -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let Ok(signal) = signals.wait() else { return };
            if take_down() {
                eprintln!("{signal}: everything is taken down");
                std::process::exit(128 + signal as i32);
            }
        })?;
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if TAKING_DOWN.load(Ordering::SeqCst) {
            wait_for_the_end();
        }
        print(panic);
        take_down();
        std::process::exit(1);
    }));
    Ok(())
}

/// Takes everything down once; `false` when another thread is at it.
fn take_down() -> bool {
    if TAKING_DOWN.swap(true, Ordering::SeqCst) {
        return false;
    }
    namespace::remove_own();
    true
}

fn wait_for_the_end() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
