//! The listings at the end of a scenario.

use super::command;
use super::trouble::Trouble;
use crate::kernel::report::{Event, Log};

/// Those that are right at once, by the names they have in an outcome.
const AT_ONCE: [(&str, &[&str]); 4] = [
    ("ln", &["-Ln"]),
    ("lnc", &["-Lnc"]),
    ("thresholds", &["-Ln", "--thresholds"]),
    ("persistent", &["-Ln", "--persistent-conn"]),
];

/// Lists what is right at once; no time may pass before.
pub(super) fn at_once(log: &mut Log) -> Result<(), Trouble> {
    AT_ONCE
        .iter()
        .try_for_each(|(name, arguments)| list(name, arguments, log))
}

/// Lists the statistics, which are right when the kernel has added them up.
pub(super) fn statistics(log: &mut Log) -> Result<(), Trouble> {
    list("stats", &["-Ln", "--stats"], log)
}

fn list(name: &str, arguments: &[&str], log: &mut Log) -> Result<(), Trouble> {
    let said = command::run("ipvsadm", arguments, "")?;
    log.add(&Event::Dump {
        name: name.to_owned(),
        text: said.output + &said.errors,
    });
    Ok(())
}
