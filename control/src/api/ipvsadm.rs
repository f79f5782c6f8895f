//! `ipvsadm` over the API: its words and standard input there, its output and exit code back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Json, Router};

use super::peer::Asker;
use super::refusal::Refusal;
use super::server::aside;
use crate::gateway::Gateway;
use crate::ipvs::{Call, Reply};

/// Does what `ipvsadm` would with these words
///
/// That it refuses something is a reply too. Who may only read may list.
#[utoipa::path(post, path = "/v1/ipvsadm", tag = "services", request_body = Call,
    responses((status = 200, body = Reply)))]
pub(super) async fn at_gateway(
    State(gateway): State<Arc<Gateway>>,
    Extension(asker): Extension<Asker>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reply>, Refusal> {
    let call = read(&body?)?;
    if !call.only_asks() {
        asker.writes()?;
    }
    Ok(Json(aside(move || gateway.ipvsadm(&call)).await?))
}

/// `POST /v1/ipvsadm` alone, for whoever can open the socket: `answer` gives the [`Reply`] to a
/// [`Call`].
pub fn ipvsadm<A>(answer: A) -> Router
where
    A: Fn(&Call) -> Reply + Clone + Send + Sync + 'static,
{
    let run = async move |body: Result<Bytes, BytesRejection>| -> Result<Json<Reply>, Refusal> {
        let call = read(&body?)?;
        let answer = answer.clone();
        Ok(Json(aside(move || answer(&call)).await?))
    };
    Router::new().route("/v1/ipvsadm", post(run))
}

fn read(body: &[u8]) -> Result<Call, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let sentence = format!(
            "the body is no call of ipvsadm, like {{\"args\": [\"-Ln\"], \"stdin\": \"\"}}: {error}"
        );
        Refusal::new(StatusCode::BAD_REQUEST, sentence)
    })
}
