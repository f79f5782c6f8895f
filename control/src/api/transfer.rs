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

pub(super) async fn export(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let lines = Body::from_stream(gateway.export(&query)?);
    Ok(([(header::CONTENT_TYPE, LINES)], lines).into_response())
}

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
