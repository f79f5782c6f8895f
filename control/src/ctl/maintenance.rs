//! The gateway out of service, and back.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::arguments::{Maintenance, MaintenanceWanted};
use super::client::{Answer, Client, Interrupt};
use super::failure::Failure;
use super::progress::Progress;
use super::{Console, Exit};
use crate::view::{MaintenanceView, MaintenanceWish};

/// Where it is asked for.
const PATH: &str = "/v1/maintenance";

/// The type of what is sent.
const JSON: &str = "application/json";

/// How often sessions are counted.
const LOOK: Duration = Duration::from_millis(500);

/// Between two looks whether VIPs are withdrawn, which takes some milliseconds.
const SOON: Duration = Duration::from_millis(20);

/// How long that is waited for: longer only when Linux refuses something, which is a warning in
/// the gateway's log.
const SETTLING: Duration = Duration::from_secs(3);

/// So long nothing may have been served before "no sessions" is the end: routers learn of the
/// withdrawal a moment later, and some services have no sessions.
const STILL: Duration = Duration::from_secs(2);

/// Begins or ends maintenance, or only shows it; waits for sessions if that is wanted.
pub(super) fn run(
    client: &Client,
    asked: &Maintenance,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let mut interrupt = client.interrupt()?;
    let wish = match asked.wanted {
        MaintenanceWanted::On => Some(true),
        MaintenanceWanted::Off => Some(false),
        MaintenanceWanted::Status => None,
    };
    if let Some(on) = wish {
        let body = serde_json::to_vec(&MaintenanceWish { on }).map_err(io::Error::from)?;
        client.put(PATH, JSON, None, body)?.accepted()?;
    }
    let answer = settled(client, &mut interrupt)?;
    if asked.wait {
        if !console.json {
            write(&answer.view()?, console.out)?;
        }
        return wait(client, asked, interrupt, console);
    }
    if console.json {
        console.raw(&answer.body)?;
    } else {
        write(&answer.view()?, console.out)?;
    }
    let is_left = is_still_announced(&answer.view()?, console)?;
    Ok(if is_left { Exit::No } else { Exit::Well })
}

/// Whether routers are told of VIPs though maintenance is on, and says so.
fn is_still_announced(view: &MaintenanceView, console: &mut Console<'_>) -> io::Result<bool> {
    let vips = view.still_announced();
    if vips.is_empty() {
        return Ok(false);
    }
    writeln!(
        console.err,
        "Not withdrawn, so traffic still comes: {}; the gateway's log says why.",
        vips.join(", ")
    )?;
    Ok(true)
}

/// What there is when VIPs are announced and withdrawn as they are to be.
fn settled(client: &Client, interrupt: &mut Interrupt) -> Result<Answer, Failure> {
    let end = Instant::now() + SETTLING;
    loop {
        let answer = client.get(PATH)?.accepted()?;
        let view: MaintenanceView = answer.view()?;
        if view.is_settled() || Instant::now() >= end || client.pause(SOON, interrupt) {
            return Ok(answer);
        }
    }
}

/// Why nobody waits any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Empty,
    Quiet,
    TimeOver,
    Interrupted,
}

/// Looks until nobody uses a session, the time is over, or the operator has seen enough.
fn wait(
    client: &Client,
    asked: &Maintenance,
    mut interrupt: Interrupt,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let end = Instant::now() + asked.timeout.0;
    let mut progress = Progress::new(console.is_terminal);
    let mut packets = None;
    let mut quiet_since = Instant::now();
    let (answer, why) = loop {
        let answer = client.get(PATH)?.accepted()?;
        let view: MaintenanceView = answer.view()?;
        if !console.json {
            progress.show(view.sessions, "sessions", console.err)?;
        }
        let came = packets.replace(view.served_packets) != Some(view.served_packets);
        if came || !view.still_announced().is_empty() {
            quiet_since = Instant::now();
        }
        let quiet = quiet_since.elapsed();
        let why = if view.sessions == 0 && quiet >= STILL.min(asked.quiet.0) {
            Ended::Empty
        } else if view.sessions > 0 && quiet >= asked.quiet.0 {
            Ended::Quiet
        } else if Instant::now() >= end {
            Ended::TimeOver
        } else if client.pause(LOOK, &mut interrupt) {
            Ended::Interrupted
        } else {
            continue;
        };
        break (answer, why);
    };
    progress.end(console.err)?;
    if console.json {
        console.raw(&answer.body)?;
    }
    let view = answer.view()?;
    if is_still_announced(&view, console)? {
        return Ok(Exit::No);
    }
    conclude(&view, why, asked, console)?;
    Ok(match why {
        Ended::Empty | Ended::Quiet => Exit::Well,
        Ended::TimeOver | Ended::Interrupted => Exit::No,
    })
}

fn conclude(
    view: &MaintenanceView,
    why: Ended,
    asked: &Maintenance,
    console: &mut Console<'_>,
) -> io::Result<()> {
    let left = view.sessions;
    match why {
        Ended::Empty | Ended::Quiet if console.json => Ok(()),
        Ended::Empty => writeln!(console.out, "There are no sessions."),
        Ended::Quiet => writeln!(
            console.out,
            "Nobody uses the {left} sessions: none had a packet for {}.",
            asked.quiet
        ),
        Ended::TimeOver if left == 0 => writeln!(
            console.err,
            "There are no sessions, but packets still come after {}.",
            asked.timeout
        ),
        Ended::TimeOver => writeln!(
            console.err,
            "There still are {left} sessions after {}, and they are used.",
            asked.timeout
        ),
        Ended::Interrupted => writeln!(
            console.err,
            "Not waiting any longer: there are {left} sessions."
        ),
    }
}

fn write(view: &MaintenanceView, out: &mut dyn Write) -> io::Result<()> {
    if view.on {
        writeln!(
            out,
            "Maintenance is on; `sluicectl maintenance off` or a restart ends it."
        )?;
    } else {
        writeln!(out, "Maintenance is off.")?;
    }
    match view.announce_table {
        None => writeln!(
            out,
            "The gateway announces no VIPs: [gateway] has no `announce_table`."
        )?,
        Some(table) => writeln!(out, "Routing table {table} is where VIPs are announced.")?,
    }
    for vip in &view.vips {
        let state = match (vip.announced, vip.quorum) {
            (true, _) => "announced",
            (false, false) => "withdrawn: without quorum",
            (false, true) if view.on => "withdrawn",
            (false, true) => "not announced yet",
        };
        writeln!(out, "vip {}: {state}", vip.vip)?;
    }
    writeln!(out, "sessions {}", view.sessions)
}
