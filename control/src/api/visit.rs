//! Real servers, looked at from the gateway's side.

use std::io;
use std::sync::Arc;
use std::thread;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use tokio::sync::oneshot;

use super::refusal::Refusal;
use crate::gateway::Gateway;
use crate::view::{VisitQuery, VisitedView};

/// Looks at real servers for the mistakes of setting them up
///
/// Asks each of them by ARP, TCP, UDP and ICMP, as far as its method and transport go; takes some
/// seconds for each.
#[utoipa::path(post, path = "/v1/realserver-check", tag = "servers", request_body = VisitQuery,
    responses((status = 200, body = Vec<VisitedView>)))]
pub(super) async fn visit(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<VisitQuery>, JsonRejection>,
) -> Result<Json<Vec<VisitedView>>, Refusal> {
    let Json(query) = body?;
    let (done, visited) = oneshot::channel();
    // On a thread for which a gateway that stops does not wait.
    thread::Builder::new()
        .name("visit".to_owned())
        .spawn(move || {
            // Who has gone away has closed it.
            let visited = gateway.visit(&query, &|| !done.is_closed());
            done.send(visited).is_ok()
        })?;
    Ok(Json(visited.await.map_err(io::Error::other)??))
}
