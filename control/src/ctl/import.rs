//! What LVS was told, as a configuration.

use serde::Serialize;

use super::arguments::{Import, ImportTo};
use super::configuration::write_json;
use super::failure::Failure;
use super::{Console, Exit};
use crate::import::{self, Draft, ImportError, Note};
use crate::ipvs::SystemNames;
use crate::view::ErrorView;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct ImportedView<'a> {
    /// The configuration.
    toml: &'a str,
    /// Virtual services in it.
    services: usize,
    /// Real servers in it.
    servers: usize,
    /// What could not be taken over as it was.
    warnings: &'a [Note],
}

/// Takes over what a file says, and writes it as TOML.
pub(super) fn run(from: &Import, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match taken_over(from) {
        Ok((draft, toml, to)) => write(&draft, &toml, to, console),
        Err(ImportError::Unreadable(path, error)) => Err(Failure::Unreadable(path, error)),
        Err(refused) if console.json => {
            let errors = refused.sentences();
            write_json(&ErrorView { errors }, console)?;
            Ok(Exit::No)
        }
        Err(refused) => Err(Failure::Refused(refused.sentences())),
    }
}

/// What was taken over, the same as TOML, and where that goes.
fn taken_over(from: &Import) -> Result<(Draft, String, &ImportTo), ImportError> {
    let (mut draft, to) = match from {
        Import::Keepalived {
            files,
            config_id,
            to,
        } => (import::keepalived(files, config_id.as_deref())?, to),
        Import::Ipvsadm { file, to } => (import::ipvsadm(file, &SystemNames::default())?, to),
    };
    let toml = match &to.base {
        Some(base) => import::onto(base, &mut draft)?,
        None => draft.toml(),
    };
    Ok((draft, toml, to))
}

fn write(
    draft: &Draft,
    toml: &str,
    to: &ImportTo,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if !console.json {
        for note in draft.notes() {
            writeln!(console.err, "{note}")?;
        }
    }
    let (services, servers) = (draft.service_count(), draft.server_count());
    if let Some(file) = &to.output {
        let written = std::fs::write(file, toml);
        written.map_err(|error| Failure::Unwritable(file.clone(), error))?;
    }
    if console.json {
        let view = ImportedView {
            toml,
            services,
            servers,
            warnings: draft.notes(),
        };
        write_json(&view, console)?;
    } else if let Some(file) = &to.output {
        let file = file.display();
        writeln!(
            console.out,
            "Wrote {file}: services {services}, real servers {servers}."
        )?;
    } else {
        console.out.write_all(toml.as_bytes())?;
    }
    Ok(Exit::Well)
}
