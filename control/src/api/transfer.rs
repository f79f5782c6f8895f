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
use crate::gateway::{Gateway, Import, ImportError, diary};
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
    let import = gateway.import()?;
    // Who goes away in the middle leaves no other line.
    diary::write_request(false, "sessions are being imported");
    let imported = all_of(import, body).await;
    match &imported {
        Ok(view) => diary::write_request(false, &summary(view)),
        Err(error) => {
            let sentence = format!("the import of sessions has ended early: {error}");
            diary::write_request(true, &sentence);
        }
    }
    Ok(Json(imported?))
}

async fn all_of(mut import: Import, body: Body) -> Result<ImportView, ImportError> {
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ImportError::BrokenOff(error.to_string()))?;
        import.take(&piece).await?;
    }
    import.finish().await
}

fn summary(view: &ImportView) -> String {
    let refused = [
        view.no_such_service,
        view.no_such_server,
        view.local_port_not_free,
        view.table_full,
        view.not_understood,
    ];
    format!(
        "sessions were imported: {} came in, {} were there, {} were refused",
        view.imported,
        view.already_there,
        refused.iter().sum::<u64>()
    )
}
