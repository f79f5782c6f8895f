//! Whether traffic should be sent here, for scripts that must know at once.

use std::time::Duration;

use anstyle::AnsiColor;
use axum::http::StatusCode;

use super::client::{Answer, Client};
use super::failure::Failure;
use super::{Console, Exit, paint};
use crate::view::ReadinessView;

/// How long the answer may take. keepalived runs its track scripts each second or so, and a
/// gateway that does not answer sooner is not one to send traffic to.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says it, and why not; a gateway that does not answer is not ready.
pub(super) fn show(
    client: Client,
    quiet: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match ask(&client.with_patience(PATIENCE)) {
        Ok((answer, readiness)) => {
            if !quiet {
                write(&answer, &readiness, console)?;
            }
            Ok(if readiness.ready {
                Exit::Well
            } else {
                Exit::No
            })
        }
        Err(failure) => {
            if !quiet {
                failure.tell(console);
            }
            Ok(Exit::No)
        }
    }
}

fn ask(client: &Client) -> Result<(Answer, ReadinessView), Failure> {
    let mut answer = client.get("/v1/ready")?;
    // The gateway has answered, even if the answer is no.
    if answer.status != StatusCode::SERVICE_UNAVAILABLE {
        answer = answer.accepted()?;
    }
    let readiness = answer.view()?;
    Ok((answer, readiness))
}

fn write(
    answer: &Answer,
    readiness: &ReadinessView,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    if console.json {
        console.raw(&answer.body)?;
    } else if readiness.ready {
        let word = paint(console.colour.out, AnsiColor::Green, "ready");
        writeln!(console.out, "{word}")?;
    } else {
        let word = paint(console.colour.out, AnsiColor::Red, "not ready:");
        writeln!(console.out, "{word} {}", readiness.reasons.join("; "))?;
    }
    Ok(())
}
