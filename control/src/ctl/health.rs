//! The servers that are watched: how they are, and why. Servers that the operator takes out.

use std::io::{self, Write};

use anstyle::AnsiColor;

use super::arguments::Servers;
use super::client::Client;
use super::configuration::write_json;
use super::drain::ask as ask_of_servers;
use super::failure::Failure;
use super::table::{Align, Table, or_dash};
use super::{Console, Exit, paint};
use crate::config::near;
use crate::view::{DrainView, ServerHealthView, ServiceHealthView};

/// Shows the watched servers of all services, or those of the one that is `wanted`.
pub(super) fn show(
    client: &Client,
    wanted: Option<&str>,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let answer = client.get("/v1/health/services")?.accepted()?;
    let services: Vec<ServiceHealthView> = answer.view()?;
    let Some(wanted) = wanted else {
        write(&services, console.colour.out, console.out)?;
        return Ok(Exit::Well);
    };
    let is_meant = |service: &&ServiceHealthView| {
        let vip = service.service.split_once(' ').map(|(_, vip)| vip);
        service.name.as_deref() == Some(wanted) || service.service == wanted || vip == Some(wanted)
    };
    let found: Vec<_> = services.iter().filter(is_meant).cloned().collect();
    if found.is_empty() {
        let names = services.iter();
        let names = names.map(|it| it.name.clone().unwrap_or_else(|| it.service.clone()));
        let advice = near(wanted, &names.collect::<Vec<_>>(), "sluicectl health");
        let sentence = format!("there is no service \"{wanted}\" that is watched: {advice}");
        return Err(Failure::Refused(vec![sentence]));
    }
    if console.json {
        write_json(&found, console)?;
    } else {
        write(&found, console.colour.out, console.out)?;
    }
    let has_quorum = found.iter().all(|service| service.quorum);
    Ok(if has_quorum { Exit::Well } else { Exit::No })
}

/// Takes servers out.
pub(super) fn disable(
    client: &Client,
    servers: &Servers,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    set(client, "/v1/disable", servers, console)
}

/// Brings servers back.
pub(super) fn enable(
    client: &Client,
    servers: &Servers,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    set(client, "/v1/enable", servers, console)
}

fn set(
    client: &Client,
    path: &str,
    servers: &Servers,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let answer = ask_of_servers(client, path, servers)?;
    if console.json {
        console.raw(&answer.body)?;
        return Ok(Exit::Well);
    }
    let view: DrainView = answer.view()?;
    for it in &view.servers {
        let state = if it.disabled { "disabled" } else { "enabled" };
        let sessions = it.active + it.inactive;
        let (service, server) = (&it.service, it.server);
        writeln!(
            console.out,
            "{service} -> {server}: {state}, sessions {sessions}"
        )?;
    }
    Ok(Exit::Well)
}

fn write(services: &[ServiceHealthView], in_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    for service in services {
        writeln!(out)?;
        writeln!(out, "{}", heading(service, in_colour))?;
        let mut table = Table::new([
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Right,
            Align::Right,
            Align::Right,
            Align::Left,
        ]);
        let columns = ["  -> Server", "State", "For", "Weight", "Now", "Check", ""];
        table.row(columns.map(str::to_owned));
        for server in &service.servers {
            table.row(row(server));
        }
        table.write(out)?;
    }
    Ok(())
}

fn heading(service: &ServiceHealthView, in_colour: bool) -> String {
    let ServiceHealthView { weight, needed, .. } = service;
    let name = service.name.as_ref().map(|name| format!(" {name}"));
    let quorum = if service.quorum {
        paint(in_colour, AnsiColor::Green, "quorum")
    } else {
        paint(in_colour, AnsiColor::Red, "no quorum")
    };
    let sorry = service.sorry_server.filter(|_| !service.quorum);
    let sorry = sorry.map(|it| format!("; the sorry server {it} serves"));
    format!(
        "{}{}: {quorum}, weight {weight} of the {needed} that it takes{}",
        service.service,
        name.unwrap_or_default(),
        sorry.unwrap_or_default(),
    )
}

fn row(server: &ServerHealthView) -> [String; 7] {
    let took = server.checks.iter().filter_map(|it| it.runs.took_seconds);
    let took = took.max_by(f64::total_cmp);
    [
        format!("  -> {}", server.address),
        server.state.clone(),
        format!("{:.0} s", server.state_seconds),
        server.weight.to_string(),
        or_dash(server.effective_weight),
        or_dash(took.map(|it| format!("{:.1} ms", it * 1e3))),
        server.reasons.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{CheckView, RunsView};

    fn server(address: &str, state: &str, now: Option<u32>, reason: &str) -> ServerHealthView {
        ServerHealthView {
            address: address.parse().unwrap(),
            state: state.to_owned(),
            state_seconds: 61.2,
            weight: 10,
            effective_weight: now,
            reasons: [reason]
                .iter()
                .filter(|it| !it.is_empty())
                .map(|it| (*it).to_owned())
                .collect(),
            penalty: 0.0,
            damped_seconds: None,
            checks: vec![CheckView {
                kind: "tcp".to_owned(),
                verdict: "good".to_owned(),
                runs: RunsView {
                    took_seconds: Some(0.001_25),
                    ..RunsView::default()
                },
            }],
            agent: None,
        }
    }

    #[test]
    fn servers_stand_with_their_reasons_under_their_service() {
        let service = ServiceHealthView {
            service: "tcp 10.1.0.100:80".to_owned(),
            name: Some("web".to_owned()),
            quorum: false,
            weight: 4,
            needed: 5,
            sorry_server: "10.2.0.99:80".parse().ok(),
            servers: vec![
                server("10.2.0.11:80", "up", Some(4), "slow start 40 %"),
                server("10.2.0.12:80", "down", None, "connection refused"),
            ],
        };
        let mut out = Vec::new();

        write(&[service], false, &mut out).unwrap();

        let expected = "
tcp 10.1.0.100:80 web: no quorum, weight 4 of the 5 that it takes; the sorry server 10.2.0.99:80 serves
  -> Server        State   For  Weight  Now   Check
  -> 10.2.0.11:80  up     61 s      10    4  1.2 ms  slow start 40 %
  -> 10.2.0.12:80  down   61 s      10    -  1.2 ms  connection refused
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
