//! From the words of a command line to a [`Command`], or to what `ipvsadm` 1.31 says instead.
//!
//! Mistakes are found in its order: each word as it comes, then words that are no options, then
//! which options the command takes, then what they mean together.

use super::command::{Command, ListOptions};
use super::draft::Draft;
use super::failure::Failure;
use super::names::Names;
use super::options::{Opt, Verb};
use super::words::Words;

/// Understands a command line: the words after the program's name.
///
/// # Errors
///
/// What `ipvsadm` prints to standard error, and its exit code.
pub fn parse(arguments: &[String], names: &dyn Names) -> Result<Command, Failure> {
    if arguments.is_empty() {
        return Ok(Command::List(ListOptions::default()));
    }
    let mut words = Words::new(arguments);
    let verb = match words.next() {
        Ok(Some((Opt::Verb(verb), argument))) => {
            check_role(verb, argument)?;
            verb
        }
        _ => return Err(Failure::hint()),
    };
    if let Verb::Help = verb {
        return Ok(Command::Help);
    }
    if let Verb::Version = verb {
        return Ok(Command::Version);
    }
    let mut draft = Draft::new(verb);
    while let Some((opt, argument)) = words.next()? {
        match opt {
            Opt::Named(kind, detail) => {
                draft.note(kind)?;
                draft.read(kind, detail, argument, names)?;
            }
            Opt::Ipv6 => draft.read_ipv6()?,
            Opt::Sort => {}
            Opt::Verb(_) => {
                let text = format!("invalid option `{}'", words.word());
                return Err(Failure::usage(text));
            }
        }
    }
    let others = draft.read_others(&words.into_others())?;
    if let Some(word) = others {
        return Err(Failure::usage(format!("unexpected argument {word}")));
    }
    draft.finish()
}

/// The argument of the two commands that have one.
fn check_role(verb: Verb, argument: Option<&str>) -> Result<(), Failure> {
    let is_role = matches!(argument, Some("master" | "backup"));
    match verb {
        Verb::StartDaemon if !is_role => {
            Err(Failure::usage("illegal start-daemon parameter specified"))
        }
        Verb::StopDaemon if !is_role => Err(Failure::usage("illegal start_daemon specified")),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
