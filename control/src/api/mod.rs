//! The API: HTTP/1.1 and JSON over a Unix socket.
//!
//! `GET /v1/openapi.json` describes it: every path with its parameters, bodies and refusals, made
//! of the handlers below and the types of [`view`](crate::view). `docs/api.md` shows it at work.
//!
//! What is wanted has its paths under `/v1/services`, `/v1/local-pools`, `/v1/marks` and `/v1/config`,
//! in the words of the file, and an ETag each; what happens is told by `/v1/status`, `/v1/sessions`,
//! `/v1/ports`, `/v1/neighbours` and `/v1/watch`.
//!
//! ```text
//! curl --unix-socket /run/sluice/sluice.sock http://sluice/v1/services/tcp-10.1.0.100-80
//! curl --unix-socket /run/sluice/sluice.sock -X PATCH -H 'If-Match: *' --json '{"weight": 0}' \
//!      http://sluice/v1/services/tcp-10.1.0.100-80/servers/10.2.0.11-80
//! ```
//!
//! Whatever is refused has an [`ErrorView`](crate::view::ErrorView) as its body, one sentence a problem.

/// The socket file: its mode, its group, and what stood in its place.
mod socket;

/// Who asks, and what they may.
mod peer;

/// The supplementary groups of who asks.
mod peer_groups;

/// Runs an HTTP server until it is told to stop, and no longer.
pub(crate) mod server;

/// What went wrong, as a status and sentences.
mod refusal;
mod scripts;

/// Entity tags, and what a change depends on.
mod condition;

/// What a request brings.
mod body;

/// How services and servers are named in a path.
mod identifier;

/// Merge patches.
mod merge;

/// Changes that nobody comes between.
mod change;

/// Virtual services as they are written.
mod services;

/// The real servers of a service.
mod servers;

/// Local pools.
mod pools;

/// Rules for firewall marks.
mod marks;

/// Ports and neighbours.
mod linux;

/// Questions about the running gateway.
mod questions;

/// Sessions as lines: exported, imported.
mod transfer;

/// Servers on their way out, and back.
mod drain;

/// Maintenance: nothing new shall come here.
mod maintenance;

/// What is known of the servers that are watched.
mod health;

/// What would become of a packet.
mod explain;

/// Real servers, looked at from the gateway's side.
mod visit;

/// The variables of IPVS: shown, set.
mod sysctl;

/// `ipvsadm`: a call, and its reply.
mod ipvsadm;

/// The configuration: shown, checked, replaced.
mod configuration;

/// What changes, as it changes.
mod watch;

/// The OpenAPI document.
mod document;

#[cfg(test)]
mod document_tests;

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use parking_lot::Mutex;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::metrics::answers;
use condition::Tag;
use peer::Peer;
use refusal::Refusal;
use watch::History;

pub use ipvsadm::ipvsadm;
pub use socket::{ApiSocket, SocketError};

/// The longest body, in bytes: a configuration of 100,000 real servers has about 10 MiB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// What handlers work with.
#[derive(Clone)]
struct Api {
    gateway: Arc<Gateway>,
    /// Tells this start of the gateway from others.
    start: Arc<str>,
    /// Who sets a variable, so that it looks and sets as one.
    variables: Arc<Mutex<()>>,
    history: Arc<History>,
    /// The OpenAPI document.
    document: Bytes,
}

impl FromRef<Api> for Arc<Gateway> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.gateway)
    }
}

impl Api {
    fn new(gateway: Arc<Gateway>, document: Bytes) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let start = format!("{:x}", since.unwrap_or_default().as_micros());
        Self {
            gateway,
            start: start.into(),
            variables: Arc::default(),
            history: History::new(),
            document,
        }
    }

    /// The tag of what changes with the whole configuration.
    fn tag_at(&self, revision: u64) -> Tag {
        Tag::of_revision(&self.start, revision)
    }

    fn config_and_tag(&self) -> (Arc<Config>, Tag) {
        let (config, revision) = self.gateway.running_and_revision();
        (config, self.tag_at(revision))
    }
}

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
    let rights = Arc::new(socket.rights().clone());
    let answering = Arc::clone(&gateway);
    let admitted = router(gateway).layer(from_fn_with_state(rights, peer::admit));
    // Outermost, so that who is not admitted counts too.
    let counted = admitted.layer(from_fn_with_state(answering, answers::count));
    let service = counted.into_make_service_with_connect_info::<Peer>();
    let listener = socket.listener()?;
    let serve = |told| {
        let serving = axum::serve(listener, service).with_graceful_shutdown(told);
        serving.into_future()
    };
    server::run(serve, shutdown).await
}

/// The paths of the API, for whoever got in.
fn router(gateway: Arc<Gateway>) -> Router {
    let version = gateway.plane().version.clone();
    let (router, mut document) = routes().split_for_parts();
    document::complete(&mut document, &version);
    let document = document.to_json().unwrap_or_default();
    let api = Api::new(gateway, document.into());
    tokio::spawn(Arc::clone(&api.history).record(api.gateway.watch()));
    router
        .fallback(async |uri: Uri| Refusal::no_such_path(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Refusal::no_such_method(&method, uri.path())
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(api)
}

/// Every path, each with what the document says of it.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document::Document::openapi())
        .routes(routes!(questions::status))
        .routes(routes!(questions::services))
        .routes(routes!(questions::health))
        .routes(routes!(questions::ready))
        .routes(routes!(questions::version))
        .routes(routes!(watch::watch))
        .routes(routes!(
            services::list,
            services::add,
            services::replace_all
        ))
        .routes(routes!(
            services::show,
            services::put,
            services::patch,
            services::remove
        ))
        .routes(routes!(services::local_addresses))
        .routes(routes!(servers::list, servers::add, servers::replace_all))
        .routes(routes!(
            servers::show,
            servers::put,
            servers::patch,
            servers::remove
        ))
        .routes(routes!(pools::list))
        .routes(routes!(pools::show, pools::put, pools::remove))
        .routes(routes!(marks::list, marks::replace))
        .routes(routes!(linux::ports))
        .routes(routes!(linux::port))
        .routes(routes!(linux::neighbours))
        .routes(routes!(questions::sessions))
        .routes(routes!(transfer::export))
        .routes(routes!(transfer::import))
        .routes(routes!(drain::show, drain::drain))
        .routes(routes!(drain::undrain))
        .routes(routes!(maintenance::show, maintenance::set))
        .routes(routes!(health::services))
        .routes(routes!(health::disable))
        .routes(routes!(health::enable))
        .routes(routes!(explain::explain))
        .routes(routes!(visit::visit))
        .routes(routes!(ipvsadm::at_gateway))
        .routes(routes!(sysctl::list))
        .routes(routes!(sysctl::show, sysctl::set))
        .routes(routes!(configuration::show, configuration::replace))
        .routes(routes!(configuration::check))
        .routes(routes!(described))
}

/// This document
#[utoipa::path(get, path = "/v1/openapi.json", tag = "status",
    responses((status = 200, body = serde_json::Value)))]
async fn described(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, body::JSON)], api.document)
}
