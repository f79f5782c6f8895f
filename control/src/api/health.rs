//! What is known of the servers that are watched; servers that the operator takes out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;

use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::{DrainQuery, DrainView, ServiceHealthView};

/// The services whose servers are watched: states, checks, weights and their reasons
#[utoipa::path(get, path = "/v1/health/services", tag = "status",
    responses((status = 200, body = [ServiceHealthView])))]
pub(super) async fn services(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<ServiceHealthView>>, Refusal> {
    Ok(Json(aside(move || gateway.watched()).await?))
}

/// Takes servers out: they are not checked, and get no sessions
#[utoipa::path(post, path = "/v1/disable", tag = "servers", request_body = DrainQuery,
    responses((status = 200, body = DrainView)))]
pub(super) async fn disable(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<DrainQuery>, JsonRejection>,
) -> Result<Json<DrainView>, Refusal> {
    let Json(query) = body?;
    Ok(Json(aside(move || gateway.disable(&query)).await??))
}

/// Brings servers back that were taken out
#[utoipa::path(post, path = "/v1/enable", tag = "servers", request_body = DrainQuery,
    responses((status = 200, body = DrainView)))]
pub(super) async fn enable(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<DrainQuery>, JsonRejection>,
) -> Result<Json<DrainView>, Refusal> {
    let Json(query) = body?;
    Ok(Json(aside(move || gateway.enable(&query)).await??))
}
