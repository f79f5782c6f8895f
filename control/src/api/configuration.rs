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
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::{self, JSON, TOML, media_type, type_of};
use super::condition::{Condition, Tag};
use super::refusal::Refusal;
use super::scripts;
use super::server::aside;
use crate::config::{Config, ConfigWarning, Warnings};
use crate::gateway::{ApplyError, Gateway, diary};
use crate::view::{AppliedView, CheckedView, ConfigWritten};

/// The languages a configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Toml,
}

/// `?format=` of `GET /v1/config`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Shown {
    /// The language; without it `Accept` decides.
    #[param(inline)]
    format: Option<Format>,
}

/// `?name=` of `PUT /v1/config` and `POST /v1/config/check`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Named {
    /// What errors call the body: the name of its file.
    name: Option<String>,
}

/// The configuration that runs, with every change since the file was read
#[utoipa::path(get, path = "/v1/config", tag = "configuration", params(Shown),
    responses((status = 200, headers(("ETag" = String)), content(
        (ConfigWritten = "application/json"), (String = "application/toml")))))]
pub(super) async fn show(
    State(api): State<Api>,
    query: Result<Query<Shown>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Shown { format }) = query?;
    let (config, tag) = api.config_and_tag();
    let condition = Condition::read(&headers);
    match format.unwrap_or_else(|| accepted(&headers)) {
        Format::Json => Ok(condition.shown(&tag, Json(&*config))),
        Format::Toml => match config.to_toml() {
            Ok(text) => Ok(condition.shown(&tag, ([(header::CONTENT_TYPE, TOML)], text))),
            Err(error) => Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                error.to_string(),
            )),
        },
    }
}

/// Makes the body the configuration, all of it or none
///
/// What only a restart can change must be as it is.
#[utoipa::path(put, path = "/v1/config", tag = "configuration", params(Named),
    request_body(content((ConfigWritten = "application/json"), (String = "application/toml"))),
    responses((status = 200, body = AppliedView, headers(("ETag" = String)))))]
pub(super) async fn replace(
    State(api): State<Api>,
    query: Result<Query<Named>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let Query(named) = query?;
    let (format, body) = (format_of_body(&headers)?, body?);
    let condition = Condition::read(&headers);
    let apply = move || {
        let unread = |refusal| {
            api.gateway.refuse_unread();
            refusal
        };
        let read = read(format, &body, &named).map_err(unread);
        let (config, warnings) = read.inspect_err(tell_refused)?;
        let applied = replace_by(&api, |_, tag| {
            condition.allows_change("the configuration", tag)?;
            Ok(config.clone())
        });
        let applied = applied.inspect_err(tell_refused)?;
        let tag = api.tag_at(applied.revision);
        let view = AppliedView {
            warnings: sentences(&warnings),
            ..applied
        };
        let mut response = Json(view).into_response();
        response.headers_mut().extend(tag.header());
        Ok(response)
    };
    aside(apply).await?
}

/// Tells the log of a configuration that came to nothing.
fn tell_refused(refusal: &Refusal) {
    let why = refusal.in_a_line();
    diary::write_request(true, &format!("a configuration was refused: {why}"));
}

/// Applies what `plan` makes of the present configuration and its tag. If somebody else changes
/// it meanwhile, it is planned again.
pub(super) fn replace_by(
    api: &Api,
    plan: impl Fn(&Config, &Tag) -> Result<Config, Refusal>,
) -> Result<AppliedView, Refusal> {
    loop {
        let (config, revision) = api.gateway.running_and_revision();
        let wanted = plan(&config, &api.tag_at(revision))?;
        scripts::admit(&config, wanted.services().iter())
            .inspect_err(|_| api.gateway.refuse_unread())?;
        match api.gateway.apply_at(wanted, Some(revision)) {
            Err(ApplyError::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// Says what applying the body would, and changes nothing
#[utoipa::path(post, path = "/v1/config/check", tag = "configuration", params(Named),
    request_body(content((ConfigWritten = "application/json"), (String = "application/toml"))),
    responses((status = 200, body = CheckedView)))]
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
    let read = match format {
        Format::Toml => {
            let text = std::str::from_utf8(body).map_err(|error| {
                let sentence = format!("the body is not UTF-8: {error}");
                Refusal::new(StatusCode::BAD_REQUEST, sentence)
            })?;
            Config::from_toml(text, path)
        }
        Format::Json => {
            let json = body::parse(body)?;
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
    match type_of(headers, &[TOML, JSON])? {
        TOML => Ok(Format::Toml),
        _ => Ok(Format::Json),
    }
}
