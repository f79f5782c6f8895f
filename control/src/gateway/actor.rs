//! Who has asked for what happens now: the user of the process at the other end of the API's socket.

use nix::unistd::Uid;

tokio::task_local! {
    static USER: Uid;
}

/// Does `work` for `user`; as before for nobody.
pub(crate) async fn awaited<T>(user: Option<Uid>, work: impl Future<Output = T>) -> T {
    match user {
        Some(user) => USER.scope(user, work).await,
        None => work.await,
    }
}

/// As [`awaited`], on this thread.
pub(crate) fn done<T>(user: Option<Uid>, work: impl FnOnce() -> T) -> T {
    match user {
        Some(user) => USER.sync_scope(user, work),
        None => work(),
    }
}

/// The user for whom this happens; none when the gateway does it by itself.
pub(crate) fn user() -> Option<Uid> {
    USER.try_with(|user| *user).ok()
}
