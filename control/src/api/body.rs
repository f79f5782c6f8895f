//! What a request brings: JSON, and its type.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::refusal::Refusal;

/// The type of a body in TOML (registered with IANA).
pub(super) const TOML: &str = "application/toml";

/// The type of a body in JSON.
pub(super) const JSON: &str = "application/json";

/// The type of a merge patch (RFC 7396 §4).
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// The JSON of a body that must be of one of these types.
pub(super) fn json(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    types: &[&str],
) -> Result<Value, Refusal> {
    let body = body?;
    type_of(headers, types)?;
    parse(&body)
}

/// The JSON object that [`json`] must find.
pub(super) fn object(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    types: &[&str],
) -> Result<Value, Refusal> {
    let json = json(headers, body, types)?;
    if json.is_object() {
        return Ok(json);
    }
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "the body must be a JSON object, like {\"weight\": 2}",
    ))
}

/// The JSON array that [`json`] must find.
pub(super) fn array(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Vec<Value>, Refusal> {
    match json(headers, body, &[JSON])? {
        Value::Array(items) => Ok(items),
        _ => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the body must be a JSON array: the whole list, in its order",
        )),
    }
}

/// The JSON of these bytes.
pub(super) fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let sentence = format!("the body is not JSON: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, sentence)
    })
}

/// Which of `types` the body is of.
pub(super) fn type_of<'a>(headers: &HeaderMap, types: &[&'a str]) -> Result<&'a str, Refusal> {
    let written = headers.get(header::CONTENT_TYPE);
    let written = written
        .and_then(|value| value.to_str().ok())
        .map(media_type);
    let known = types.iter().copied().find(|known| {
        let known = |written: &str| written.eq_ignore_ascii_case(known);
        written.is_some_and(known)
    });
    known.ok_or_else(|| {
        let sentence = format!(
            "the body has no type known here: send Content-Type: {}",
            types.join(" or ")
        );
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence)
    })
}

/// A type without its parameters (RFC 9110 §8.3.1).
pub(super) fn media_type(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}
