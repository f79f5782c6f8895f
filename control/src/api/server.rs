//! Runs an HTTP server until it is told to stop, and no longer.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::gateway::actor;

/// How long requests under way may take once the server was told to stop.
const LAST_REQUESTS: Duration = Duration::from_millis(300);

/// Serves until `shutdown` completes and requests under way have ended, or [`LAST_REQUESTS`] later.
/// `serve` begins a server that ends gracefully when it is told to.
pub(crate) async fn run<S>(
    serve: impl FnOnce(BoxFuture<'static, ()>) -> S,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    S: IntoFuture<Output = io::Result<()>>,
{
    let (tell, told) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // Nobody listens when the server has ended before.
        let _ended = tell.send(());
    };
    let patience = async {
        let _told = told.await;
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        ended = serve(shutdown.boxed()).into_future() => ended,
        () = patience => Ok(()),
    }
}

/// Computes on a thread on which waiting hurts nobody, as with 100,000 servers it may take a
/// while. Who asked for it is known there, too.
///
/// # Errors
///
/// Only when the runtime is ending, or `work` has panicked.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let user = actor::user();
    tokio::task::spawn_blocking(move || actor::done(user, work))
        .await
        .map_err(io::Error::other)
}
