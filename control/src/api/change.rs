//! Changes of services and pools: looked at, planned, and made only if nobody came between.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dataplane::service::ServiceKey;
use serde::Serialize;

use super::condition::Tag;
use super::refusal::Refusal;
use super::scripts;
use crate::config::{Config, Edit, EditError, LocalPool, Service};
use crate::gateway::Gateway;
use crate::view::AppliedView;

/// The header that carries what is allowed but worth knowing, a sentence each.
pub(super) const WARNING: HeaderName = HeaderName::from_static("sluice-warning");

/// What a change was planned by.
#[derive(Debug)]
pub(super) enum Seen {
    /// A service, or that there was none.
    Service(ServiceKey, Option<Service>),
    /// All services.
    Services(Vec<Service>),
    /// A pool, or that there was none.
    Pool(String, Option<LocalPool>),
}

impl Seen {
    /// Whether it is still so.
    fn is_still_so(&self, config: &Config) -> bool {
        match self {
            Self::Service(key, seen) => config.service(*key) == seen.as_ref(),
            Self::Services(seen) => config.services() == seen,
            Self::Pool(name, seen) => config.local_pool(name) == seen.as_ref(),
        }
    }
}

/// A change that may be made, and what is answered then.
pub(super) struct Planned<T> {
    /// What it was planned by.
    pub(super) seen: Seen,
    /// What is to be done.
    pub(super) edits: Vec<Edit>,
    /// What follows from it.
    pub(super) outcome: T,
}

impl<T> Planned<T> {
    /// The same change, of which something else follows.
    pub(super) fn map<U>(self, follow: impl FnOnce(T) -> U) -> Planned<U> {
        Planned {
            seen: self.seen,
            edits: self.edits,
            outcome: follow(self.outcome),
        }
    }
}

/// Makes the change that `plan` derives from the present configuration. If somebody else changes
/// what it looked at before it is made, it is planned again, and so judged by what is there then.
pub(super) fn make<T>(
    gateway: &Gateway,
    plan: impl Fn(&Config) -> Result<Planned<T>, Refusal>,
) -> Result<(T, AppliedView), Refusal> {
    loop {
        let config: Arc<Config> = gateway.config();
        let Planned {
            seen,
            edits,
            outcome,
        } = plan(&config)?;
        scripts::admit_edits(&config, &edits)?;
        // Who holds it would make the gateway copy all of it.
        drop(config);
        let guard = |config: &Config| {
            if seen.is_still_so(config) {
                Ok(())
            } else {
                Err(EditError::Stale(String::new()))
            }
        };
        match gateway.edit(edits, &guard) {
            Ok(applied) => return Ok((outcome, applied)),
            Err(EditError::Stale(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is there now, with its tag, and with what is worth knowing about the change.
pub(super) fn changed(
    status: StatusCode,
    now: &impl Serialize,
    applied: &AppliedView,
) -> Result<Response, Refusal> {
    Ok(changed_to(status, now, &Tag::of(now)?, applied))
}

/// As [`changed`], of what was not there before and can be found at `path`.
pub(super) fn created_at(
    path: &str,
    now: &impl Serialize,
    applied: &AppliedView,
) -> Result<Response, Refusal> {
    let mut response = changed(StatusCode::CREATED, now, applied)?;
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    Ok(response)
}

/// As [`created_at`] if it `is_new`, else as [`changed`].
pub(super) fn put_at(
    path: &str,
    is_new: bool,
    now: &impl Serialize,
    applied: &AppliedView,
) -> Result<Response, Refusal> {
    if is_new {
        created_at(path, now, applied)
    } else {
        changed(StatusCode::OK, now, applied)
    }
}

/// As [`changed`], with the tag that is not of what is shown alone.
pub(super) fn changed_to(
    status: StatusCode,
    now: &impl Serialize,
    tag: &Tag,
    applied: &AppliedView,
) -> Response {
    let mut response = (status, Json(now)).into_response();
    let headers = response.headers_mut();
    headers.extend(tag.header());
    warn(headers, applied);
    response
}

/// The answer to a change that leaves nothing to show.
pub(super) fn gone(applied: &AppliedView) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    warn(response.headers_mut(), applied);
    response
}

fn warn(headers: &mut HeaderMap, applied: &AppliedView) {
    for warning in &applied.warnings {
        if let Ok(value) = HeaderValue::from_bytes(warning.as_bytes()) {
            headers.append(WARNING, value);
        }
    }
}
