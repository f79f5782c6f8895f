//! Maintenance: nothing new shall come here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::condition::{Condition, Tag};
use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::{MaintenanceView, MaintenanceWish};

/// Whether maintenance is on, what is announced, and how many sessions there are
///
/// The ETag stands for whether it is on.
#[utoipa::path(get, path = "/v1/maintenance", tag = "status",
    responses((status = 200, body = MaintenanceView)))]
pub(super) async fn show(State(gateway): State<Arc<Gateway>>) -> Result<Response, Refusal> {
    let view = aside(move || gateway.maintenance()).await?;
    shown(view)
}

/// Begins maintenance, or ends it; it is forgotten when the gateway is restarted
#[utoipa::path(put, path = "/v1/maintenance", tag = "status", request_body = MaintenanceWish,
    responses((status = 200, body = MaintenanceView, headers(("ETag" = String)))))]
pub(super) async fn set(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Result<Json<MaintenanceWish>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(wish) = body?;
    let condition = Condition::read(&headers);
    aside(move || {
        let on = gateway.in_maintenance();
        condition.allows_change("maintenance", &Tag::of(&MaintenanceWish { on })?)?;
        gateway.set_maintenance(wish.on);
        shown(gateway.maintenance())
    })
    .await?
}

fn shown(view: MaintenanceView) -> Result<Response, Refusal> {
    let tag = Tag::of(&MaintenanceWish { on: view.on })?;
    let mut response = Json(view).into_response();
    response.headers_mut().extend(tag.header());
    Ok(response)
}
