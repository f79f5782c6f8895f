//! What would become of a packet, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};

use super::refusal::Refusal;
use crate::gateway::Gateway;
use crate::view::{ExplainQuery, ExplainView};

/// What would become of a packet, and why; nothing is sent
#[utoipa::path(get, path = "/v1/explain", tag = "status", params(ExplainQuery),
    responses((status = 200, body = ExplainView)))]
pub(super) async fn explain(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<ExplainView>, Refusal> {
    let Query(query) = query?;
    Ok(Json(gateway.explain(&query).await?))
}
