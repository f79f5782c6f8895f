//! Questions about the running gateway.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;

use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::{
    HealthView, ReadinessView, ServiceView, SessionsQuery, SessionsView, StatusView, VersionView,
};

/// The gateway as a whole: workers, interfaces, local addresses, drops, warnings
#[utoipa::path(get, path = "/v1/status", tag = "status",
    responses((status = 200, body = StatusView)))]
pub(super) async fn status(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<StatusView>, Refusal> {
    Ok(Json(aside(move || gateway.status()).await?))
}

/// Whether every worker runs and has the newest configuration
#[utoipa::path(get, path = "/v1/health", tag = "status",
    responses((status = 200, body = HealthView),
        (status = 503, body = HealthView, description = "Something is wrong.")))]
pub(super) async fn health(State(gateway): State<Arc<Gateway>>) -> (StatusCode, Json<HealthView>) {
    let health = gateway.health();
    let status = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health))
}

/// Whether traffic should be sent here
///
/// It should once the gateway has started, while it is healthy, and until it is told to stop.
#[utoipa::path(get, path = "/v1/ready", tag = "status",
    responses((status = 200, body = ReadinessView),
        (status = 503, body = ReadinessView, description = "Send it elsewhere.")))]
pub(super) async fn ready(
    State(gateway): State<Arc<Gateway>>,
) -> (StatusCode, Json<ReadinessView>) {
    let readiness = gateway.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}

/// What runs
#[utoipa::path(get, path = "/v1/version", tag = "status",
    responses((status = 200, body = VersionView)))]
pub(super) async fn version(State(gateway): State<Arc<Gateway>>) -> Json<VersionView> {
    let plane = gateway.plane();
    Json(VersionView {
        version: plane.version.clone(),
        dpdk: plane.dpdk.clone(),
    })
}

/// The services at work, with their servers, sessions and traffic
///
/// In the order of the configuration; servers that were removed are there until their last sessions
/// have ended.
#[utoipa::path(get, path = "/v1/status/services", tag = "status",
    responses((status = 200, body = Vec<ServiceView>)))]
pub(super) async fn services(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<ServiceView>>, Refusal> {
    Ok(Json(aside(move || gateway.services()).await?))
}

/// A page of sessions
///
/// `next_cursor` of one page is `cursor` of the next. A listing is no snapshot: sessions begin and
/// end while it is read.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(SessionsQuery),
    responses((status = 200, body = SessionsView)))]
pub(super) async fn sessions(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Json<SessionsView>, Refusal> {
    let Query(query) = query?;
    Ok(Json(gateway.sessions(&query).await?))
}
