//! What Linux uses an interface for, and would lose with it.

use std::fmt;
use std::net::IpAddr;

use super::routes::{self, Route};
use super::ssh;
use super::tree::Tree;

/// One use; the interface is the one that has it, which may lie above the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the way to everywhere.
    DefaultRoute(String),
    /// Somebody works on this machine over it.
    Ssh(String, IpAddr),
    /// Linux has addresses on it.
    Addresses(String, String),
    /// It is a part of another interface.
    Member(String, String),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultRoute(interface) => write!(f, "{interface} carries the default route"),
            Self::Ssh(interface, addr) => {
                write!(f, "{interface} carries an ssh session (to {addr})")
            }
            Self::Addresses(interface, subnet) => {
                write!(f, "Linux has addresses on {interface} ({subnet})")
            }
            Self::Member(interface, of) => write!(f, "{interface} is a part of {of}"),
        }
    }
}

/// All uses of an interface and of those that stand on it.
pub(super) fn uses(tree: &Tree, interface: &str) -> Vec<Use> {
    let routes = routes::all(tree);
    let mut found = Vec::new();
    for above in with_those_above(tree, interface) {
        found.extend(own_uses(tree, &routes, &above));
    }
    found
}

fn own_uses(tree: &Tree, routes: &[Route], interface: &str) -> Vec<Use> {
    let name = || interface.to_owned();
    let mut found = Vec::new();
    let own = || routes.iter().filter(|route| route.interface == interface);
    if own().any(Route::is_default) {
        found.push(Use::DefaultRoute(name()));
    }
    for session in ssh::sessions(tree) {
        // Its own subnet, and the way its answers go.
        let mut ends = [session.local, session.peer].into_iter();
        if ends.any(|end| routes::towards(routes, end) == Some(interface)) {
            found.push(Use::Ssh(name(), session.local));
            break;
        }
    }
    if let Some(Route {
        destination,
        length,
        ..
    }) = own().find(|route| !route.is_default())
    {
        let subnet = format!("{destination}/{length}");
        found.push(Use::Addresses(name(), subnet));
    }
    if let Some(master) = tree.link(&format!("/sys/class/net/{interface}/master")) {
        found.push(Use::Member(name(), master));
    }
    found
}

/// An interface, its VLANs, the bond or bridge it is in, and what stands on those.
fn with_those_above(tree: &Tree, interface: &str) -> Vec<String> {
    let mut found = vec![interface.to_owned()];
    let mut at = 0;
    while let Some(name) = found.get(at).cloned() {
        at += 1;
        for entry in tree.names(&format!("/sys/class/net/{name}")) {
            if let Some(upper) = entry.strip_prefix("upper_")
                && !found.iter().any(|known| known == upper)
            {
                found.push(upper.to_owned());
            }
        }
    }
    found
}
