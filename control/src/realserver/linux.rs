//! The steps on Linux, with iproute2, procps and, for TUN, nftables.
//!
//! What was there before is kept below [`MEMORY`], and comes back when the last VIP goes: settings
//! that two VIPs share outlive the first of them.

use std::net::IpAddr;

use dataplane::service::Method;

use super::persist::word;
use super::step::Step;
use super::{Wanted, takes_vip};

/// Where a server keeps what was before, and which VIPs it has.
pub(super) const MEMORY: &str = "/var/lib/sluice-realserver";

/// The outer header and those of IP and TCP inside, in bytes.
const TUNNEL_V4: u16 = 20 + 40;
const TUNNEL_V6: u16 = 40 + 60;

/// A setting of the kernel's.
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: u8,
    /// The values that do as well, as a pattern of grep's.
    pub(super) enough: &'static str,
    pub(super) why: &'static str,
}

/// A kind of tunnel: the module, and the interface that comes with it.
pub(super) struct Tunnel {
    pub(super) module: &'static str,
    pub(super) interface: &'static str,
}

/// What makes a Linux a real server. `shared` are the files of what VIPs share: they are written
/// when that is so, and taken back when the VIPs are gone.
pub(super) fn steps(wanted: &Wanted, shared: Vec<Step>) -> Vec<Step> {
    match wanted.method {
        Method::Fullnat => Vec::new(),
        Method::Nat => {
            let note = format!("{MEMORY}/vip-nat");
            vec![memory(), noted_by(&note), default_route(wanted)]
        }
        Method::Dr | Method::Tun => {
            let mut steps = vec![memory()];
            let tunnels = tunnels(wanted);
            steps.extend(tunnels.iter().flat_map(|it| [loaded(it), up(it)]));
            steps.extend(settings(wanted).iter().map(set));
            steps.extend(shared);
            for vip in &wanted.vips {
                if wanted.method == Method::Tun {
                    steps.push(clamp(*vip, wanted.path_mtu));
                }
                steps.push(noted(wanted.method, *vip));
                steps.push(address(wanted.method, *vip));
            }
            steps
        }
    }
}

/// The settings a method asks for; they come before addresses.
pub(super) fn settings(wanted: &Wanted) -> Vec<Setting> {
    if !takes_vip(wanted.method) || wanted.vips.iter().all(IpAddr::is_ipv6) {
        return Vec::new();
    }
    // With a slash, a name's own dots are none of the key's.
    let scope = wanted.interface.as_deref().unwrap_or("all");
    let scope = scope.replace('.', "/");
    let mut settings = vec![
        Setting {
            key: format!("net.ipv4.conf.{scope}.arp_ignore"),
            value: 1,
            // 2 and 8 answer less, 3 answers for a VIP on lo.
            enough: "[128]",
            why: "Answer ARP only for addresses of the interface that is asked: not for the VIP.",
        },
        Setting {
            key: format!("net.ipv4.conf.{scope}.arp_announce"),
            value: 2,
            enough: "2",
            why: "Ask with an address of the interface, even when the packet is from the VIP.",
        },
    ];
    if wanted.method == Method::Tun {
        settings.push(Setting {
            key: "net.ipv4.conf.tunl0.rp_filter".to_owned(),
            value: 2,
            enough: "2",
            why: "The way to clients is not tunl0, and their packets are welcome there all the same.",
        });
    }
    settings
}

/// The tunnels a method asks for.
pub(super) fn tunnels(wanted: &Wanted) -> Vec<Tunnel> {
    let families = [false, true].into_iter().filter(|is_v6| {
        wanted.method == Method::Tun && wanted.vips.iter().any(|vip| vip.is_ipv6() == *is_v6)
    });
    families.map(tunnel).collect()
}

const fn tunnel(is_v6: bool) -> Tunnel {
    if is_v6 {
        Tunnel {
            module: "ip6_tunnel",
            interface: "ip6tnl0",
        }
    } else {
        Tunnel {
            module: "ipip",
            interface: "tunl0",
        }
    }
}

/// Where a VIP belongs, and how long its prefix is.
pub(super) fn place(method: Method, vip: IpAddr) -> (&'static str, u8) {
    let interface = match method {
        Method::Tun => tunnel(vip.is_ipv6()).interface,
        _ => "lo",
    };
    (interface, if vip.is_ipv6() { 128 } else { 32 })
}

/// What comes behind the address: as a source it is for answers only, and no other host is asked.
pub(super) fn flags(vip: IpAddr) -> &'static str {
    if vip.is_ipv6() {
        " nodad preferred_lft 0"
    } else {
        ""
    }
}

/// The condition that no VIP that is noted like this is left.
pub(super) fn nobody_left(pattern: &str) -> String {
    format!("! ls -d {MEMORY}/{pattern} >/dev/null 2>&1")
}

fn memory() -> Step {
    let before = format!("{MEMORY}/before");
    Step::unseen()
        .why("What --undo brings back is kept here.")
        .run(format!("mkdir -p {MEMORY}"))
        .undo(format!(
            "if {}; then\n    [ ! -e {before} ] || sysctl -q -e -p {before}\n    rm -rf {MEMORY}\nfi",
            nobody_left("vip-*")
        ))
}

fn set(setting: &Setting) -> Step {
    let Setting { key, value, .. } = setting;
    let what = match setting.enough {
        "2" => format!("{key} is {value}"),
        _ => format!("{key} is {value} or stricter"),
    };
    Step::new(what)
        .why(setting.why)
        .holds(format!("sysctl -n {key} | grep -qx '{}'", setting.enough))
        .run(format!("sysctl {key} >>{MEMORY}/before"))
        .run(format!("sysctl -q -w {key}={value}"))
}

/// Nobody unloads it: other tunnels may use it by then.
fn loaded(tunnel: &Tunnel) -> Step {
    let Tunnel { module, interface } = tunnel;
    Step::new(format!("{module} is loaded"))
        .why("It takes the outer header off.")
        .holds(format!("[ -e /sys/class/net/{interface} ]"))
        .run(format!("modprobe {module}"))
}

fn up(tunnel: &Tunnel) -> Step {
    let Tunnel { interface, .. } = tunnel;
    let mark = format!("{MEMORY}/{interface}-was-down");
    Step::new(format!("{interface} is up"))
        .holds(format!("ip link show dev {interface} up | grep -q ."))
        .run(format!("touch {mark}"))
        .run(format!("ip link set {interface} up"))
        .undo(format!(
            "if [ -e {mark} ] && {}; then\n    ip link set {interface} down\n    rm {mark}\nfi",
            nobody_left(vips_of(tunnel))
        ))
}

/// The notes of VIPs that use a tunnel.
pub(super) fn vips_of(tunnel: &Tunnel) -> &'static str {
    match tunnel.interface {
        "tunl0" => "vip-tun-*.*",
        _ => "vip-tun-*:*",
    }
}

/// What clients send has to fit the tunnel, and only the server's SYN-ACK can tell them.
fn clamp(vip: IpAddr, path_mtu: u16) -> Step {
    let (family, headers) = match vip {
        IpAddr::V4(_) => ("ip", TUNNEL_V4),
        IpAddr::V6(_) => ("ip6", TUNNEL_V6),
    };
    let mss = path_mtu - headers;
    let table = format!("sluice_tun_{}", word(vip));
    let rule = format!("{family} saddr {vip} tcp flags syn tcp option maxseg size set {mss}");
    Step::new(format!("{vip} asks clients for segments of {mss} bytes"))
        .why("What clients send grows by the outer header, and the SYN-ACK does not pass the gateway.")
        .holds(format!(
            "nft list table inet {table} 2>/dev/null | grep -q 'size set {mss}$'"
        ))
        .run(format!("nft add table inet {table}"))
        .run(format!(
            "nft add chain inet {table} output '{{ type filter hook output priority mangle; }}'"
        ))
        .run(format!("nft flush chain inet {table} output"))
        .run(format!("nft add rule inet {table} output {rule}"))
        .undo(format!(
            "! nft list table inet {table} >/dev/null 2>&1 || nft delete table inet {table}"
        ))
}

/// A note that this VIP is here, which keeps what it needs.
fn noted(method: Method, vip: IpAddr) -> Step {
    noted_by(&format!("{MEMORY}/vip-{}-{vip}", method.name()))
}

fn noted_by(note: &str) -> Step {
    Step::unseen()
        .run(format!("touch {note}"))
        .undo(format!("rm -f {note}"))
}

fn address(method: Method, vip: IpAddr) -> Step {
    let (interface, prefix_len) = place(method, vip);
    let flags = flags(vip);
    let show = format!("ip -o address show dev {interface} to {vip}/{prefix_len} 2>/dev/null");
    let mark = format!("{MEMORY}/added-{}-{vip}", method.name());
    Step::new(format!("{vip} is on {interface}"))
        .holds(format!("{show} | grep -q ."))
        .run(format!("touch {mark}"))
        .run(format!(
            "ip address add {vip}/{prefix_len} dev {interface}{flags}"
        ))
        .undo(format!(
            "if [ -e {mark} ]; then\n    ! {show} | grep -q . || ip address del \
             {vip}/{prefix_len} dev {interface}\n    rm {mark}\nfi"
        ))
}

/// The routes from before are kept as text: numbers of interfaces change.
fn default_route(wanted: &Wanted) -> Step {
    let Some(gateway) = wanted.gateway else {
        return Step::default();
    };
    let route = route_to(gateway, wanted.interface.as_deref());
    let before = format!("{MEMORY}/default-routes");
    let is_first = format!("ip -4 route show default | head -n 1 | grep -q '^{route}\\( \\|$\\)'");
    // What `show` says besides of a route's state is no part of it.
    let put_back = format!(
        "sed 's/\\\\//g; s/ dead//g; s/ linkdown//g; s/^/route replace /' {before} | ip -4 -batch -"
    );
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(is_first.clone())
        .run(format!(
            "[ -e {before} ] || ip -o -4 route show default >{before}"
        ))
        .run(format!("ip -4 route replace {route}"))
        .undo(format!(
            "if [ -e {before} ]; then\n    {put_back}\n    ! {is_first} || ip -4 route del {route}\n    \
             rm {before}\nfi"
        ))
}

/// `default via 10.2.0.1 dev eth0`.
pub(super) fn route_to(gateway: IpAddr, interface: Option<&str>) -> String {
    let dev = interface.map(|name| format!(" dev {name}"));
    format!("default via {gateway}{}", dev.unwrap_or_default())
}
