//! The check scripts that a change brings along, and as whom they may run.
//!
//! A script runs as the user that it names, or as the gateway, which is root. Who may change the
//! gateway without being root would become root by that, or anybody else. So a script that is new
//! may run as nobody but who brings it; those that run already stay, whoever changes what is around
//! them.

use std::collections::HashSet;

use axum::http::StatusCode;
use nix::unistd::User;

use super::peer;
use super::refusal::Refusal;
use crate::config::{Check, CheckKind, Config, Edit, Script, Service};

/// Nothing if whoever asks may bring these services.
///
/// # Errors
///
/// 403 with a sentence that names the first script that he may not.
pub(super) fn admit<'a>(
    running: &Config,
    wanted: impl Iterator<Item = &'a Service>,
) -> Result<(), Refusal> {
    if peer::is_trusted() {
        return Ok(());
    }
    let known: HashSet<_> = running
        .services()
        .iter()
        .flat_map(scripts)
        .map(name)
        .collect();
    let mut new = wanted.flat_map(|service| scripts(service).map(move |script| (service, script)));
    match new.find(|(_, script)| !known.contains(&name(script)) && !is_own(script)) {
        Some((service, script)) => Err(refused(service, script)),
        None => Ok(()),
    }
}

/// As [`admit`], of services that are put.
///
/// # Errors
///
/// As [`admit`].
pub(super) fn admit_edits(running: &Config, edits: &[Edit]) -> Result<(), Refusal> {
    let services = edits.iter().filter_map(|edit| match edit {
        Edit::Put(service) => Some(service),
        Edit::Remove(_) | Edit::PutPool(_) | Edit::RemovePool(_) => None,
    });
    admit(running, services)
}

/// What makes two scripts the same: what is run, and as whom.
fn name(script: &Script) -> (&[String], Option<&str>) {
    (&script.command, script.user.as_deref())
}

/// Whether it runs as whoever asks.
fn is_own(script: &Script) -> bool {
    let user = script.user.as_deref().map(User::from_name);
    user.is_some_and(|user| matches!(user, Ok(Some(user)) if peer::is(user.uid)))
}

/// Every script of a service: of all its servers, of each, and of its sorry server.
fn scripts(service: &Service) -> impl Iterator<Item = &Script> {
    let health = service.health.iter();
    let shared = health.clone().flat_map(|health| health.checks.iter());
    let sorry = health.filter_map(|health| health.sorry_server.as_ref());
    let servers = service.servers.iter().chain(sorry);
    let own = servers.filter_map(|server| server.health.as_ref()?.checks.as_deref());
    shared.chain(own.flatten()).filter_map(script)
}

fn script(check: &Check) -> Option<&Script> {
    match &check.kind {
        CheckKind::Script(script) => Some(script),
        _ => None,
    }
}

fn refused(service: &Service, script: &Script) -> Refusal {
    let program = script.command.first().map_or("", String::as_str);
    let user = script.user.as_deref();
    let user = user.map_or_else(
        || "the gateway's user".to_owned(),
        |user| format!("\"{user}\""),
    );
    let sentence = format!(
        "service {}: only root may add a check that runs {program} as {user}: let it run as \
         yourself (`user`), or let root add it",
        service.key()
    );
    Refusal::new(StatusCode::FORBIDDEN, sentence)
}
