//! Ends a guest whose owner is gone.
//!
//! User-mode Linux is several processes, and killing one leaves the others. They are a process
//! group of their own, so the keys that interrupt a terminal's program do not reach them either.
//! So a process of ours stands between: its standard input is a pipe from the owner that never
//! carries anything but the order to end, and that closes however the owner dies.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What the owner says when the guest is to end and the folder is to stay.
pub(super) const END: &[u8] = b"end";

/// Runs `guest` until it ends, or until standard input says so or closes. When it closes, nobody
/// will look into `folder` any more: it is removed.
///
/// # Errors
///
/// When the guest cannot be started.
pub fn watch(folder: &Path, guest: &mut Command) -> io::Result<()> {
    let mut guest = guest.stdin(Stdio::null()).process_group(0).spawn()?;
    let group = Pid::from_raw(i32::try_from(guest.id()).map_err(io::Error::other)?);
    let abandoned = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&abandoned);
    thread::spawn(move || {
        let said = io::stdin().read(&mut [0; END.len()]);
        told.store(matches!(said, Ok(0)), Ordering::SeqCst);
        end(group);
    });
    guest.wait()?;
    end(group);
    if abandoned.load(Ordering::SeqCst) {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn end(group: Pid) {
    // When it has ended already there is nobody to kill.
    let _ = killpg(group, Signal::SIGKILL);
}
