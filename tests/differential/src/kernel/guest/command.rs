//! Other programs: `ip`, `ipvsadm`, shells.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use super::trouble::Trouble;

/// Where a program writes: files and not pipes, since what it leaves running keeps them open.
const OUTPUT: &str = "/run/output";
const ERRORS: &str = "/run/errors";

/// What a program said and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    /// Standard output.
    pub(super) output: String,
    /// Standard error.
    pub(super) errors: String,
    /// The exit code; for one that a signal ended 128 and the signal, as shells say it.
    pub(super) status: i32,
}

/// Runs a program to its end.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<Said, Trouble> {
    let (output, errors) = (File::create(OUTPUT)?, File::create(ERRORS)?);
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|source| Trouble::Start {
            program: program.to_owned(),
            source,
        })?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(input.as_bytes()) {
            // It may end without having read everything.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
    }
    let status = child.wait()?;
    Ok(Said {
        output: take(OUTPUT)?,
        errors: take(ERRORS)?,
        status: code(status),
    })
}

/// What a file has, which is gone then.
fn take(path: &str) -> io::Result<String> {
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    fs::remove_file(path)?;
    Ok(text)
}

/// Runs a program that has to succeed.
pub(super) fn must(program: &str, arguments: &[&str], input: &str) -> Result<(), Trouble> {
    let said = run(program, arguments, input)?;
    if said.status == 0 {
        return Ok(());
    }
    Err(Trouble::Program {
        command: format!("{program} {}", arguments.join(" ")),
        status: said.status,
        output: said.output + &said.errors,
    })
}

/// Sets a kernel variable; between its parts are dots or slashes, as `sysctl` takes them.
pub(super) fn set(key: &str, value: &str) -> Result<(), Trouble> {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    fs::write(path, value).map_err(|source| Trouble::Set {
        key: key.to_owned(),
        value: value.to_owned(),
        source,
    })
}

fn code(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(by_signal)
}
