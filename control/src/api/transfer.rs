//! Sessions as lines of JSON, in either direction, however many: neither end holds them all.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::refusal::Refusal;
use crate::gateway::{Gateway, ImportError};
use crate::view::{ImportView, SessionsQuery};

/// The type of lines of JSON (github.com/ndjson/ndjson-spec, §3.3).
const LINES: &str = "application/x-ndjson";

/// All sessions, one line of JSON each
///
/// It takes the filters of a listing, and ends early, without the end of its last chunk, when a
/// worker does not answer.
#[utoipa::path(get, path = "/v1/sessions/export", tag = "sessions", params(SessionsQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(super) async fn export(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let lines = Body::from_stream(gateway.export(&query)?);
    Ok(([(header::CONTENT_TYPE, LINES)], lines).into_response())
}

/// Brings the sessions of such lines in
///
/// At any length and with any type. Lines that are no sessions are counted and named, and the rest
/// goes on.
#[utoipa::path(post, path = "/v1/sessions/import", tag = "sessions",
    request_body(content((String = "application/x-ndjson"), (String = "text/plain"))),
    responses((status = 200, body = ImportView)))]
pub(super) async fn import(
    State(gateway): State<Arc<Gateway>>,
    body: Body,
) -> Result<Json<ImportView>, Refusal> {
    let mut import = gateway.import()?;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ImportError::BrokenOff(error.to_string()))?;
        import.take(&piece).await?;
    }
    Ok(Json(import.finish().await?))
}
