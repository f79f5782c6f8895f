//! The real servers of a service: all, and each.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::body::{self, JSON, MERGE_PATCH};
use super::change::{self, Planned};
use super::condition::{Condition, Tag};
use super::identifier::{ServerId, ServiceId};
use super::merge::merged;
use super::refusal::Refusal;
use super::server::aside;
use super::services::{existing, put_of};
use crate::config::{Config, Server, Service};
use crate::gateway::Gateway;
use crate::view::ServerWritten;

/// The servers of a service, as they are written
#[utoipa::path(get, path = "/v1/services/{service}/servers", tag = "servers",
    params(("service" = String, Path)),
    responses((status = 200, body = Vec<ServerWritten>, headers(("ETag" = String)))))]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let config = gateway.config();
    let servers = &existing(&config, id)?.servers;
    Ok(Condition::read(&headers).shown(&Tag::of(servers)?, Json(servers)))
}

/// Adds a server that is not there yet
#[utoipa::path(post, path = "/v1/services/{service}/servers", tag = "servers",
    params(("service" = String, Path)),
    request_body = ServerWritten,
    responses((status = 201, body = ServerWritten,
        headers(("ETag" = String), ("Location" = String)))))]
pub(super) async fn add(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let json = body::object(&headers, body, &[JSON])?;
    aside(move || {
        let (server, applied) = change::make(&gateway, |config| {
            let before = existing(config, id)?;
            let server = Server::from_json(&json, id.0.port(), FilePath::new("server"))?;
            if find(before, ServerId(server.endpoint)).is_some() {
                let name = ServerId(server.endpoint);
                let sentence =
                    format!("the server {name} of {id} is there already: PUT or PATCH it");
                return Err(Refusal::new(StatusCode::CONFLICT, sentence));
            }
            Ok(with(id, before, server))
        })?;
        let path = path_of(id, ServerId(server.endpoint));
        change::created_at(&path, &server, &applied)
    })
    .await?
}

/// Makes the servers of a service those of the body, all of them or none
#[utoipa::path(put, path = "/v1/services/{service}/servers", tag = "servers",
    params(("service" = String, Path)),
    request_body = Vec<ServerWritten>,
    responses((status = 200, body = Vec<ServerWritten>, headers(("ETag" = String)))))]
pub(super) async fn replace_all(
    State(gateway): State<Arc<Gateway>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let id = ServiceId::parse(&service)?;
    let items = body::array(&headers, body)?;
    let condition = Condition::read(&headers);
    aside(move || {
        let (after, applied) = change::make(&gateway, |config| {
            let before = existing(config, id)?;
            let what = format!("the list of servers of {id}");
            condition.allows_change(&what, &Tag::of(&before.servers)?)?;
            let read = |(index, json)| {
                Server::from_json(
                    json,
                    id.0.port(),
                    FilePath::new(&format!("server[{index}]")),
                )
            };
            let servers = items.iter().enumerate().map(read);
            let servers = servers.collect::<Result<Vec<_>, _>>()?;
            Ok(put_of(
                id,
                Some(before),
                Service {
                    servers,
                    ..before.clone()
                },
            ))
        })?;
        change::changed(StatusCode::OK, &after.servers, &applied)
    })
    .await?
}

/// A server of a service, as it is written
#[utoipa::path(get, path = "/v1/services/{service}/servers/{server}", tag = "servers",
    params(
        ("service" = String, Path),
        ("server" = String, Path)),
    responses((status = 200, body = ServerWritten, headers(("ETag" = String)))))]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path((service, server)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (service, server) = (ServiceId::parse(&service)?, ServerId::parse(&server)?);
    let config = gateway.config();
    let (_, server) = both(&config, service, server)?;
    Ok(Condition::read(&headers).shown(&Tag::of(server)?, Json(server)))
}

/// Makes a server what the body says, whether it is there or not
///
/// The body may leave out what the path says: `address` and `port`.
#[utoipa::path(put, path = "/v1/services/{service}/servers/{server}", tag = "servers",
    params(
        ("service" = String, Path),
        ("server" = String, Path)),
    request_body = ServerWritten,
    responses(
        (status = 200, body = ServerWritten, headers(("ETag" = String))),
        (status = 201, body = ServerWritten, headers(("ETag" = String), ("Location" = String)))))]
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    Path((service, server)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let (id, name) = (ServiceId::parse(&service)?, ServerId::parse(&server)?);
    let json = body::object(&headers, body, &[JSON])?;
    let condition = Condition::read(&headers);
    aside(move || {
        let server = read(name, json)?;
        let (is_new, applied) = change::make(&gateway, |config| {
            let service = existing(config, id)?;
            let before = find(service, name);
            match before {
                Some(before) => allow(&condition, id, before)?,
                None => condition.allows_making(&format!("server {name} of {id}"))?,
            }
            Ok(with(id, service, server.clone()).map(|_| before.is_none()))
        })?;
        change::put_at(&path_of(id, name), is_new, &server, &applied)
    })
    .await?
}

/// Changes what the body names of a server, by a merge patch (RFC 7396)
#[utoipa::path(patch, path = "/v1/services/{service}/servers/{server}", tag = "servers",
    params(
        ("service" = String, Path),
        ("server" = String, Path)),
    request_body(content(
        (ServerWritten = "application/merge-patch+json"), (ServerWritten = "application/json"))),
    responses((status = 200, body = ServerWritten, headers(("ETag" = String)))))]
pub(super) async fn patch(
    State(gateway): State<Arc<Gateway>>,
    Path((service, server)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let (id, name) = (ServiceId::parse(&service)?, ServerId::parse(&server)?);
    let patch = body::object(&headers, body, &[MERGE_PATCH, JSON])?;
    let condition = Condition::read(&headers);
    aside(move || {
        let (server, applied) = change::make(&gateway, |config| {
            let (service, before) = both(config, id, name)?;
            allow(&condition, id, before)?;
            let server = read(name, merged(serde_json::to_value(before)?, patch.clone()))?;
            Ok(with(id, service, server))
        })?;
        change::changed(StatusCode::OK, &server, &applied)
    })
    .await?
}

/// Removes a server; its sessions go on until they end
#[utoipa::path(delete, path = "/v1/services/{service}/servers/{server}", tag = "servers",
    params(
        ("service" = String, Path),
        ("server" = String, Path)),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path((service, server)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (id, name) = (ServiceId::parse(&service)?, ServerId::parse(&server)?);
    let condition = Condition::read(&headers);
    aside(move || {
        let (_, applied) = change::make(&gateway, |config| {
            let (service, before) = both(config, id, name)?;
            allow(&condition, id, before)?;
            let mut after = service.clone();
            after.servers.retain(|server| server.endpoint != name.0);
            Ok(put_of(id, Some(service), after))
        })?;
        Ok(change::gone(&applied))
    })
    .await?
}

fn find(service: &Service, name: ServerId) -> Option<&Server> {
    let mut servers = service.servers.iter();
    servers.find(|server| server.endpoint == name.0)
}

/// The service and its server, which must be there.
fn both(config: &Config, id: ServiceId, name: ServerId) -> Result<(&Service, &Server), Refusal> {
    let service = existing(config, id)?;
    let server = find(service, name).ok_or_else(|| {
        let sentence =
            format!("{id} has no server {name}: GET /v1/services/{id}/servers lists them");
        Refusal::new(StatusCode::NOT_FOUND, sentence)
    })?;
    Ok((service, server))
}

fn allow(condition: &Condition, id: ServiceId, before: &Server) -> Result<(), Refusal> {
    let name = ServerId(before.endpoint);
    condition.allows_change(&format!("the server {name} of {id}"), &Tag::of(before)?)
}

/// The service with this server, in the place of the one with its address and port.
fn with(id: ServiceId, before: &Service, server: Server) -> Planned<Server> {
    let mut after = before.clone();
    let name = server.endpoint;
    match after.servers.iter_mut().find(|it| it.endpoint == name) {
        Some(place) => *place = server.clone(),
        None => after.servers.push(server.clone()),
    }
    put_of(id, Some(before), after).map(|_| server)
}

/// The server of a body that may leave out what the path says.
fn read(name: ServerId, mut json: Value) -> Result<Server, Refusal> {
    let ServerId(end) = name;
    if let Value::Object(members) = &mut json {
        for (key, said) in [
            ("address", end.addr.to_string().into()),
            ("port", end.port.into()),
        ] {
            let place = members.entry(key).or_insert(Value::Null);
            if place.is_null() {
                *place = said;
            }
        }
    }
    let server = Server::from_json(&json, end.port, FilePath::new(&name.to_string()))?;
    if server.endpoint == end {
        return Ok(server);
    }
    let sentence = format!(
        "the path names {name}, but the body {}: add the one, and remove the other",
        ServerId(server.endpoint)
    );
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, sentence))
}

fn path_of(id: ServiceId, name: ServerId) -> String {
    format!("/v1/services/{id}/servers/{name}")
}
