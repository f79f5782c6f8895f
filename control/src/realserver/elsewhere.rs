//! The steps on FreeBSD and on Solaris 11. Neither answers ARP for an address of its loopback.
//!
//! As LVS's users set them up; nobody has run them with this gateway.

use std::net::IpAddr;

use dataplane::service::Method;

use super::Wanted;
use super::step::Step;

/// What makes a FreeBSD a real server: now, and by `rc.conf` after a boot.
pub(super) fn freebsd(wanted: &Wanted) -> Vec<Step> {
    match (wanted.method, wanted.gateway) {
        (Method::Dr, _) => wanted.vips.iter().map(freebsd_alias).collect(),
        (Method::Nat, Some(gateway)) => vec![freebsd_route(gateway)],
        _ => Vec::new(),
    }
}

fn freebsd_alias(vip: &IpAddr) -> Step {
    let (family, alias) = match vip {
        IpAddr::V4(_) => ("inet", format!("inet {vip} netmask 255.255.255.255")),
        IpAddr::V6(_) => ("inet6", format!("inet6 {vip} prefixlen 128")),
    };
    // Unlike ifconfig_lo0_alias0, this one is not counted: what lo has besides stays.
    let variable = "ifconfig_lo0_aliases";
    Step::new(format!("{vip} is on lo0"))
        .holds(format!("ifconfig lo0 | grep -q '{family} {vip} '"))
        .run(format!("ifconfig lo0 {alias} alias"))
        .run(format!("sysrc {variable}+=\"{alias}\""))
        .undo(format!("sysrc {variable}-=\"{alias}\""))
        .undo(format!(
            "! ifconfig lo0 | grep -q '{family} {vip} ' || ifconfig lo0 {family} {vip} -alias"
        ))
}

/// How both say which router is the default one.
const ROUTER: &str = "route -n get -inet default 2>/dev/null | sed -n 's/^ *gateway: //p'";

fn freebsd_route(gateway: IpAddr) -> Step {
    // What rc.conf said, and what was so.
    let (kept, was) = (
        "/var/db/sluice-realserver.defaultrouter",
        "/var/db/sluice-realserver.default",
    );
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(format!("[ \"$({ROUTER})\" = {gateway} ]"))
        .run(format!(
            "[ -e {kept} ] || {{ {ROUTER} >{was}; sysrc -in defaultrouter >{kept} || true; }}"
        ))
        .run(format!(
            "route change -inet default {gateway} || route add -inet default {gateway}"
        ))
        .run(format!("sysrc defaultrouter=\"{gateway}\""))
        .undo(format!(
            "if [ -e {kept} ]; then\n    \
             [ -s {was} ] && route change -inet default \"$(cat {was})\" || route delete -inet default {gateway}\n    \
             [ -s {kept} ] && sysrc defaultrouter=\"$(cat {kept})\" || sysrc -i -x defaultrouter\n    \
             rm {kept} {was}\nfi"
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
    // A second default route shares the traffic with the first.
    let was = "/var/sluice-realserver.default";
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(format!("[ \"$({ROUTER})\" = {gateway} ]"))
        .run(format!("[ -e {was} ] || {ROUTER} >{was}"))
        .run(format!("route -p add -inet default {gateway}"))
        .run(format!(
            "[ ! -s {was} ] || route -p delete -inet default \"$(cat {was})\""
        ))
        .undo(format!(
            "if [ -e {was} ]; then\n    \
             [ ! -s {was} ] || route -p add -inet default \"$(cat {was})\"\n    \
             route -p delete -inet default {gateway}\n    rm {was}\nfi"
        ))
}
