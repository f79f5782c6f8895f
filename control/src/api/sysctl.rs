//! The variables of IPVS: shown, set.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::StringRejection;
use axum::extract::{Path, State};

use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::SysctlView;

pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<SysctlView>>, Refusal> {
    Ok(Json(aside(move || gateway.sysctls()).await?))
}

pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
) -> Result<Json<SysctlView>, Refusal> {
    Ok(Json(aside(move || gateway.sysctl(&name)).await??))
}

pub(super) async fn set(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    body: Result<String, StringRejection>,
) -> Result<Json<SysctlView>, Refusal> {
    let value = body?;
    let set = aside(move || gateway.set_sysctl(&name, &value)).await??;
    Ok(Json(set))
}
