//! Local pools: the local addresses that FULLNAT speaks to servers from.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::body::{self, JSON};
use super::change::{self, Planned, Seen};
use super::condition::{Condition, Tag};
use super::refusal::Refusal;
use super::server::aside;
use crate::config::{Config, Edit, LocalPool};
use crate::gateway::Gateway;
use crate::view::LocalPoolWritten;

/// All local pools, as they are written
#[utoipa::path(get, path = "/v1/local-pools", tag = "local pools",
    responses((status = 200, body = Vec<LocalPoolWritten>, headers(("ETag" = String)))))]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let config = gateway.config();
    let pools = config.local_pools();
    Ok(Condition::read(&headers).shown(&Tag::of(&pools)?, Json(pools)))
}

/// A local pool, as it is written
#[utoipa::path(get, path = "/v1/local-pools/{name}", tag = "local pools",
    params(("name" = String, Path)),
    responses((status = 200, body = LocalPoolWritten, headers(("ETag" = String)))))]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let config = gateway.config();
    let pool = existing(&config, &name)?;
    Ok(Condition::read(&headers).shown(&Tag::of(pool)?, Json(pool)))
}

/// Makes a local pool what the body says, whether it is there or not
#[utoipa::path(put, path = "/v1/local-pools/{name}", tag = "local pools",
    params(("name" = String, Path)),
    request_body = LocalPoolWritten,
    responses(
        (status = 200, body = LocalPoolWritten, headers(("ETag" = String))),
        (status = 201, body = LocalPoolWritten,
            headers(("ETag" = String), ("Location" = String)))))]
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let json = body::object(&headers, body, &[JSON])?;
    let pool = read(&name, json)?;
    let condition = Condition::read(&headers);
    aside(move || {
        let (is_new, applied) = change::make(&gateway, |config| {
            let before = config.local_pool(&name);
            match before {
                Some(before) => allow(&condition, before)?,
                None => condition.allows_making(&format!("local pool \"{name}\""))?,
            }
            Ok(Planned {
                seen: Seen::Pool(name.clone(), before.cloned()),
                edits: vec![Edit::PutPool(pool.clone())],
                outcome: before.is_none(),
            })
        })?;
        let path = format!("/v1/local-pools/{}", crate::ctl::percent_encoded(&name));
        change::put_at(&path, is_new, &pool, &applied)
    })
    .await?
}

/// Removes a local pool that no service names
#[utoipa::path(delete, path = "/v1/local-pools/{name}", tag = "local pools",
    params(("name" = String, Path)),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let condition = Condition::read(&headers);
    aside(move || {
        let ((), applied) = change::make(&gateway, |config| {
            let before = existing(config, &name)?;
            allow(&condition, before)?;
            refuse_in_use(config, &name)?;
            Ok(Planned {
                seen: Seen::Pool(name.clone(), Some(before.clone())),
                edits: vec![Edit::RemovePool(name.clone())],
                outcome: (),
            })
        })?;
        Ok(change::gone(&applied))
    })
    .await?
}

fn existing<'a>(config: &'a Config, name: &str) -> Result<&'a LocalPool, Refusal> {
    config.local_pool(name).ok_or_else(|| {
        let sentence = format!("there is no local pool \"{name}\": GET /v1/local-pools lists them");
        Refusal::new(StatusCode::NOT_FOUND, sentence)
    })
}

fn allow(condition: &Condition, before: &LocalPool) -> Result<(), Refusal> {
    let what = format!("the local pool \"{}\"", before.name);
    condition.allows_change(&what, &Tag::of(before)?)
}

fn refuse_in_use(config: &Config, name: &str) -> Result<(), Refusal> {
    let mut services = config.services().iter();
    let user = services.find(|service| service.local_pool.as_deref() == Some(name));
    user.map_or(Ok(()), |service| {
        let sentence = format!(
            "the service {} speaks from the local pool \"{name}\": give it another one first",
            service.key()
        );
        Err(Refusal::new(StatusCode::CONFLICT, sentence))
    })
}

/// The pool of a body that may leave out its name.
fn read(name: &str, mut json: Value) -> Result<LocalPool, Refusal> {
    if let Value::Object(members) = &mut json {
        let place = members.entry("name").or_insert(Value::Null);
        if place.is_null() {
            *place = name.into();
        }
    }
    let pool = LocalPool::from_json(&json, FilePath::new(name))?;
    if pool.name == name {
        return Ok(pool);
    }
    let sentence = format!(
        "the path names \"{name}\", but the body \"{}\": make the one, and remove the other",
        pool.name
    );
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, sentence))
}
