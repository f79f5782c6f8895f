//! Configurations: checked, applied, shown.

use std::io::{self, Read};
use std::path::Path;

use super::client::{Client, percent_encoded};
use super::failure::Failure;
use super::{Console, Exit};
use crate::config::{Config, ConfigErrors};
use crate::view::{AppliedView, CheckedView, ErrorView};

/// The type of a body in TOML.
const TOML: &str = "application/toml";

/// What stands for the standard input.
const STDIN: &str = "-";

/// Makes `file` the configuration of the running gateway.
pub(super) fn apply(
    client: &Client,
    file: &Path,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let text = read(file)?;
    let name = percent_encoded(&file.to_string_lossy());
    let answer = client.put(&format!("/v1/config?name={name}"), TOML, text)?;
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

/// Says everything that is wrong with `file`, without a gateway.
pub(super) fn check(file: &Path, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let text = String::from_utf8(read(file)?).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        Failure::Unreadable(file.to_owned(), error)
    })?;
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

fn write_json(view: &impl serde::Serialize, console: &mut Console<'_>) -> Result<(), Failure> {
    let body = serde_json::to_vec(view).map_err(io::Error::from)?;
    console.raw(&body)?;
    Ok(())
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
