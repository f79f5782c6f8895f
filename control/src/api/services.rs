//! Virtual services as the configuration has them: all, and each.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use dataplane::service::ServiceKey;
use serde_json::{Map, Value, json};

use super::Api;
use super::body::{self, JSON, MERGE_PATCH};
use super::change::{self, Planned, Seen};
use super::condition::{Condition, Tag};
use super::identifier::ServiceId;
use super::merge::merged;
use super::refusal::Refusal;
use super::server::aside;
use crate::config::{Config, Edit, Service};
use crate::gateway::Gateway;
use crate::view::{LocalAddressesView, ServiceWritten};

/// The keys that say what a service is for.
const KEYS: [&str; 5] = ["protocol", "vip", "port", "mark", "family"];

/// All services, as they are written
///
/// In the order in which they were added. What they do is in `/v1/status/services`.
#[utoipa::path(get, path = "/v1/services", tag = "services",
    responses((status = 200, body = Vec<ServiceWritten>, headers(("ETag" = String)))))]
pub(super) async fn list(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Refusal> {
    let (config, tag) = api.config_and_tag();
    Ok(Condition::read(&headers).shown(&tag, Json(config.services())))
}

/// Makes a service that is not there yet
#[utoipa::path(post, path = "/v1/services", tag = "services",
    request_body = ServiceWritten,
    responses((status = 201, body = ServiceWritten,
        headers(("ETag" = String), ("Location" = String)))))]
pub(super) async fn add(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let json = body::object(&headers, body, &[JSON])?;
    let service = Service::from_json(&json, FilePath::new("service"))?;
    let id = ServiceId(service.key());
    aside(move || {
        let (service, applied) = change::make(&gateway, |config| {
            if config.service(id.0).is_some() {
                let sentence = format!("the service {id} is there already: PUT or PATCH it");
                return Err(Refusal::new(StatusCode::CONFLICT, sentence));
            }
            Ok(put_of(id, None, service.clone()))
        })?;
        change::created_at(&path_of(id), &service, &applied)
    })
    .await?
}

/// Makes the services those of the body, all of them or none
#[utoipa::path(put, path = "/v1/services", tag = "services",
    request_body = Vec<ServiceWritten>,
    responses((status = 200, body = Vec<ServiceWritten>, headers(("ETag" = String)))))]
pub(super) async fn replace_all(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let items = body::array(&headers, body)?;
    let condition = Condition::read(&headers);
    aside(move || {
        let read =
            |(index, json)| Service::from_json(json, FilePath::new(&format!("service[{index}]")));
        let wanted = items.iter().enumerate().map(read);
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        refuse_repeated(&wanted)?;
        let (wanted, applied) = change::make(&api.gateway, |config| {
            condition.allows_change("the list of services", &api.tag_at(api.gateway.revision()))?;
            let before = config.services();
            // Gone and added again, so that the order is that of the body.
            let edits = before.iter().map(|service| Edit::Remove(service.key()));
            Ok(Planned {
                seen: Seen::Services(before.to_vec()),
                edits: edits.chain(wanted.iter().cloned().map(Edit::Put)).collect(),
                outcome: wanted.clone(),
            })
        })?;
        let tag = api.tag_at(applied.revision);
        Ok(change::changed_to(StatusCode::OK, &wanted, &tag, &applied))
    })
    .await?
}

/// A service, as it is written
#[utoipa::path(get, path = "/v1/services/{service}", tag = "services",
    params(("service" = String, Path)),
    responses((status = 200, body = ServiceWritten, headers(("ETag" = String)))))]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let config = gateway.config();
    let service = existing(&config, id)?;
    let tag = Tag::of(service)?;
    Ok(Condition::read(&headers).shown(&tag, Json(service)))
}

/// Makes a service what the body says, whether it is there or not
///
/// The body may leave out what the path says: `protocol`, `vip` and `port`, or `mark` and
/// `family`.
#[utoipa::path(put, path = "/v1/services/{service}", tag = "services",
    params(("service" = String, Path)),
    request_body = ServiceWritten,
    responses(
        (status = 200, body = ServiceWritten, headers(("ETag" = String))),
        (status = 201, body = ServiceWritten, headers(("ETag" = String), ("Location" = String)))))]
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let json = body::object(&headers, body, &[JSON])?;
    let condition = Condition::read(&headers);
    aside(move || {
        let service = read(id, json)?;
        let (is_new, applied) = change::make(&gateway, |config| {
            let before = config.service(id.0);
            match before {
                Some(before) => allow(&condition, id, before)?,
                None => condition.allows_making(&format!("service {id}"))?,
            }
            Ok(put_of(id, before, service.clone()).map(|_| before.is_none()))
        })?;
        change::put_at(&path_of(id), is_new, &service, &applied)
    })
    .await?
}

/// Changes what the body names of a service, by a merge patch (RFC 7396)
///
/// `server` is a list, so a patch replaces all of it; one server has a path of its own.
#[utoipa::path(patch, path = "/v1/services/{service}", tag = "services",
    params(("service" = String, Path)),
    request_body(content(
        (ServiceWritten = "application/merge-patch+json"), (ServiceWritten = "application/json"))),
    responses((status = 200, body = ServiceWritten, headers(("ETag" = String)))))]
pub(super) async fn patch(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let patch = body::object(&headers, body, &[MERGE_PATCH, JSON])?;
    let condition = Condition::read(&headers);
    aside(move || {
        let (service, applied) = change::make(&gateway, |config| {
            let before = existing(config, id)?;
            allow(&condition, id, before)?;
            let service = read(id, merged(serde_json::to_value(before)?, patch.clone()))?;
            Ok(put_of(id, Some(before), service))
        })?;
        change::changed(StatusCode::OK, &service, &applied)
    })
    .await?
}

/// Removes a service; its sessions go on until they end
#[utoipa::path(delete, path = "/v1/services/{service}", tag = "services",
    params(("service" = String, Path)),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let condition = Condition::read(&headers);
    aside(move || {
        let ((), applied) = change::make(&gateway, |config| {
            let before = existing(config, id)?;
            allow(&condition, id, before)?;
            Ok(Planned {
                seen: Seen::Service(id.0, Some(before.clone())),
                edits: vec![Edit::Remove(id.0)],
                outcome: (),
            })
        })?;
        Ok(change::gone(&applied))
    })
    .await?
}

/// The local addresses of a service, with how many of their ports are lent out
///
/// They are those of its `local_pool`, and changed there.
#[utoipa::path(get, path = "/v1/services/{service}/local-addresses", tag = "services",
    params(("service" = String, Path)),
    responses((status = 200, body = LocalAddressesView)))]
pub(super) async fn local_addresses(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
) -> Result<Json<LocalAddressesView>, Refusal> {
    let id = ServiceId::parse(&service)?;
    let shown = aside(move || gateway.local_addresses_of(id.0)).await?;
    shown.map(Json).ok_or_else(|| absent(id))
}

/// The service, which must be there.
pub(super) fn existing(config: &Config, id: ServiceId) -> Result<&Service, Refusal> {
    config.service(id.0).ok_or_else(|| absent(id))
}

fn absent(id: ServiceId) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("there is no service {id}: GET /v1/services lists them"),
    )
}

fn allow(condition: &Condition, id: ServiceId, before: &Service) -> Result<(), Refusal> {
    condition.allows_change(&format!("the service {id}"), &Tag::of(before)?)
}

/// Puts `after` where `before` was.
pub(super) fn put_of(id: ServiceId, before: Option<&Service>, after: Service) -> Planned<Service> {
    Planned {
        seen: Seen::Service(id.0, before.cloned()),
        edits: vec![Edit::Put(after.clone())],
        outcome: after,
    }
}

/// The service of a body that may leave out what the path says.
fn read(id: ServiceId, mut json: Value) -> Result<Service, Refusal> {
    if let Value::Object(members) = &mut json
        && !KEYS
            .iter()
            .any(|key| members.get(*key).is_some_and(|it| !it.is_null()))
    {
        members.extend(key_of(id));
    }
    let service = Service::from_json(&json, FilePath::new(&id.to_string()))?;
    if service.key() == id.0 {
        return Ok(service);
    }
    let sentence = format!(
        "the path names {id}, but the body {}: make the one, and remove the other",
        ServiceId(service.key())
    );
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, sentence))
}

/// What the path says, with the file's keys.
fn key_of(ServiceId(key): ServiceId) -> Map<String, Value> {
    let members = match key {
        ServiceKey::Mark(mark) => json!({ "mark": mark }),
        ServiceKey::Mark6(mark) => json!({ "mark": mark, "family": "ipv6" }),
        ServiceKey::Address {
            protocol,
            virtual_endpoint,
        } => json!({
            "protocol": protocol.name(),
            "vip": virtual_endpoint.addr,
            "port": virtual_endpoint.port,
        }),
    };
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn path_of(id: ServiceId) -> String {
    format!("/v1/services/{id}")
}

fn refuse_repeated(services: &[Service]) -> Result<(), Refusal> {
    let mut seen = std::collections::HashSet::new();
    let twice = services.iter().find(|service| !seen.insert(service.key()));
    twice.map_or(Ok(()), |service| {
        let sentence = format!("{} is there twice: take one away", ServiceId(service.key()));
        Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, sentence))
    })
}
