//! The rules for firewall marks: a list whose order counts, so read and written as a whole.

use std::cell::RefCell;
use std::path::Path;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::Api;
use super::body;
use super::change;
use super::condition::{Condition, Tag};
use super::configuration::replace_by;
use super::refusal::Refusal;
use super::server::aside;
use crate::config::Config;
use crate::view::MarkWritten;

/// The rules for firewall marks, in the order in which they are asked
#[utoipa::path(get, path = "/v1/marks", tag = "marks",
    responses((status = 200, body = Vec<MarkWritten>, headers(("ETag" = String)))))]
pub(super) async fn list(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Refusal> {
    let config = api.gateway.config();
    let marks = config.marks();
    Ok(Condition::read(&headers).shown(&Tag::of(&marks)?, Json(marks)))
}

/// Makes the rules for firewall marks those of the body, all of them or none
#[utoipa::path(put, path = "/v1/marks", tag = "marks",
    request_body = Vec<MarkWritten>,
    responses((status = 200, body = Vec<MarkWritten>, headers(("ETag" = String)))))]
pub(super) async fn replace(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let marks = Value::Array(body::array(&headers, body)?);
    let condition = Condition::read(&headers);
    aside(move || {
        let now = RefCell::new(Vec::new());
        let applied = replace_by(&api, |config, _| {
            condition.allows_change("the list of marks", &Tag::of(&config.marks())?)?;
            let mut json = serde_json::to_value(config)?;
            if let Value::Object(members) = &mut json {
                members.insert("mark".to_owned(), marks.clone());
            }
            let (config, _) = Config::from_json(&json, Path::new("marks"))
                .inspect_err(|_| api.gateway.refuse_unread())?;
            *now.borrow_mut() = config.marks().to_vec();
            Ok(config)
        })?;
        change::changed(StatusCode::OK, &now.into_inner(), &applied)
    })
    .await?
}
