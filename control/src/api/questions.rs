//! Questions about the running gateway.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;

use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::{HealthView, ServiceView, SessionsQuery, SessionsView, StatusView, VersionView};

pub(super) async fn status(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<StatusView>, Refusal> {
    Ok(Json(aside(move || gateway.status()).await?))
}

pub(super) async fn health(State(gateway): State<Arc<Gateway>>) -> (StatusCode, Json<HealthView>) {
    let health = gateway.health();
    let status = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health))
}

pub(super) async fn version(State(gateway): State<Arc<Gateway>>) -> Json<VersionView> {
    let plane = gateway.plane();
    Json(VersionView {
        version: plane.version.clone(),
        dpdk: plane.dpdk.clone(),
    })
}

pub(super) async fn services(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<ServiceView>>, Refusal> {
    Ok(Json(aside(move || gateway.services()).await?))
}

pub(super) async fn sessions(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Json<SessionsView>, Refusal> {
    let Query(query) = query?;
    Ok(Json(gateway.sessions(&query).await?))
}
