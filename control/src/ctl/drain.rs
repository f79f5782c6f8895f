//! Servers on their way out, and back.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::arguments::{Drain, Servers};
use super::client::{Answer, Client, percent_encoded};
use super::failure::Failure;
use super::progress::Progress;
use super::{Console, Exit};
use crate::view::{DrainQuery, DrainView, DrainedView};

/// How often sessions are counted.
const LOOK: Duration = Duration::from_millis(500);

/// The type of what is sent.
const JSON: &str = "application/json";

/// Gives a server the weight 0, and waits until it has no sessions if that is wanted.
pub(super) fn drain(
    client: &Client,
    asked: &Drain,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let interrupt = client.interrupt()?;
    let answer = ask(client, "/v1/drain", &asked.servers)?;
    let view: DrainView = answer.view()?;
    if !console.json {
        write(&view, console.out)?;
    }
    if !asked.wait {
        if console.json {
            console.raw(&answer.body)?;
        } else {
            writeln!(console.out, "{} brings it back.", undo(&asked.servers))?;
        }
        return Ok(Exit::Well);
    }
    wait(client, asked, interrupt, console)
}

/// Asks something of these servers.
pub(super) fn ask(client: &Client, path: &str, servers: &Servers) -> Result<Answer, Failure> {
    client.post(path, JSON, body(servers)?)?.accepted()
}

/// Gives a server the weight back that it had.
pub(super) fn undrain(
    client: &Client,
    servers: &Servers,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let answer = ask(client, "/v1/undrain", servers)?;
    if console.json {
        console.raw(&answer.body)?;
    } else {
        write(&answer.view()?, console.out)?;
    }
    Ok(Exit::Well)
}

fn body(servers: &Servers) -> Result<Vec<u8>, Failure> {
    let query = DrainQuery {
        server: servers.server.clone(),
        service: servers.service.clone(),
    };
    Ok(serde_json::to_vec(&query).map_err(io::Error::from)?)
}

/// Looks until there is no session left, the time is over, or the operator has seen enough.
fn wait(
    client: &Client,
    asked: &Drain,
    mut interrupt: super::client::Interrupt,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let end = Instant::now() + asked.timeout.0;
    let path = path(&asked.servers);
    let mut progress = Progress::new(console.is_terminal);
    let (left, why) = loop {
        let answer = client.get(&path)?.accepted()?;
        let view: DrainView = answer.view()?;
        if !console.json {
            progress.show(view.sessions, "sessions", console.err)?;
        }
        let why = if view.sessions == 0 {
            Ended::Empty
        } else if Instant::now() >= end {
            Ended::TimeOver
        } else if client.pause(LOOK, &mut interrupt) {
            Ended::Interrupted
        } else {
            continue;
        };
        if console.json {
            console.raw(&answer.body)?;
        }
        break (view.sessions, why);
    };
    progress.end(console.err)?;
    let undo = undo(&asked.servers);
    let server = &asked.servers.server;
    match why {
        Ended::Empty if console.json => {}
        Ended::Empty => writeln!(
            console.out,
            "{server} has no sessions; {undo} brings it back."
        )?,
        Ended::TimeOver => writeln!(
            console.err,
            "{server} still has {left} sessions after {}; its weight stays 0, {undo} brings it \
             back.",
            asked.timeout,
        )?,
        Ended::Interrupted => writeln!(
            console.err,
            "Not waiting any longer: {server} has {left} sessions; its weight stays 0, {undo} \
             brings it back."
        )?,
    }
    Ok(if why == Ended::Empty {
        Exit::Well
    } else {
        Exit::No
    })
}

/// Why nobody waits any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Empty,
    TimeOver,
    Interrupted,
}

fn path(servers: &Servers) -> String {
    let server = percent_encoded(&servers.server);
    let service = servers.service.as_deref().map(percent_encoded);
    let service = service.map_or_else(String::new, |service| format!("&service={service}"));
    format!("/v1/drain?server={server}{service}")
}

/// The command that undoes it.
fn undo(servers: &Servers) -> String {
    let service = servers.service.as_ref();
    let service = service.map_or_else(String::new, |service| format!(" --service \"{service}\""));
    format!("`sluicectl undrain {}{service}`", servers.server)
}

fn write(view: &DrainView, out: &mut dyn Write) -> io::Result<()> {
    for server in &view.servers {
        let DrainedView {
            service,
            server,
            weight,
            weight_before,
            active,
            inactive,
            disabled: _,
        } = server;
        let before = weight_before.map_or_else(String::new, |before| format!(" (was {before})"));
        writeln!(
            out,
            "{service} -> {server}: weight {weight}{before}, sessions {active} active, {inactive} \
             inactive",
        )?;
    }
    Ok(())
}
