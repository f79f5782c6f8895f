//! The variables of IPVS: shown, set.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::StringRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::condition::{Condition, Tag};
use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::view::SysctlView;

/// The variables of IPVS, sorted by name
#[utoipa::path(get, path = "/v1/sysctl", tag = "variables",
    responses((status = 200, body = Vec<SysctlView>)))]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
) -> Result<Json<Vec<SysctlView>>, Refusal> {
    Ok(Json(aside(move || gateway.sysctls()).await?))
}

/// A variable of IPVS
#[utoipa::path(get, path = "/v1/sysctl/{name}", tag = "variables",
    params(("name" = String, Path)),
    responses((status = 200, body = SysctlView, headers(("ETag" = String)))))]
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let view = aside(move || gateway.sysctl(&name)).await??;
    Ok(Condition::read(&headers).shown(&Tag::of(&view)?, Json(view)))
}

/// Sets a variable of IPVS to the number in the body, until a configuration is applied
#[utoipa::path(put, path = "/v1/sysctl/{name}", tag = "variables",
    params(("name" = String, Path)),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, body = SysctlView, headers(("ETag" = String)))))]
pub(super) async fn set(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Result<Response, Refusal> {
    let value = body?;
    let condition = Condition::read(&headers);
    aside(move || {
        let _one_at_a_time = api.variables.lock();
        let before = api.gateway.sysctl(&name)?;
        condition.allows_change(&format!("the variable {name}"), &Tag::of(&before)?)?;
        let view = api.gateway.set_sysctl(&name, &value)?;
        let tag = Tag::of(&view)?;
        let mut response = Json(view).into_response();
        response.headers_mut().extend(tag.header());
        Ok(response)
    })
    .await?
}
