//! The steps on FreeBSD and on Solaris 11. Neither answers ARP for an address of its loopback.
//!
//! As LVS's users set them up; nobody has run them with this gateway.

use std::net::IpAddr;

use super::step::Step;
use super::{Method, Wanted};

/// What makes a FreeBSD a real server: now, and by `rc.conf` after a boot.
pub(super) fn freebsd(wanted: &Wanted) -> Vec<Step> {
    match (wanted.method, wanted.gateway) {
        (Method::Dr, _) => (0..).zip(&wanted.vips).map(freebsd_alias).collect(),
        (Method::Nat, Some(gateway)) => vec![freebsd_route(gateway)],
        _ => Vec::new(),
    }
}

fn freebsd_alias((number, vip): (usize, &IpAddr)) -> Step {
    let (family, now, kept) = match vip {
        IpAddr::V4(_) => ("inet", "netmask 255.255.255.255", "netmask 255.255.255.255"),
        IpAddr::V6(_) => ("inet6", "prefixlen 128", "prefixlen 128"),
    };
    let variable = format!("ifconfig_lo0_alias{number}");
    Step::new(format!("{vip} is on lo0"))
        .why("In rc.conf aliases are counted without a gap: change the number if lo0 has others.")
        .holds(format!("ifconfig lo0 | grep -q '{family} {vip} '"))
        .run(format!("ifconfig lo0 {family} {vip} {now} alias"))
        .run(format!("sysrc {variable}=\"{family} {vip} {kept}\""))
        .undo(format!("sysrc -i -x {variable}"))
        .undo(format!(
            "! ifconfig lo0 | grep -q '{family} {vip} ' || ifconfig lo0 {family} {vip} -alias"
        ))
}

fn freebsd_route(gateway: IpAddr) -> Step {
    let (variable, family) = match gateway {
        IpAddr::V4(_) => ("defaultrouter", "-inet"),
        IpAddr::V6(_) => ("ipv6_defaultrouter", "-inet6"),
    };
    let get = format!("route -n get {family} default 2>/dev/null | grep -q 'gateway: {gateway}$'");
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(get.clone())
        .run(format!(
            "route change {family} default {gateway} || route add {family} default {gateway}"
        ))
        .run(format!("sysrc {variable}=\"{gateway}\""))
        .undo(format!("sysrc -i -x {variable}"))
        .undo(format!(
            "! {get} || route delete {family} default {gateway}"
        ))
}

/// What makes a Solaris 11 a real server; `ipadm` and `route -p` keep it by themselves.
pub(super) fn solaris(wanted: &Wanted) -> Vec<Step> {
    match (wanted.method, wanted.gateway) {
        (Method::Dr, _) => (1..).zip(&wanted.vips).map(solaris_address).collect(),
        (Method::Nat, Some(gateway)) => vec![solaris_route(gateway)],
        _ => Vec::new(),
    }
}

fn solaris_address((number, vip): (usize, &IpAddr)) -> Step {
    let prefix_len = if vip.is_ipv6() { 128 } else { 32 };
    let name = format!("lo0/vip{number}");
    let shown = format!("ipadm show-addr {name} >/dev/null 2>&1");
    Step::new(format!("{vip} is on lo0"))
        .holds(shown.clone())
        .run(format!(
            "ipadm create-addr -T static -a {vip}/{prefix_len} {name}"
        ))
        .undo(format!("! {shown} || ipadm delete-addr {name}"))
}

fn solaris_route(gateway: IpAddr) -> Step {
    let family = if gateway.is_ipv6() { "-inet6" } else { "-inet" };
    let get = format!("route -n get {family} default 2>/dev/null | grep -q 'gateway: {gateway}$'");
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(get.clone())
        .run(format!("route -p add {family} default {gateway}"))
        .undo(format!(
            "! {get} || route -p delete {family} default {gateway}"
        ))
}
