//! What a NIC and its interfaces are used for, by Linux and by programs, and would be lost with it.

use std::fmt;
use std::net::IpAddr;

use super::nics::{self, Nic};
use super::routes::{self, Route};
use super::tree::Tree;
use super::{drivers, kernel, sockets, ssh};

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
    /// Something stands on it: a VLAN, a macvtap, a PPPoE session.
    Under(String, String),
    /// A program has its packets; it may be the gateway.
    Packets(String, String),
    /// It has virtual functions, which go with it.
    Functions(String, u32),
    /// It has a driver, and no interface that can be seen from here.
    Unseen(String, String),
}

impl Use {
    /// Whether Linux itself works over it.
    pub(super) const fn is_linuxs(&self) -> bool {
        matches!(
            self,
            Self::DefaultRoute(_) | Self::Ssh(..) | Self::Addresses(..)
        )
    }
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
            Self::Under(interface, upper) => write!(f, "{upper} stands on {interface}"),
            Self::Packets(interface, program) => {
                write!(f, "{program} has the packets of {interface}")
            }
            Self::Functions(device, count) => {
                write!(f, "{device} has {count} virtual functions")
            }
            Self::Unseen(device, driver) => write!(
                f,
                "{driver} drives {device}, and there is no interface: another network namespace \
                 may have it"
            ),
        }
    }
}

/// All uses of a NIC.
pub(super) fn of_nic(tree: &Tree, nic: &Nic) -> Vec<Use> {
    let interfaces = nic.interfaces.iter();
    let mut found: Vec<Use> = interfaces.flat_map(|name| uses(tree, name)).collect();
    let functions = tree.number(&format!("{}/sriov_numvfs", nics::place(&nic.device)));
    if let Some(count @ 1..) = functions {
        found.push(Use::Functions(nic.device.clone(), count));
    }
    if let Some(driver) = &nic.driver
        && nic.interfaces.is_empty()
        && !drivers::is_for_programs(driver)
    {
        found.push(Use::Unseen(nic.device.clone(), driver.clone()));
    }
    found
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
    let mut sessions = ssh::sessions(tree).into_iter();
    if let Some(session) = sessions.find(|session| session.is_over(tree, routes, interface)) {
        found.push(Use::Ssh(name(), session.local));
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
    let master = tree.link(&format!("/sys/class/net/{interface}/master"));
    let mut above = uppers(tree, interface);
    above.retain(|upper| Some(upper) != master.as_ref());
    found.extend(master.map(|master| Use::Member(name(), master)));
    if has_pppoe(tree, interface) {
        above.push("a PPPoE session".to_owned());
    }
    let above = above.into_iter();
    found.extend(above.map(|upper| Use::Under(name(), upper)));
    let program = sockets::reader(tree, interface).or_else(|| {
        let has_xdp = tree.is_live() && kernel::has_xdp(interface);
        has_xdp.then(|| "an XDP program".to_owned())
    });
    found.extend(program.map(|program| Use::Packets(name(), program)));
    found
}

/// The interfaces that stand on one: VLANs, the bond or bridge it is in.
fn uppers(tree: &Tree, interface: &str) -> Vec<String> {
    let entries = tree.names(&format!("/sys/class/net/{interface}"));
    let upper = |entry: &String| Some(entry.strip_prefix("upper_")?.to_owned());
    entries.iter().filter_map(upper).collect()
}

/// Whether a session of PPP's goes over it, which has no link in /sys.
fn has_pppoe(tree: &Tree, interface: &str) -> bool {
    let sessions = tree.text("/proc/net/pppoe").unwrap_or_default();
    let mut lines = sessions.lines();
    lines.any(|line| line.split_whitespace().nth(2) == Some(interface))
}

/// An interface, its VLANs, the bond or bridge it is in, and what stands on those.
fn with_those_above(tree: &Tree, interface: &str) -> Vec<String> {
    let mut found = vec![interface.to_owned()];
    let mut at = 0;
    while let Some(name) = found.get(at).cloned() {
        at += 1;
        let mut uppers = uppers(tree, &name);
        uppers.retain(|upper| !found.contains(upper));
        found.extend(uppers);
    }
    found
}
