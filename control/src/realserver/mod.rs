//! What a real server needs for its forwarding method: commands and files, and how to undo them.
//!
//! ```text
//!   Wanted ──► Plan { steps } ──► commands for a shell   (shell.rs)
//!                             ├─► a start/stop/status script
//!                             └─► done here              (apply.rs)
//! ```
//!
//! A [`Step`] is data: what is so afterwards, how to see it, the commands, and those that take it
//! back. It needs no gateway, and asks none. What the settings are for is in `docs/real-servers.md`.

/// One thing that has to be so on a server.
mod step;

/// The steps on Linux.
mod linux;

/// What has to be so before.
mod guard;

/// The steps on FreeBSD and Solaris.
mod elsewhere;

/// Files that keep it over a reboot.
mod persist;

/// Steps as commands, and as a script.
mod shell;

/// Does the steps here.
mod apply;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use clap::ValueEnum;
use dataplane::service::Method;

pub use apply::{ApplyError, Done, apply};
pub use shell::{commands, script};
pub use step::Step;

/// Whether servers have the VIP themselves: those that answer clients past the gateway.
const fn takes_vip(method: Method) -> bool {
    !method.sees_replies()
}

/// What runs on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// Linux with iproute2 and procps.
    Linux,
    /// FreeBSD.
    Freebsd,
    /// Solaris 11, with `ipadm`.
    Solaris,
}

/// Where Linux keeps it over a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keeper {
    /// Settings in /etc/sysctl.d; addresses are left to the network configuration.
    Sysctl,
    /// A unit that runs a start/stop script: everything.
    Systemd,
    /// Settings as above, addresses by netplan (dr).
    Netplan,
    /// Settings as above, addresses and routes by ifupdown.
    Ifupdown,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How packets come.
    pub method: Method,
    /// The services' addresses.
    pub vips: Vec<IpAddr>,
    /// NAT: the address of the gateway that becomes the default route.
    pub gateway: Option<IpAddr>,
    /// The interface towards the gateway; ARP is set on this one only, otherwise on all.
    pub interface: Option<String>,
    /// What runs on the server.
    pub system: System,
    /// What keeps it.
    pub keeper: Option<Keeper>,
    /// TUN: the largest packet, in bytes, that the path from the gateway carries.
    pub path_mtu: u16,
    /// Whether it is done where it may do harm.
    pub is_forced: bool,
}

/// What is to be done, in this order; undone in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For whom: `a real server of 10.2.0.100 by dr`.
    pub title: String,
    /// What no step can do.
    pub notes: Vec<&'static str>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A server that cannot be set up like that.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// DR and TUN put the VIP on the server.
    #[error("a server of {0} has the VIP itself: name it with --vip")]
    NoVip(&'static str),
    /// Not an address that clients could ask.
    #[error("{0} is no VIP: give an address of one host that clients ask")]
    NotAVip(IpAddr),
    /// NAT's default route is missing.
    #[error("a server of nat answers by the gateway: name its inner address with --gateway")]
    NoGateway,
    /// Not an address of a router.
    #[error("{0} is no gateway of nat: give its IPv4 address on the server's segment")]
    NotAGateway(IpAddr),
    /// Not an interface's name.
    #[error("\"{0}\" is no name of an interface: see `ip link` on the server")]
    NotAnInterface(String),
    /// The file names an interface, and nobody did.
    #[error("ifupdown wants to know by which interface the gateway is reached: give --interface")]
    NoInterface,
    /// Nobody has tried it.
    #[error("tun is set up on Linux only: how {0} takes packets out of tunnels was never tried")]
    TunElsewhere(&'static str),
    /// netplan's tunnels have two ends.
    #[error(
        "netplan has no words for tunl0, whose other end is any gateway: take --persist systemd \
         or ifupdown"
    )]
    TunByNetplan,
    /// A file would have to know what the interface is, and which default route it has.
    #[error(
        "netplan takes no second default route, and has to know what kind of interface it leaves \
         by: take --persist systemd, or change your own netplan file"
    )]
    NatByNetplan,
    /// The other systems keep what they are told.
    #[error("--persist is for Linux: the commands for {0} keep it by themselves")]
    PersistElsewhere(&'static str),
    /// No packet of IPv4 needs more, and no path carries less.
    #[error("a path MTU of {0} is not between 576 and 65535 (1280 for an IPv6 VIP)")]
    PathMtu(u16),
}

/// Says what has to be done on a server.
///
/// # Errors
///
/// [`PlanError`] with what is missing or does not go together.
pub fn plan(wanted: &Wanted) -> Result<Plan, PlanError> {
    check(wanted)?;
    let steps = match wanted.system {
        System::Linux => {
            let mut steps = match wanted.keeper {
                Some(Keeper::Systemd) => persist::units(wanted),
                Some(_) => linux::steps(wanted, persist::shared_files(wanted)),
                None => linux::steps(wanted, Vec::new()),
            };
            let files = wanted.keeper.map(|it| persist::own_files(it, wanted));
            steps.extend(files.unwrap_or_default());
            if !wanted.is_forced {
                steps.splice(0..0, guard::steps(wanted));
            }
            steps
        }
        System::Freebsd => elsewhere::freebsd(wanted),
        System::Solaris => elsewhere::solaris(wanted),
    };
    Ok(plan_of(wanted, steps))
}

/// Says what has to be done to undo all that [`plan`] can have done: with every keeper's files,
/// unless one is named.
///
/// # Errors
///
/// As [`plan`].
pub fn undoing(wanted: &Wanted) -> Result<Plan, PlanError> {
    check(wanted)?;
    if wanted.system != System::Linux {
        return plan(wanted);
    }
    let mut steps = linux::steps(wanted, persist::shared_files(wanted));
    steps.extend(persist::units(wanted));
    for keeper in [Keeper::Netplan, Keeper::Ifupdown] {
        steps.extend(persist::own_files(keeper, wanted));
    }
    Ok(plan_of(wanted, steps))
}

fn plan_of(wanted: &Wanted, steps: Vec<Step>) -> Plan {
    let names: Vec<_> = wanted.vips.iter().map(ToString::to_string).collect();
    let of = match names.as_slice() {
        [] => String::new(),
        names => format!(" of {}", names.join(" ")),
    };
    Plan {
        title: format!("a real server{of} by {}", wanted.method.name()),
        notes: notes(wanted),
        steps,
    }
}

fn notes(wanted: &Wanted) -> Vec<&'static str> {
    let mut notes = match wanted.method {
        Method::Fullnat => {
            vec!["A server of fullnat needs nothing: it sees a client at the gateway's address."]
        }
        Method::Nat => {
            vec!["A server of nat has no VIP, and clients on its own segment are not served."]
        }
        Method::Dr | Method::Tun => vec![
            "The service has to listen at the VIP or at 0.0.0.0; over UDP it has to answer from the VIP.",
        ],
    };
    if wanted.vips.iter().any(IpAddr::is_ipv6) {
        notes.push("This version of the gateway does not forward IPv6 itself.");
    }
    if wanted.keeper == Some(Keeper::Sysctl) && wanted.method != Method::Fullnat {
        notes.push("Addresses and routes last until the next boot: write them into the network configuration.");
    }
    notes
}

fn check(wanted: &Wanted) -> Result<(), PlanError> {
    let Wanted {
        method,
        vips,
        gateway,
        interface,
        system,
        keeper,
        path_mtu,
        is_forced: _,
    } = wanted;
    if takes_vip(*method) && vips.is_empty() {
        return Err(PlanError::NoVip(method.name()));
    }
    if let Some(vip) = vips.iter().find(|vip| !is_of_one_host(**vip)) {
        return Err(PlanError::NotAVip(*vip));
    }
    if *method == Method::Nat {
        let gateway = gateway.ok_or(PlanError::NoGateway)?;
        if gateway.is_ipv6() || !is_of_one_host(gateway) {
            return Err(PlanError::NotAGateway(gateway));
        }
    }
    if let Some(name) = interface.as_ref().filter(|name| !is_interface(name)) {
        return Err(PlanError::NotAnInterface(name.clone()));
    }
    let least = if vips.iter().any(IpAddr::is_ipv6) {
        1280
    } else {
        576
    };
    if *method == Method::Tun && *path_mtu < least {
        return Err(PlanError::PathMtu(*path_mtu));
    }
    let elsewhere = match system {
        System::Linux => None,
        System::Freebsd => Some("FreeBSD"),
        System::Solaris => Some("Solaris"),
    };
    match (elsewhere, method, keeper) {
        (Some(name), Method::Tun, _) => Err(PlanError::TunElsewhere(name)),
        (Some(name), _, Some(_)) => Err(PlanError::PersistElsewhere(name)),
        (None, Method::Tun, Some(Keeper::Netplan)) => Err(PlanError::TunByNetplan),
        (None, Method::Nat, Some(Keeper::Netplan)) => Err(PlanError::NatByNetplan),
        (None, Method::Nat, Some(Keeper::Ifupdown)) if interface.is_none() => {
            Err(PlanError::NoInterface)
        }
        _ => Ok(()),
    }
}

/// Whether an address may be that of one host, seen from another.
const fn is_of_one_host(addr: IpAddr) -> bool {
    match addr {
        // RFC 6890: 0/8 and 240/4 are nobody's.
        IpAddr::V4(addr) => {
            let first = addr.octets()[0];
            first != 0 && first < 240 && !addr.is_loopback() && !addr.is_multicast()
        }
        IpAddr::V6(addr) => !addr.is_unspecified() && !addr.is_loopback() && !addr.is_multicast(),
    }
}

/// Whether Linux may call an interface so, and a shell takes it for one word.
fn is_interface(name: &str) -> bool {
    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    (1..16).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with(['-', '.'])
}
