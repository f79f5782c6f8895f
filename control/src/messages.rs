//! What operators read when something cannot be had: every sentence that no other test reads.
//!
//! `tests/error_messages.rs` of the workspace makes sure that none is left out.

use std::io;

use dataplane::id::InterfaceId;

use crate::api::SocketError;
use crate::gateway::{DrainError, ImportError};
use crate::ipvs::Refusal;
use crate::linux::addresses::AddressError;
use crate::linux::device::DeviceError;
use crate::linux::fence::FenceError;
use crate::linux::furnish::FurnishError;
use crate::linux::journal::JournalError;
use crate::linux::placement::PlacementError;
use crate::linux::twin::TwinError;

fn no_memory() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOMEM)
}

/// How that reads.
const NO_MEMORY: &str = "Cannot allocate memory (os error 12)";

fn assert_all<E: std::error::Error>(table: impl IntoIterator<Item = (E, String)>) {
    for (error, sentence) in table {
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn an_interface_that_is_not_taken_says_what_would_help() {
    let name = || "eth0".to_owned();
    assert_all([
        (
            DeviceError::CarriesDefaultRoute(name()),
            "eth0 carries the default route: the gateway would cut this machine off. Give it \
             another interface, or set `take_interface = true` on the port"
                .to_owned(),
        ),
        (
            DeviceError::CarriesAddress {
                interface: name(),
                addr: [10, 1, 0, 1].into(),
            },
            "eth0 carries the address 10.1.0.1, which would go deaf: move it to the port's twin, \
             or set `take_interface = true` on the port"
                .to_owned(),
        ),
        (
            DeviceError::Io {
                interface: name(),
                source: no_memory(),
            },
            format!("could not look at the interface eth0: {NO_MEMORY}"),
        ),
    ]);
    assert_all([
        (
            FenceError::Held(name()),
            "the interface eth0 is fenced by another process: is another gateway using it?"
                .to_owned(),
        ),
        (
            FenceError::NoPermission(name()),
            "no permission to fence the interface eth0: run as root or with CAP_NET_ADMIN"
                .to_owned(),
        ),
        (
            FenceError::Refused {
                interface: name(),
                source: no_memory(),
            },
            format!(
                "could not fence the interface eth0 with nftables ({NO_MEMORY}): the kernel needs \
                 nf_tables with netdev chains, from version 5.12"
            ),
        ),
    ]);
}

#[test]
fn a_twin_that_cannot_be_had_says_what_would_help() {
    let name = || "sl-wan".to_owned();
    assert_all([
        (
            TwinError::BadName("a b".to_owned()),
            "\"a b\" cannot name a twin: use 1 to 15 bytes without spaces, '/', ':' or '%'"
                .to_owned(),
        ),
        (
            TwinError::NameInUse(name()),
            "the twin's name sl-wan is in use by an interface that is not a TAP: give the port \
             another `twin` name, or remove that interface"
                .to_owned(),
        ),
        (
            TwinError::Held(name()),
            "the twin sl-wan is held by another process: is another gateway running?".to_owned(),
        ),
        (
            TwinError::NoPermission(name()),
            "no permission to make the twin sl-wan: run as root or with CAP_NET_ADMIN".to_owned(),
        ),
        (
            TwinError::NoTun,
            "this kernel offers no /dev/net/tun: load it with `modprobe tun`".to_owned(),
        ),
    ]);
    assert_all([
        (
            FurnishError::Address {
                twin: name(),
                addr: "10.1.0.1/24".to_owned(),
                source: no_memory(),
                advice: "",
            },
            format!("the address 10.1.0.1/24 could not be put on sl-wan: {NO_MEMORY}"),
        ),
        (
            FurnishError::Route {
                destination: "0.0.0.0/0".to_owned(),
                via: [10, 1, 0, 254].into(),
                source: no_memory(),
                advice: ": think again",
            },
            format!(
                "the route to 0.0.0.0/0 via 10.1.0.254 could not be made: {NO_MEMORY}: think again"
            ),
        ),
    ]);
}

#[test]
fn an_address_without_a_place_says_where_it_could_be() {
    let addr = [10, 1, 0, 100].into();
    assert_all([
        (
            PlacementError::NoSuchTwin {
                addr,
                interface: InterfaceId(3),
            },
            "10.1.0.100 is to be placed on interface 3, which has no twin".to_owned(),
        ),
        (
            PlacementError::Nowhere(addr),
            "no twin's subnet covers 10.1.0.100 and no default route leaves by a twin: name its \
             port in the configuration, or add it with `ip address add`"
                .to_owned(),
        ),
    ]);
    assert_all([(
        AddressError::Read(no_memory()),
        format!("could not read Linux's addresses: {NO_MEMORY}"),
    )]);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let broken = serde_json::from_str::<u8>("x").expect_err("it is no number");
    let why = broken.to_string();
    assert_all([
        (
            JournalError::InUse("/run/s".into()),
            "the state directory /run/s is in use by another gateway: stop it, or give this one \
             another `state_dir`"
                .to_owned(),
        ),
        (
            JournalError::Unreadable {
                path: "/run/s/j".into(),
                source: broken,
            },
            format!(
                "/run/s/j is not a journal of addresses ({why}): compare `ip address` with the \
                 configuration, then remove the file"
            ),
        ),
        (
            JournalError::NoDirectory {
                path: "/run/s".into(),
                source: no_memory(),
            },
            format!(
                "could not make the state directory /run/s: {NO_MEMORY}: give the gateway another \
                 `state_dir`"
            ),
        ),
    ]);
}

#[test]
fn a_socket_that_cannot_be_made_is_named() {
    assert_all([
        (
            SocketError::NotASocket("/run/s".into()),
            "/run/s is not a socket: move it away, or give the gateway another socket".to_owned(),
        ),
        (
            SocketError::System {
                path: "/run/s".into(),
                doing: "binding it",
                source: no_memory(),
            },
            format!(
                "cannot make the socket /run/s: binding it failed: {NO_MEMORY}: mend that, or \
                 change `socket`"
            ),
        ),
    ]);
}

#[test]
fn what_broke_off_or_was_overtaken_says_so() {
    assert_all([(
        ImportError::BrokenOff("connection reset".to_owned()),
        "the sessions broke off: connection reset".to_owned(),
    )]);
    assert_all([(
        DrainError::Busy,
        "the services were changed by somebody else again and again: try once more".to_owned(),
    )]);
}

#[test]
fn ipvsadm_hears_what_the_kernels_would_say_of_servers_and_daemons() {
    assert_all([
        (
            Refusal::ServerExists,
            "Destination already exists".to_owned(),
        ),
        (Refusal::NoServer, "No such destination".to_owned()),
        (Refusal::NoDaemon, "No daemon is running".to_owned()),
        (
            Refusal::LocalExists,
            "Local address already exists".to_owned(),
        ),
        (Refusal::NoLocal, "No such local address".to_owned()),
        (
            Refusal::Family,
            "Operation not supported with specified address family".to_owned(),
        ),
        (
            Refusal::TunnelType(crate::ipvs::Tunnel::Gre {
                checksum: crate::ipvs::TunnelChecksum::None,
            }),
            "Tunnels of type gre are not in this version: use ipip".to_owned(),
        ),
    ]);
}
