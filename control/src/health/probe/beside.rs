//! Moves a connection's bytes while something is asked over it.

use std::pin::pin;

/// What `work` comes to, with `connection` running beside it. Both end with the caller's future:
/// nothing is spawned that could outlive a check.
pub(super) async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        _ = connection => {}
    }
    // With the connection gone, all that the work may wait for is there or fails.
    work.await
}
