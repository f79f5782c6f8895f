//! Real servers, looked at from the gateway's side.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::AnsiColor;
use clap::Args;

use super::client::Client;
use super::failure::Failure;
use super::{Console, Exit, paint};
use crate::view::{VisitQuery, VisitedView};

/// What a question is written in.
const JSON: &str = "application/json";

/// How long 64 servers may take where none answers anything.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Which servers are looked at.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// `10.2.0.11:80`, or `10.2.0.11` for every port of it; all unless said.
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,

    /// Only of this service: its name, or `tcp 10.1.0.100:80`, `10.1.0.100:80`, `mark 3`.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
}

/// Shows what is wrong with servers.
pub(super) fn show(
    client: Client,
    check: &Check,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let query = VisitQuery {
        server: check.server.clone(),
        service: check.service.clone(),
    };
    let client = client.with_patience(PATIENCE);
    let body = serde_json::to_vec(&query).map_err(io::Error::from)?;
    let answer = client
        .post("/v1/realserver-check", JSON, body)?
        .accepted()?;
    let servers: Vec<VisitedView> = answer.view()?;
    if console.json {
        console.raw(&answer.body)?;
    } else {
        write(&servers, console.colour.out, console.out)?;
    }
    let mut looks = servers.iter().flat_map(|it| &it.looks);
    Ok(if looks.any(|it| it.outcome == "wrong") {
        Exit::No
    } else {
        Exit::Well
    })
}

fn write(servers: &[VisitedView], in_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    for it in servers {
        writeln!(out, "{} -> {} by {}", it.service, it.server, it.method)?;
        for look in &it.looks {
            let word = match look.outcome.as_str() {
                "well" => paint(in_colour, AnsiColor::Green, "well: "),
                "wrong" => paint(in_colour, AnsiColor::Red, "wrong:"),
                _ => "not looked at:".to_owned(),
            };
            writeln!(out, "  {word} {}", look.says)?;
            if let Some(mend) = &look.mend {
                writeln!(out, "         mend it: {mend}")?;
            }
        }
    }
    Ok(())
}
