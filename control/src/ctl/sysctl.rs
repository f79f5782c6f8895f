//! The variables of IPVS, as readers of `sysctl net.ipv4.vs` expect them.

use std::io::{self, Write};

use super::client::{Answer, Client, percent_encoded};
use super::failure::Failure;
use super::{Console, Exit};
use crate::view::SysctlView;

/// The type of a value that is sent.
const TEXT: &str = "text/plain";

/// What stands before the names in Linux.
const PREFIX: &str = "net.ipv4.vs.";

/// Shows all variables, or the one that `wanted` names; sets it when that says `NAME=VALUE`.
pub(super) fn run(
    client: &Client,
    wanted: Option<&str>,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let Some(wanted) = wanted else {
        let answer = client.get("/v1/sysctl")?.accepted()?;
        if console.json {
            console.raw(&answer.body)?;
        } else {
            let all: Vec<SysctlView> = answer.view()?;
            all.iter().try_for_each(|one| write(one, console.out))?;
        }
        return Ok(Exit::Well);
    };
    let answer = match wanted.split_once('=') {
        Some((name, value)) => client.put(&path_of(name), TEXT, None, value.as_bytes().to_vec())?,
        None => client.get(&path_of(wanted))?,
    };
    show(&answer.accepted()?, console)?;
    Ok(Exit::Well)
}

fn path_of(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    format!("/v1/sysctl/{}", percent_encoded(name))
}

fn show(answer: &Answer, console: &mut Console<'_>) -> Result<(), Failure> {
    if console.json {
        console.raw(&answer.body)?;
    } else {
        write(&answer.view()?, console.out)?;
    }
    Ok(())
}

/// A line as `sysctl` writes it; behind it, what the next application of the configuration
/// makes of it, if that is another value.
fn write(sysctl: &SysctlView, out: &mut dyn Write) -> io::Result<()> {
    let SysctlView {
        name,
        value,
        configured,
    } = sysctl;
    if value == configured {
        return writeln!(out, "{name} = {value}");
    }
    writeln!(
        out,
        "{name} = {value}  # until a configuration is applied: the one that runs says {configured}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_with_or_without_linuxs_prefix() {
        assert_eq!(path_of("net.ipv4.vs.drop_entry"), "/v1/sysctl/drop_entry");
        assert_eq!(path_of(" drop_entry "), "/v1/sysctl/drop_entry");
        assert_eq!(path_of("a/b"), "/v1/sysctl/a%2Fb");
    }
}
