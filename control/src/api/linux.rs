//! What the gateway has to do with the network around it: ports, and neighbours as Linux has them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::{NeighbourView, PortView};

/// The ports, with their VLANs and what they counted
///
/// They are fixed when the gateway starts.
#[utoipa::path(get, path = "/v1/ports", tag = "network",
    responses((status = 200, body = Vec<PortView>)))]
pub(super) async fn ports(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<PortView>>, Refusal> {
    Ok(Json(aside(move || gateway.ports()).await?))
}

/// A port, with its VLANs and what it counted
#[utoipa::path(get, path = "/v1/ports/{name}", tag = "network",
    params(("name" = String, Path)),
    responses((status = 200, body = PortView)))]
pub(super) async fn port(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
) -> Result<Json<PortView>, Refusal> {
    let ports = aside(move || gateway.ports()).await?;
    let port = ports.into_iter().find(|port| port.name == name);
    port.map(Json).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is no port \"{name}\": GET /v1/ports lists them"),
        )
    })
}

/// The neighbours whose addresses are known, and those that are looked for
///
/// They are Linux's: `ip neighbour` changes them.
#[utoipa::path(get, path = "/v1/neighbours", tag = "network",
    responses((status = 200, body = Vec<NeighbourView>)))]
pub(super) async fn neighbours(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<NeighbourView>>, Refusal> {
    Ok(Json(aside(move || gateway.neighbours()).await?))
}
