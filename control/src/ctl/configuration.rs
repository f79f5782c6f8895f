//! Configurations: checked, applied, shown.

use std::io::{self, Read};
use std::path::Path;

use axum::http::HeaderValue;

use super::client::{Client, percent_encoded};
use super::failure::Failure;
use super::{Console, Exit};
use crate::config::{Config, ConfigErrors, Difference};
use crate::view::{AppliedView, CheckedView, ErrorView};

/// The type of a body in TOML.
const TOML: &str = "application/toml";

/// What stands for the standard input.
const STDIN: &str = "-";

/// Shows what making `file` the configuration would change.
pub(super) fn diff(
    client: &Client,
    file: &Path,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let difference = match difference(client, file) {
        Err(refused @ Failure::Refused(_)) => {
            refused.tell(console);
            // 1 is taken: it says that the file is right, and differs.
            return Ok(Exit::Failed);
        }
        difference => difference?,
    };
    if console.json {
        write_json(&difference, console)?;
    } else {
        write!(console.out, "{difference}")?;
    }
    Ok(if difference.is_empty() {
        Exit::Well
    } else {
        Exit::No
    })
}

fn difference(client: &Client, file: &Path) -> Result<Difference, Failure> {
    let read = Config::from_toml(&read_text(file)?, file);
    let (wanted, _) = read.map_err(refused)?;
    let (running, _) = running(client)?;
    Ok(Difference::between(&running, &wanted))
}

pub(super) fn refused(ConfigErrors(errors): ConfigErrors) -> Failure {
    Failure::Refused(errors.iter().map(ToString::to_string).collect())
}

/// Makes `file` the configuration of the running gateway.
pub(super) fn apply(
    client: &Client,
    file: &Path,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let text = read(file)?;
    let wanted = std::str::from_utf8(&text).ok();
    let wanted = wanted.and_then(|text| Config::from_toml(text, file).ok());
    let (before, seen) = running(client)?;
    let name = percent_encoded(&file.to_string_lossy());
    let answer = client.put(&format!("/v1/config?name={name}"), TOML, seen, text)?;
    if console.json {
        console.raw(&answer.body)?;
        return Ok(if answer.status.is_success() {
            Exit::Well
        } else {
            Exit::No
        });
    }
    let applied: AppliedView = answer.accepted()?.view()?;
    console.warn(&applied.warnings)?;
    if let Some((wanted, _)) = wanted {
        write!(console.out, "{}", Difference::between(&before, &wanted))?;
    }
    writeln!(
        console.out,
        "Applied {} as generation {}: services {}, real servers {}.",
        file.display(),
        applied.generation,
        applied.services,
        applied.servers,
    )?;
    Ok(Exit::Well)
}

/// The configuration that runs, and what stands for that state of it.
fn running(client: &Client) -> Result<(Config, Option<HeaderValue>), Failure> {
    let answer = client.get("/v1/config?format=json")?.accepted()?;
    let tag = answer.tag.clone();
    let json: serde_json::Value = answer.view()?;
    let read = Config::from_json(&json, Path::new("the running configuration"));
    Ok((read.map_err(refused)?.0, tag))
}

/// Says everything that is wrong with `file`, without a gateway.
pub(super) fn check(file: &Path, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let text = read_text(file)?;
    match Config::from_toml(&text, file) {
        Ok((config, warnings)) => {
            let view = CheckedView::new(&config, &warnings);
            if console.json {
                write_json(&view, console)?;
                return Ok(Exit::Well);
            }
            console.warn(&view.warnings)?;
            let (
                name,
                CheckedView {
                    services, servers, ..
                },
            ) = (file.display(), view);
            writeln!(
                console.out,
                "{name} is right: services {services}, real servers {servers}."
            )?;
            Ok(Exit::Well)
        }
        Err(ConfigErrors(errors)) => {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            if console.json {
                write_json(&ErrorView { errors }, console)?;
                return Ok(Exit::No);
            }
            Err(Failure::Refused(errors))
        }
    }
}

/// Shows the configuration that runs.
pub(super) fn show(
    client: &Client,
    toml: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let format = if console.json && !toml {
        "json"
    } else {
        "toml"
    };
    let answer = client.get(&format!("/v1/config?format={format}"))?;
    console.raw(&answer.accepted()?.body)?;
    Ok(Exit::Well)
}

/// Writes a view as the API would.
pub(super) fn write_json(
    view: &impl serde::Serialize,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let body = serde_json::to_vec(view).map_err(io::Error::from)?;
    console.raw(&body)?;
    Ok(())
}

fn read_text(file: &Path) -> Result<String, Failure> {
    String::from_utf8(read(file)?).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        Failure::Unreadable(file.to_owned(), error)
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if file.as_os_str() == STDIN {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    bytes.map_err(|error| Failure::Unreadable(file.to_owned(), error))
}
