//! `differential-player`: plays scenarios inside user-mode Linux, whose first process it is.
//! Outside it watches over a guest: `differential-player watch FOLDER KERNEL ARGUMENT...`.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use differential::kernel::{guest, watcher};

fn main() -> ExitCode {
    if std::process::id() == 1 {
        guest::run();
        return ExitCode::FAILURE;
    }
    let words: Vec<_> = env::args_os().skip(1).collect();
    let watched = match words.as_slice() {
        [watch, folder, kernel, arguments @ ..] if watch == "watch" => {
            watcher::watch(Path::new(folder), Command::new(kernel).args(arguments))
        }
        _ => {
            eprintln!("differential-player watch FOLDER KERNEL ARGUMENT...");
            return ExitCode::from(2);
        }
    };
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("user-mode Linux does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
