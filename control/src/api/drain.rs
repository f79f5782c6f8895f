//! Servers on their way out.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};

use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::{DrainQuery, DrainView};

/// How many sessions servers on their way out have left
#[utoipa::path(get, path = "/v1/drain", tag = "servers", params(DrainQuery),
    responses((status = 200, body = DrainView)))]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<DrainQuery>, QueryRejection>,
) -> Result<Json<DrainView>, Refusal> {
    let Query(query) = query?;
    Ok(Json(aside(move || gateway.drained(&query)).await??))
}

/// Gives servers the weight 0, so that they get no new sessions
#[utoipa::path(post, path = "/v1/drain", tag = "servers", request_body = DrainQuery,
    responses((status = 200, body = DrainView)))]
pub(super) async fn drain(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<DrainQuery>, JsonRejection>,
) -> Result<Json<DrainView>, Refusal> {
    let Json(query) = body?;
    Ok(Json(aside(move || gateway.drain(&query)).await??))
}

/// Gives servers the weights back that they had before
#[utoipa::path(post, path = "/v1/undrain", tag = "servers", request_body = DrainQuery,
    responses((status = 200, body = DrainView)))]
pub(super) async fn undrain(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<DrainQuery>, JsonRejection>,
) -> Result<Json<DrainView>, Refusal> {
    let Json(query) = body?;
    Ok(Json(aside(move || gateway.undrain(&query)).await??))
}
