//! Who asks, and what they may: by the kernel's word on the process that connected.
//!
//! ```text
//! root, the gateway's own user, the control group    everything
//! anybody else, with others = "read"                 GET
//! anybody else, with others = "nothing"              nothing (the socket file keeps them out)
//! ```
//!
//! A request that may change something is refused here unless its peer may, before its handler
//! sees it; what decides by what it is asked has the [`Asker`] to ask. What is asked far below a
//! handler asks for the user of its task: [`is_trusted`], [`is`].

use std::io;
use std::sync::Arc;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use nix::unistd::{Gid, Group, Uid};
use tokio::net::{UnixListener, UnixStream};

use super::peer_groups;
use super::refusal::Refusal;
use crate::config::Others;
use crate::gateway::actor;

/// The path whose `POST` decides by what it is asked whether it changes something.
const DECIDES_ITSELF: &str = "/v1/ipvsadm";

/// What whom is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    /// The group that may change the gateway.
    pub(super) group: Option<Group>,
    /// What everybody else may.
    pub(super) others: Others,
}

/// Whether root asks, or the gateway's own user, who may do what the gateway may.
pub(super) fn is_trusted() -> bool {
    actor::user().is_some_and(may_all)
}

/// Whether this user asks.
pub(super) fn is(user: Uid) -> bool {
    actor::user() == Some(user)
}

fn may_all(user: Uid) -> bool {
    user.is_root() || user == Uid::effective()
}

/// The process at the other end, as it was when it connected.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its user, group and supplementary groups; nothing if the kernel would not say.
    identity: Option<(Uid, Vec<Gid>)>,
}

impl Peer {
    /// The peer of a socket.
    fn of(stream: &UnixStream) -> Self {
        let identity = || -> io::Result<_> {
            let credentials = stream.peer_cred()?;
            let groups = peer_groups::of(stream)?;
            let groups = std::iter::once(credentials.gid()).chain(groups);
            let user = Uid::from_raw(credentials.uid());
            Ok((user, groups.map(Gid::from_raw).collect()))
        };
        let identity = identity().inspect_err(|error| {
            tracing::warn!("a process connected, and the kernel does not say who it is: {error}");
        });
        Self {
            identity: identity.ok(),
        }
    }

    /// Whether it may change the gateway.
    fn may_write(&self, rights: &Rights) -> bool {
        let Some((user, groups)) = &self.identity else {
            return false;
        };
        let group = rights.group.as_ref();
        may_all(*user) || group.is_some_and(|group| groups.contains(&group.gid))
    }

    /// As [`Self::may`]; what is refused is a line of the log, which names the `request`.
    fn writes(&self, rights: &Rights, request: &str) -> Result<(), Refusal> {
        self.may(rights).inspect_err(|_| {
            let user = self.identity.as_ref().map(|(user, _)| user.as_raw());
            let who = user.map_or_else(|| "an unknown user".to_owned(), |it| format!("user {it}"));
            tracing::warn!(user, "{who} is not allowed {request}");
        })
    }

    /// Nothing if it may change the gateway.
    ///
    /// # Errors
    ///
    /// 403 with a sentence that names who may.
    fn may(&self, rights: &Rights) -> Result<(), Refusal> {
        if self.may_write(rights) {
            return Ok(());
        }
        let whom = match &rights.group {
            Some(group) => format!("root and members of the group \"{}\"", group.name),
            None => "root (name a group as `control_group` to let its members)".to_owned(),
        };
        let who = match &self.identity {
            Some((user, _)) => format!("you are user {user}"),
            None => "the kernel does not say who you are".to_owned(),
        };
        let sentence = match rights.others {
            Others::Read => format!("only {whom} may change the gateway: {who}, and may read"),
            Others::Nothing => format!("only {whom} may speak to the gateway: {who}"),
        };
        Err(Refusal::new(StatusCode::FORBIDDEN, sentence))
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::of(stream.io())
    }
}

/// Who asks, for routes that decide themselves whether they change something.
#[derive(Clone)]
pub(super) struct Asker {
    peer: Peer,
    rights: Arc<Rights>,
    request: String,
}

impl Asker {
    /// Nothing if it may change the gateway.
    ///
    /// # Errors
    ///
    /// 403 with a sentence that names who may.
    pub(super) fn writes(&self) -> Result<(), Refusal> {
        self.peer.writes(&self.rights, &self.request)
    }
}

/// Lets a request pass, or refuses it, by who asks.
pub(super) async fn admit(
    State(rights): State<Arc<Rights>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let decides_itself =
        *request.method() == Method::POST && request.uri().path() == DECIDES_ITSELF;
    let asked = asked(&request);
    if rights.others == Others::Nothing || !(reads || decides_itself) {
        peer.writes(&rights, &asked)?;
    }
    let user = peer.identity.as_ref().map(|(user, _)| *user);
    let asker = Asker {
        peer,
        rights,
        request: asked,
    };
    request.extensions_mut().insert(asker);
    Ok(actor::awaited(user, next.run(request)).await)
}

/// What is asked for, in words that whoever asks does not choose: they go into the log.
fn asked(request: &Request) -> String {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("a path that there is not", MatchedPath::as_str);
    match *request.method() {
        Method::GET | Method::HEAD => format!("GET {path}"),
        Method::POST => format!("POST {path}"),
        Method::PUT => format!("PUT {path}"),
        Method::PATCH => format!("PATCH {path}"),
        Method::DELETE => format!("DELETE {path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(group: Option<u32>, others: Others) -> Rights {
        let group = group.map(|gid| Group {
            name: "balancers".to_owned(),
            passwd: c"x".to_owned(),
            gid: Gid::from_raw(gid),
            mem: Vec::new(),
        });
        Rights { group, others }
    }

    /// A user who is neither root nor whoever runs the tests.
    fn somebody(groups: &[u32]) -> Peer {
        let user = Uid::from_raw(Uid::effective().as_raw() + 7_001);
        let groups = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        Peer {
            identity: Some((user, groups)),
        }
    }

    #[test]
    fn root_the_own_user_and_the_group_may_write() {
        let of_user = |user| Peer {
            identity: Some((user, vec![])),
        };
        let nobodys = rights(None, Others::Read);
        let groups = rights(Some(77), Others::Read);

        assert!(of_user(Uid::from_raw(0)).may_write(&nobodys));
        assert!(of_user(Uid::effective()).may_write(&nobodys));
        assert!(!somebody(&[77]).may_write(&nobodys));
        assert!(somebody(&[5, 77]).may_write(&groups));
        assert!(!somebody(&[5]).may_write(&groups));
        assert!(!Peer { identity: None }.may_write(&groups));
    }

    #[test]
    fn a_refusal_names_who_may() {
        let sentence = |peer: &Peer, rights| peer.may(&rights).unwrap_err().sentences().concat();
        let user = Uid::effective().as_raw() + 7_001;

        assert_eq!(
            sentence(&somebody(&[]), rights(Some(77), Others::Read)),
            format!(
                "only root and members of the group \"balancers\" may change the gateway: you are \
                 user {user}, and may read"
            )
        );
        assert_eq!(
            sentence(&somebody(&[]), rights(None, Others::Nothing)),
            format!(
                "only root (name a group as `control_group` to let its members) may speak to the \
                 gateway: you are user {user}"
            )
        );
        assert_eq!(
            sentence(&Peer { identity: None }, rights(None, Others::Read)),
            "only root (name a group as `control_group` to let its members) may change the \
             gateway: the kernel does not say who you are, and may read"
        );
    }
}
