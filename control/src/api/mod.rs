//! The API: HTTP/1.1 and JSON over a Unix socket.
//!
//! | Request                  | Answer |
//! |--------------------------|--------|
//! | `GET /v1/status`         | [`StatusView`](crate::view::StatusView): workers, interfaces, local addresses, drops, warnings |
//! | `GET /v1/health`         | [`HealthView`](crate::view::HealthView); 503 when something is wrong |
//! | `GET /v1/version`        | [`VersionView`](crate::view::VersionView) |
//! | `GET /v1/services`       | a list of [`ServiceView`](crate::view::ServiceView), in the order of the configuration |
//! | `GET /v1/sessions`       | [`SessionsView`](crate::view::SessionsView): one page; see below |
//! | `GET /v1/sessions/export` | all of them, one line of JSON each |
//! | `POST /v1/sessions/import` | brings the sessions of such lines in: [`ImportView`](crate::view::ImportView) |
//! | `GET /v1/sysctl`         | the variables of IPVS: a list of [`SysctlView`](crate::view::SysctlView) |
//! | `GET /v1/sysctl/{name}`  | one of them |
//! | `PUT /v1/sysctl/{name}`  | sets it to the number in the body, until a configuration is applied |
//! | `GET /v1/config`         | the configuration that runs, as JSON; as TOML with `?format=toml` or `Accept: application/toml` |
//! | `PUT /v1/config`         | makes the body the configuration, all of it or none: [`AppliedView`](crate::view::AppliedView) |
//! | `POST /v1/config/check`  | says what `PUT` would, and changes nothing: [`CheckedView`](crate::view::CheckedView) |
//!
//! Sessions are filtered by `client`, `vip`, `server` (addresses) and `protocol`, and come in
//! pages of `limit` (100 unless told, 10,000 at most); `next_cursor` of one page is `cursor` of
//! the next. A listing is no snapshot: sessions begin and end while it is read.
//!
//! An export takes the same filters, and ends early, without the end of its last chunk, when a
//! worker does not answer. It is what an import reads, at any length and with any type; lines that
//! are no sessions are counted and named, and the rest goes on. `docs/sessions.md` describes them.
//!
//! The body of `PUT` and `POST` of a configuration is a file as [`config`](crate::config) describes it, with
//! `Content-Type: application/toml`, or the JSON that `GET /v1/config` gives, with
//! `application/json`. `?name=` is what errors call it (`api` when not said).
//!
//! Whatever is refused has an [`ErrorView`](crate::view::ErrorView) as its body, one sentence a
//! problem: 400 for a question that makes no sense or a variable's impossible value, 404 and 405 for a path or method there is
//! not, 409 for a change that needs a restart or a second import at the same time, 413 for a body above 64 MiB, 415 for a body of
//! another type, 422 for a configuration with mistakes (all of them, each with its line), 503
//! for a worker that does not answer.
//!
//! ```text
//! curl --unix-socket /run/sluice/sluice.sock http://sluice/v1/services
//! curl --unix-socket /run/sluice/sluice.sock http://sluice/v1/config -X PUT \
//!      -H 'Content-Type: application/toml' --data-binary @gateway.toml
//! ```

/// The socket file: its rights, its group, and what stood in its place.
mod socket;

/// Runs an HTTP server until it is told to stop, and no longer.
pub(crate) mod server;

/// What went wrong, as a status and sentences.
mod refusal;

/// Questions about the running gateway.
mod questions;

/// Sessions as lines: exported, imported.
mod transfer;

/// The variables of IPVS: shown, set.
mod sysctl;

/// The configuration: shown, checked, replaced.
mod configuration;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::routing::{get, post};

use crate::gateway::Gateway;
use refusal::Refusal;

pub use socket::{ApiSocket, SocketError};

/// The longest body, in bytes: a configuration of 100,000 real servers has about 10 MiB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Answers on `socket` until `shutdown` completes; then removes the socket file.
///
/// # Errors
///
/// When the socket cannot be used with this thread's tokio runtime.
pub async fn serve(
    socket: ApiSocket,
    gateway: Arc<Gateway>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    server::run(socket.listener()?, router(gateway), shutdown).await
}

/// The paths of the API.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let variable = get(sysctl::show).put(sysctl::set);
    let config = get(configuration::show).put(configuration::replace);
    Router::new()
        .route("/v1/status", get(questions::status))
        .route("/v1/health", get(questions::health))
        .route("/v1/version", get(questions::version))
        .route("/v1/services", get(questions::services))
        .route("/v1/sessions", get(questions::sessions))
        .route("/v1/sessions/export", get(transfer::export))
        .route("/v1/sessions/import", post(transfer::import))
        .route("/v1/sysctl", get(sysctl::list))
        .route("/v1/sysctl/{name}", variable)
        .route("/v1/config", config)
        .route("/v1/config/check", post(configuration::check))
        .fallback(async |uri: Uri| Refusal::no_such_path(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Refusal::no_such_method(&method, uri.path())
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(gateway)
}
