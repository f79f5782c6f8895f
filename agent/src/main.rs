//! Tells a gateway how much the server that it runs on can bear.
//!
//! Whoever connects is told one line in the protocol of `HAProxy`'s agent check, and the
//! connection ends. The percentage in it is the least of what the CPU, the run queue and, if asked
//! for, a port's connections leave free; a file in the operator's hand takes the server out.
//!
//! It runs beside the real server's own program, so it costs next to nothing: one thread that
//! reads `/proc/stat` once a second, and one that answers. The modules stand in the order in which
//! an answer comes about.

/// What an operator types.
mod arguments;

/// How busy the CPU is.
mod cpu;

/// How many processes want to run.
mod load_average;

/// How many connections a port has.
mod connections;

/// What is free, the least of it.
mod headroom;

/// The operator's hand: drain, maint, down.
mod state_file;

/// Connections, one after the other.
mod serve;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{CommandFactory, Parser};
use nix::sys::signal::{SigSet, Signal};

use crate::arguments::Arguments;
use crate::headroom::Headroom;
use crate::serve::Desk;
use crate::state_file::StateFile;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            note(&why);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    if arguments.man {
        let page = clap_mangen::Man::new(Arguments::command());
        return (page.render(&mut io::stdout())).map_err(|error| format!("cannot write: {error}"));
    }
    let headroom = Arc::new(Headroom::new(&arguments)?);
    let desk = Desk::new(Arc::clone(&headroom), arguments.file.map(StateFile::new));
    if arguments.once {
        thread::sleep(cpu::PERIOD);
        headroom.look();
        println!("{}", desk.line());
        return Ok(());
    }
    // Before any other thread starts, as they inherit what is blocked.
    let ending = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    ending.thread_block().map_err(|error| error.to_string())?;
    let listener = serve::listen(arguments.listen)?;
    thread::spawn(move || {
        loop {
            thread::sleep(cpu::PERIOD);
            headroom.look();
        }
    });
    thread::spawn(move || desk.serve(&listener));
    let ended = ending.wait();
    ended.map(|_| ()).map_err(|error| error.to_string())
}

/// Says something to the operator. What cannot be said, because nobody reads it, is no reason to
/// end.
fn note(words: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "sluice-agent: {words}");
}
