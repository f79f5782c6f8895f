//! Files that keep it over a reboot.
//!
//! Each VIP of each method has files of its own, and goes with them; what VIPs share goes with the
//! last of them.

use std::fmt::Write as _;
use std::net::IpAddr;

use dataplane::service::Method;

use super::linux::{self, nobody_left, place, vips_of};
use super::shell::script;
use super::step::Step;
use super::{Keeper, Wanted, plan_of, takes_vip};

/// The name of what keeps a VIP of a method, or the route of NAT.
fn name_of(wanted: &Wanted) -> String {
    let vip = wanted.vips.first().map(|vip| format!("-{}", word(*vip)));
    format!(
        "sluice-realserver-{}{}",
        wanted.method.name(),
        vip.unwrap_or_default()
    )
}

/// An address as a part of a name: ifupdown reads files of letters, digits, `-` and `_`.
pub(super) fn word(vip: IpAddr) -> String {
    vip.to_string().replace(['.', ':'], "_")
}

/// The same for each VIP alone.
fn each(wanted: &Wanted) -> Vec<Wanted> {
    let with = |vips: Vec<IpAddr>| Wanted {
        vips,
        ..wanted.clone()
    };
    match wanted.method {
        Method::Fullnat => Vec::new(),
        Method::Nat => vec![with(Vec::new())],
        Method::Dr | Method::Tun => wanted.vips.iter().map(|vip| with(vec![*vip])).collect(),
    }
}

/// The files of what VIPs share: modules and settings.
pub(super) fn shared_files(wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    for tunnel in linux::tunnels(wanted) {
        let module = tunnel.module;
        let path = format!("/etc/modules-load.d/sluice-realserver-{module}.conf");
        steps.push(
            Step::file(&path, "644", &format!("{module}\n"))
                .taken_back_if(nobody_left(vips_of(&tunnel))),
        );
    }
    if takes_vip(wanted.method) {
        let method = wanted.method.name();
        let path = format!("/etc/sysctl.d/90-sluice-realserver-{method}.conf");
        let step = Step::written(&path, &sysctl(wanted));
        steps.push(step.taken_back_if(nobody_left(&format!("vip-{method}-*"))));
    }
    steps
}

/// Has sysctl write the settings as they are by now: those that were stricter before stay so.
fn sysctl(wanted: &Wanted) -> Vec<String> {
    let settings = linux::settings(wanted);
    if settings.is_empty() {
        return Vec::new();
    }
    let keys: Vec<_> = settings.into_iter().map(|it| it.key).collect();
    vec![format!("sysctl {}", keys.join(" "))]
}

/// The files of each VIP, or of the route, by netplan or ifupdown.
pub(super) fn own_files(keeper: Keeper, wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    for alone in each(wanted) {
        let name = name_of(&alone);
        let step = match (keeper, wanted.method) {
            (Keeper::Netplan, _) => netplan_file(&format!("/etc/netplan/90-{name}.yaml"), &alone),
            (Keeper::Ifupdown, Method::Nat) => {
                let path = format!("/etc/network/if-up.d/{name}");
                Step::file(&path, "755", &ifupdown_route(&alone))
            }
            (Keeper::Ifupdown, _) => {
                let path = format!("/etc/network/interfaces.d/{name}");
                Step::file(&path, "644", &ifupdown_addresses(&alone))
            }
            (Keeper::Sysctl | Keeper::Systemd, _) => continue,
        };
        steps.push(step);
    }
    steps
}

/// A file that netplan understands, or none: one that it does not spoils the whole configuration.
fn netplan_file(path: &str, wanted: &Wanted) -> Step {
    // netplan asks that nobody else reads its files.
    let mut step = Step::file(path, "600", &netplan(wanted)).run(format!(
        "netplan generate || {{\n    rm -f {path}\n    exit 1\n}}"
    ));
    step.undo = vec![format!(
        "if [ -e {path} ]; then\n    rm -f {path}\n    netplan generate\nfi"
    )];
    step
}

/// A unit for each VIP, or for the route, that does all of it by a script: at once and at every
/// boot.
pub(super) fn units(wanted: &Wanted) -> Vec<Step> {
    each(wanted).iter().flat_map(unit).collect()
}

fn unit(wanted: &Wanted) -> [Step; 3] {
    let plan = plan_of(wanted, linux::steps(wanted, Vec::new()));
    let name = name_of(wanted);
    let path = format!("/usr/local/sbin/{name}");
    let order = order(wanted);
    let unit = format!(
        "[Unit]\nDescription=Sluice: {}\n{order}\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart={path} start\nExecStop={path} stop\n\n[Install]\nWantedBy=multi-user.target\n",
        plan.title,
    );
    let unit_path = format!("/etc/systemd/system/{name}.service");
    // What another script has done, that one takes back.
    let stop = format!("[ ! -e {unit_path} ] || systemctl stop {name}");
    [
        Step::changed_file(&path, "755", &script(&plan), &stop),
        Step::changed_file(&unit_path, "644", &unit, &stop),
        Step::new(format!("{name}.service runs, now and after a boot"))
            .holds(format!(
                "{{ systemctl -q is-enabled {name} && systemctl -q is-active {name}; }} 2>/dev/null"
            ))
            .run("systemctl daemon-reload")
            .run(format!("systemctl enable {name}"))
            .run(format!("systemctl start {name}"))
            .undo(format!(
                "[ ! -e {unit_path} ] || systemctl disable --now {name}"
            )),
    ]
}

/// When a unit runs. Services that bind to a VIP come after `network.target`, and rules of nftables
/// are flushed before `network-pre.target`.
fn order(wanted: &Wanted) -> String {
    if wanted.method == Method::Nat {
        return "Wants=network-online.target\nAfter=network-online.target\n".to_owned();
    }
    // As systemd-escape writes a name; an interface's has no other letter to be escaped.
    let device = wanted.interface.as_ref().map(|name| {
        let name = name.replace('-', "\\x2d");
        format!(" sys-subsystem-net-devices-{name}.device")
    });
    let device = device.unwrap_or_default();
    format!(
        "Wants=network-pre.target{device}\nAfter=network-pre.target \
         systemd-modules-load.service{device}\nBefore=network.target\n"
    )
}

fn netplan(wanted: &Wanted) -> String {
    let lines: String = wanted.vips.iter().map(netplan_address).collect();
    format!(
        "network:\n  version: 2\n  ethernets:\n    lo:\n      match:\n        name: lo\n      \
         addresses:\n{lines}"
    )
}

fn netplan_address(vip: &IpAddr) -> String {
    // One of IPv6 would otherwise be a source of what the server begins.
    let more = if vip.is_ipv6() {
        ":\n            lifetime: 0"
    } else {
        ""
    };
    format!("        - \"{vip}/{}\"{more}\n", place(Method::Dr, *vip).1)
}

/// Runs when the interface has its address; before, there is no way to the gateway.
fn ifupdown_route(wanted: &Wanted) -> String {
    let (Some(gateway), Some(interface)) = (wanted.gateway, &wanted.interface) else {
        return String::new();
    };
    format!(
        "#!/bin/sh\n[ \"$IFACE\" = {interface} ] || exit 0\n[ \"$METHOD\" != manual ] || exit 0\n\
         ip -4 route replace {} || true\n",
        linux::route_to(gateway, Some(interface))
    )
}

/// Stanzas beside those that the interfaces have already; ifupdown does both.
fn ifupdown_addresses(wanted: &Wanted) -> String {
    let steps = linux::steps(wanted, Vec::new());
    let mut text = String::new();
    for interface in ["lo", "tunl0", "ip6tnl0"] {
        let vips = wanted.vips.iter();
        let vips: Vec<_> = vips
            .filter(|vip| place(wanted.method, **vip).0 == interface)
            .collect();
        if vips.is_empty() {
            continue;
        }
        if interface != "lo" {
            let _ = writeln!(text, "auto {interface}");
        }
        let _ = writeln!(text, "iface {interface} inet manual");
        if interface != "lo" {
            let _ = writeln!(text, "    up ip link set {interface} up");
        }
        for vip in vips {
            let prefix_len = place(wanted.method, *vip).1;
            let clamp = steps
                .iter()
                .filter(|it| it.what.starts_with(&format!("{vip} asks")));
            for command in clamp.flat_map(|it| &it.run) {
                let _ = writeln!(text, "    up {command}");
            }
            let flags = linux::flags(*vip);
            let _ = writeln!(
                text,
                "    up ip address replace {vip}/{prefix_len} dev {interface}{flags}\n    \
                 down ip address del {vip}/{prefix_len} dev {interface} || true"
            );
        }
    }
    text
}
