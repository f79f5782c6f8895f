//! `sluicectl`: what an operator types, asked of the API and shown as tables.
//!
//! It exits with 0 when all is well, 1 when the answer is no (a refused or wrong configuration,
//! a gateway that is not healthy), and 2 when there is no answer (a wrong command line, a gateway
//! that does not run, a file that cannot be read).
//!
//! With `--json` what it says is JSON on the standard output, also what went wrong: an
//! [`ErrorView`], as the API has it.

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

/// Whether traffic should be sent here.
mod ready;

/// Virtual services with their servers.
mod services;

/// Sessions, page by page.
mod sessions;

/// Sessions to a file, and from one.
mod transfer;

/// Servers on their way out, and back.
mod drain;

/// The gateway out of service, and back.
mod maintenance;

/// The servers that are watched.
mod health;

/// A bar that fills while something gets less.
mod progress;

/// What would become of a packet.
mod explain;

/// The variables of IPVS: shown, set.
mod sysctl;

/// Configurations: checked, applied, shown.
mod configuration;

/// The programs of LVS, under their names.
mod ipvsadm;

/// What a gateway needs for an operator's traffic.
mod size;

/// What LVS was told, as a configuration.
mod import;

/// The machine the gateway runs on.
mod host;

/// A forwarding method as a word.
mod method;

/// What makes a real server of a machine.
mod realserver_setup;

/// Real servers, looked at from the gateway's side.
mod realserver_check;

/// The command line about itself: completions and manual.
mod manual;

#[cfg(test)]
mod documented;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use clap::Parser;

use crate::ipvs::Program;
use crate::view::ErrorView;
use arguments::{Arguments, Colour, Command};
use client::Client;
pub(crate) use client::percent_encoded;
use failure::Failure;

/// What the caller is told by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Well,
    /// The answer is no.
    No,
    /// There is no answer.
    Failed,
    /// As a program of LVS does.
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Well => 0,
            Exit::No => 1,
            Exit::Failed => 2,
            Exit::Code(code) => code,
        })
    }
}

/// Where it is written.
struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    json: bool,
    /// Whether what is written to `err` can be written over.
    is_terminal: bool,
    /// Whether to write in colour.
    colour: Painted,
}

/// Where it is written in colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Painted {
    out: bool,
    err: bool,
}

/// What the standard output and error are.
#[derive(Clone, Copy, Debug, Default)]
struct Screen {
    /// Whether the standard error is a terminal.
    is_terminal: bool,
    /// Where colour suits, unless the command line says something else.
    suits: Painted,
}

impl Screen {
    /// Those of this process: colour suits a terminal, unless NO_COLOR, TERM and their like say
    /// something else.
    fn present() -> Self {
        let suits = |choice| !matches!(choice, ColorChoice::Never);
        Self {
            is_terminal: io::stderr().is_terminal(),
            suits: Painted {
                out: suits(AutoStream::choice(&io::stdout())),
                err: suits(AutoStream::choice(&io::stderr())),
            },
        }
    }

    fn painted(self, wanted: Colour) -> Painted {
        match wanted {
            Colour::Auto => self.suits,
            Colour::Always => Painted {
                out: true,
                err: true,
            },
            Colour::Never => Painted::default(),
        }
    }
}

/// Words in colour, if that is wanted.
fn paint(is_wanted: bool, colour: AnsiColor, words: &str) -> String {
    if is_wanted {
        let style = colour.on_default();
        format!("{style}{words}{style:#}")
    } else {
        words.to_owned()
    }
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

    /// Writes what went wrong as the API does.
    fn errors(&mut self, errors: Vec<String>) -> io::Result<()> {
        let body = serde_json::to_vec(&ErrorView { errors })?;
        self.raw(&body)
    }

    /// Writes what is allowed but worth knowing, out of the way of the answer.
    fn warn(&mut self, warnings: &[String]) -> io::Result<()> {
        let word = paint(self.colour.err, AnsiColor::Yellow, "warning:");
        (warnings.iter()).try_for_each(|warning| writeln!(self.err, "{word} {warning}"))
    }
}

/// What this program is built from, as its binary says.
static VERSION: OnceLock<&str> = OnceLock::new();

/// The version with the commit, or the version alone where no binary said more.
fn version() -> &'static str {
    VERSION.get().copied().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// Does what the command line of this process says. Only a binary knows its commit: a library
/// that did would be built anew with each.
#[must_use]
pub fn main(version: &'static str) -> ExitCode {
    VERSION.get_or_init(|| version);
    let screen = Screen::present();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    run_on(screen, std::env::args_os(), &mut out, &mut err).into()
}

/// Does what `args`, program name first, say, and writes to `out` and `err`.
pub fn run<T: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = T>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    run_on(Screen::default(), args, out, err)
}

fn run_on<T: Into<OsString> + Clone>(
    screen: Screen,
    args: impl IntoIterator<Item = T>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let wants_json = args.iter().any(|arg| arg == "--json");
    let mut console = Console {
        out,
        err,
        json: wants_json,
        is_terminal: screen.is_terminal,
        colour: screen.suits,
    };
    if let Some((path, words)) = args.split_first()
        && let Some(program) = Program::called(path)
    {
        console.json = false;
        let lossy = |word: &OsString| word.to_string_lossy().into_owned();
        let words = words.iter().map(lossy).collect();
        let stdin = &mut io::stdin();
        let done = ipvsadm::run(program, words, &ipvsadm::socket(), stdin, &mut console);
        return finish(done, &mut console);
    }
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(usage) => return print_usage(&usage, &mut console),
    };
    console.json = arguments.json;
    console.colour = screen.painted(arguments.color);
    let done = execute(&arguments, &mut console);
    finish(done, &mut console)
}

/// Lets everything be written, and says how to exit.
fn finish(done: Result<Exit, Failure>, console: &mut Console<'_>) -> Exit {
    let done = done.and_then(|exit| {
        console.out.flush()?;
        Ok(exit)
    });
    match done {
        Ok(exit) => exit,
        Err(failure) => failure.tell(console),
    }
}

/// Writes what clap says about the command line, which may be all that was asked for.
fn print_usage(usage: &clap::Error, console: &mut Console<'_>) -> Exit {
    let is_error = usage.use_stderr();
    let is_painted = if is_error {
        console.colour.err
    } else {
        console.colour.out
    };
    let text = match usage.render() {
        text if is_painted => text.ansi().to_string(),
        text => text.to_string(),
    };
    // Nobody is left to tell when this cannot be written.
    let _unread = if !is_error {
        console.out.write_all(text.as_bytes())
    } else if console.json {
        let said = usage.render().to_string();
        let errors = vec![said.trim_end().to_owned()];
        console.errors(errors)
    } else {
        console.err.write_all(text.as_bytes())
    };
    if is_error { Exit::Failed } else { Exit::Well }
}

fn execute(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let client = || Client::new(&arguments.socket);
    match &arguments.command {
        Command::Status => status::show_status(&client()?, console),
        Command::Services { service } => services::show(&client()?, service.as_deref(), console),
        Command::Sessions(wanted) => match (&wanted.export, &wanted.import) {
            (Some(file), _) => transfer::export(&client()?, wanted, file, console),
            (_, Some(file)) => transfer::import(&client()?, file, console),
            (None, None) => sessions::show(&client()?, wanted, console),
        },
        Command::Drain(asked) => drain::drain(&client()?, asked, console),
        Command::Undrain(servers) => drain::undrain(&client()?, servers, console),
        Command::Maintenance(asked) => maintenance::run(&client()?, asked, console),
        Command::Explain(asked) => explain::show(&client()?, asked, console),
        Command::Sysctl { variable } => sysctl::run(&client()?, variable.as_deref(), console),
        Command::Ipvsadm { words } => {
            let (words, stdin) = (words.clone(), &mut io::stdin());
            ipvsadm::run(Program::Ipvsadm, words, &arguments.socket, stdin, console)
        }
        Command::Diff { file } => configuration::diff(&client()?, file, console),
        Command::Apply { file } => configuration::apply(&client()?, file, console),
        Command::Check { file } => configuration::check(file, console),
        Command::Config { toml, .. } => configuration::show(&client()?, *toml, console),
        Command::RealserverSetup(setup) => realserver_setup::run(setup, console),
        Command::Size(demand) => size::run(demand, console),
        Command::RealserverCheck(check) => realserver_check::show(client()?, check, console),
        Command::Import { from } => import::run(from, console),
        Command::Enable(servers) => health::enable(&client()?, servers, console),
        Command::Disable(servers) => health::disable(&client()?, servers, console),
        Command::Health { service } => match service {
            Some(service) => health::show(&client()?, Some(service), console),
            None => status::show_health(&client()?, console),
        },
        Command::Ready { quiet } => ready::show(client()?, *quiet, console),
        Command::Doctor(asked) => host::doctor(asked, console),
        Command::SetupHost(asked) => host::set_up(asked, console),
        Command::Version => status::show_version(&client()?, console),
        Command::Completions { shell } => manual::completions(*shell, console),
        Command::Man { output } => manual::pages(output.as_deref(), console),
    }
}
