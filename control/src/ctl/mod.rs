//! `sluicectl`: what an operator types, asked of the API and shown as tables.
//!
//! It exits with 0 when all is well, 1 when the answer is no (a refused or wrong configuration,
//! a gateway that is not healthy), and 2 when there is no answer (a wrong command line, a gateway
//! that does not run, a file that cannot be read).

/// The command line.
mod arguments;

/// Asks the API over its socket.
mod client;

/// Why there is no answer.
mod failure;

/// Columns that stand under each other.
mod table;

/// The gateway as a whole.
mod status;

/// Virtual services with their servers.
mod services;

/// Sessions, page by page.
mod sessions;

/// Sessions to a file, and from one.
mod transfer;

/// The variables of IPVS: shown, set.
mod sysctl;

/// Configurations: checked, applied, shown.
mod configuration;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use client::Client;
use failure::Failure;

/// What the caller is told by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Well = 0,
    /// The answer is no.
    No = 1,
    /// There is no answer.
    Failed = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Where it is written.
struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    json: bool,
}

impl Console<'_> {
    /// Writes an answer as it came.
    fn raw(&mut self, body: &[u8]) -> io::Result<()> {
        self.out.write_all(body)?;
        if body.ends_with(b"\n") {
            Ok(())
        } else {
            self.out.write_all(b"\n")
        }
    }

    /// Writes what is allowed but worth knowing, out of the way of the answer.
    fn warn(&mut self, warnings: &[String]) -> io::Result<()> {
        (warnings.iter()).try_for_each(|warning| writeln!(self.err, "warning: {warning}"))
    }
}

/// Does what the command line of this process says.
#[must_use]
pub fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    run(std::env::args_os(), &mut out, &mut err).into()
}

/// Does what `args`, program name first, say, and writes to `out` and `err`.
pub fn run<T: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = T>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(usage) => return print_usage(&usage, out, err),
    };
    let mut console = Console {
        out,
        err,
        json: arguments.json,
    };
    let done = execute(&arguments, &mut console).and_then(|exit| {
        console.out.flush()?;
        Ok(exit)
    });
    match done {
        Ok(exit) => exit,
        Err(failure) => failure.tell(console.err),
    }
}

fn print_usage(usage: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    // Nobody is left to tell when this cannot be written.
    if usage.use_stderr() {
        let _unread = write!(err, "{}", usage.render());
        Exit::Failed
    } else {
        let _unread = write!(out, "{}", usage.render());
        Exit::Well
    }
}

fn execute(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let client = || Client::new(&arguments.socket);
    match &arguments.command {
        Command::Status => status::show_status(&client()?, console),
        Command::Services => services::show(&client()?, console),
        Command::Sessions(wanted) => match (&wanted.export, &wanted.import) {
            (Some(file), _) => transfer::export(&client()?, wanted, file, console),
            (_, Some(file)) => transfer::import(&client()?, file, console),
            (None, None) => sessions::show(&client()?, wanted, console),
        },
        Command::Sysctl { variable } => sysctl::run(&client()?, variable.as_deref(), console),
        Command::Apply { file } => configuration::apply(&client()?, file, console),
        Command::Check { file } => configuration::check(file, console),
        Command::Config { toml } => configuration::show(&client()?, *toml, console),
        Command::Health => status::show_health(&client()?, console),
        Command::Version => status::show_version(&client()?, console),
    }
}
