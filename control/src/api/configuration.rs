//! The configuration: shown, checked, replaced.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::refusal::Refusal;
use super::server::aside;
use crate::config::{Config, ConfigWarning, Warnings};
use crate::gateway::Gateway;
use crate::view::{AppliedView, CheckedView};

/// The type of a body in TOML (registered with IANA).
const TOML: &str = "application/toml";

/// The type of a body in JSON.
const JSON: &str = "application/json";

/// The languages a configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Toml,
}

/// `?format=` of `GET /v1/config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    format: Option<Format>,
}

/// `?name=` of `PUT /v1/config` and `POST /v1/config/check`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: Option<String>,
}

pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<Shown>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Shown { format }) = query?;
    let config = gateway.config();
    match format.unwrap_or_else(|| accepted(&headers)) {
        Format::Json => Ok(Json(&*config).into_response()),
        Format::Toml => match config.to_toml() {
            Ok(text) => Ok(([(header::CONTENT_TYPE, TOML)], text).into_response()),
            Err(error) => Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                error.to_string(),
            )),
        },
    }
}

pub(super) async fn replace(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<Named>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<AppliedView>, Refusal> {
    let Query(named) = query?;
    let (format, body) = (format_of_body(&headers)?, body?);
    let apply = move || {
        let (config, warnings) = read(format, &body, &named)?;
        let applied = gateway.apply(config)?;
        Ok(Json(AppliedView {
            warnings: sentences(&warnings),
            ..applied
        }))
    };
    aside(apply).await?
}

pub(super) async fn check(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<Named>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CheckedView>, Refusal> {
    let Query(named) = query?;
    let (format, body) = (format_of_body(&headers)?, body?);
    let check = move || {
        let (config, warnings) = read(format, &body, &named)?;
        gateway.check(&config)?;
        Ok(Json(CheckedView::new(&config, &warnings)))
    };
    aside(check).await?
}

impl CheckedView {
    /// What is to be said of `config`.
    pub(crate) fn new(config: &Config, warnings: &Warnings) -> Self {
        let services = config.services();
        Self {
            services: services.len(),
            servers: services.iter().map(|service| service.servers.len()).sum(),
            warnings: sentences(warnings),
        }
    }
}

fn read(format: Format, body: &[u8], named: &Named) -> Result<(Config, Warnings), Refusal> {
    let path = Path::new(named.name.as_deref().unwrap_or("api"));
    let unreadable = |what: String| Refusal::new(StatusCode::BAD_REQUEST, what);
    let read = match format {
        Format::Toml => {
            let text = std::str::from_utf8(body)
                .map_err(|error| unreadable(format!("the body is not UTF-8: {error}")))?;
            Config::from_toml(text, path)
        }
        Format::Json => {
            let json = serde_json::from_slice(body)
                .map_err(|error| unreadable(format!("the body is not JSON: {error}")))?;
            Config::from_json(&json, path)
        }
    };
    Ok(read?)
}

fn sentences(Warnings(warnings): &Warnings) -> Vec<String> {
    warnings.iter().map(ConfigWarning::to_string).collect()
}

/// The format that `Accept` asks for: TOML when it is named, else JSON.
fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers.get_all(header::ACCEPT).into_iter();
    let mut types = accept
        .filter_map(|value| value.to_str().ok())
        .flat_map(|it| it.split(','));
    if types.any(|it| media_type(it).eq_ignore_ascii_case(TOML)) {
        Format::Toml
    } else {
        Format::Json
    }
}

fn format_of_body(headers: &HeaderMap) -> Result<Format, Refusal> {
    let written = headers.get(header::CONTENT_TYPE);
    let written = written
        .and_then(|value| value.to_str().ok())
        .map(media_type);
    match written {
        Some(written) if written.eq_ignore_ascii_case(TOML) => Ok(Format::Toml),
        Some(written) if written.eq_ignore_ascii_case(JSON) => Ok(Format::Json),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body has no type known here: send Content-Type: {TOML} or {JSON}"),
        )),
    }
}

/// A type without its parameters (RFC 9110 §8.3.1).
fn media_type(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}
