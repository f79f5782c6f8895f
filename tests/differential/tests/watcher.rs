//! A guest ends with its owner, however that ends. A shell with a child stands for the guest.

#![expect(
    clippy::unwrap_used,
    reason = "without its files and processes there is nothing to test"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

struct Watched {
    watcher: Child,
    folder: PathBuf,
    /// A file with the id of the guest's second process.
    child: PathBuf,
}

fn watch(name: &str) -> Watched {
    let base = std::env::temp_dir().join(format!("sluice-watched.{}.{name}", std::process::id()));
    let (folder, child) = (base.join("run"), base.join("child"));
    fs::create_dir_all(&folder).unwrap();
    let script = "sleep 1000 & echo $! >\"$0.new\" && mv \"$0.new\" \"$0\"; wait";
    let watcher = Command::new(env!("CARGO_BIN_EXE_differential-player"))
        .args(["watch".as_ref(), folder.as_os_str()])
        .args(["/bin/sh", "-c", script])
        .arg(&child)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let watched = Watched {
        watcher,
        folder,
        child,
    };
    assert!(eventually(|| watched.child.exists()), "the guest starts");
    watched
}

impl Watched {
    fn child_lives(&self) -> bool {
        let id = fs::read_to_string(&self.child).unwrap();
        let stat = fs::read_to_string(Path::new("/proc").join(id.trim()).join("stat"));
        // A zombie waits only for whoever adopted it.
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
        let _ = fs::remove_dir_all(self.child.parent().unwrap());
    }
}

fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn a_guest_whose_owner_is_gone_ends_and_leaves_no_folder() {
    let mut watched = watch("gone");
    assert!(watched.child_lives());

    drop(watched.watcher.stdin.take());
    let ended = watched.watcher.wait().unwrap();

    assert!(ended.success());
    assert!(eventually(|| !watched.child_lives()));
    assert!(!watched.folder.exists());
}

#[test]
fn a_guest_that_is_told_to_end_leaves_its_folder_to_the_owner() {
    let mut watched = watch("told");

    let mut lifeline = watched.watcher.stdin.take().unwrap();
    lifeline.write_all(b"end").unwrap();
    let ended = watched.watcher.wait().unwrap();

    assert!(ended.success());
    assert!(eventually(|| !watched.child_lives()));
    assert!(watched.folder.exists());
}
