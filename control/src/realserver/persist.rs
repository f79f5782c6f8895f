//! Files that keep it over a reboot.
//!
//! Each VIP of each method has files of its own, and goes with them; what VIPs share goes with the
//! last of them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::linux::{self, nobody_left, place, vips_of};
use super::shell::script;
use super::step::Step;
use super::{Keeper, Method, Wanted, plan_of};

/// The name of what keeps a VIP of a method, or the route of NAT.
fn name_of(wanted: &Wanted) -> String {
    let vip = wanted.vips.first().map(|vip| format!("-{}", word(*vip)));
    format!(
        "sluice-realserver-{}{}",
        wanted.method.word(),
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
    if wanted.method.takes_vip() {
        let method = wanted.method.word();
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
        // netplan asks that nobody else reads its files.
        let (path, mode, text) = match keeper {
            Keeper::Netplan => (
                format!("/etc/netplan/90-{name}.yaml"),
                "600",
                netplan(&alone),
            ),
            Keeper::Ifupdown => (
                format!("/etc/network/interfaces.d/{name}"),
                "644",
                ifupdown(&alone),
            ),
            Keeper::Sysctl | Keeper::Systemd => continue,
        };
        steps.push(Step::file(&path, mode, &text));
    }
    steps
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
    let after = match wanted.method {
        Method::Nat => "Wants=network-online.target\nAfter=network-online.target",
        _ => "After=network.target",
    };
    let unit = format!(
        "[Unit]\nDescription=Sluice: {}\n{after}\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart={path} start\nExecStop={path} stop\n\n[Install]\nWantedBy=multi-user.target\n",
        plan.title,
    );
    let unit_path = format!("/etc/systemd/system/{name}.service");
    [
        Step::file(&path, "755", &script(&plan)),
        Step::file(&unit_path, "644", &unit),
        Step::new(format!("{name}.service runs, now and after a boot"))
            .run("systemctl daemon-reload")
            .run(format!("systemctl enable {name}"))
            .run(format!("systemctl restart {name}"))
            .undo(format!(
                "[ ! -e {unit_path} ] || systemctl disable --now {name}"
            )),
    ]
}

fn netplan(wanted: &Wanted) -> String {
    let head = "network:\n  version: 2\n  ethernets:\n";
    match (wanted.method, wanted.gateway, &wanted.interface) {
        (Method::Dr, ..) => {
            let lines: String = wanted.vips.iter().map(netplan_address).collect();
            format!("{head}    lo:\n      match:\n        name: lo\n      addresses:\n{lines}")
        }
        (Method::Nat, Some(gateway), Some(interface)) => format!(
            "{head}    {interface}:\n      routes:\n        - to: default\n          via: \"{gateway}\"\n"
        ),
        _ => String::new(),
    }
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

/// Stanzas beside those that the interfaces have already; ifupdown does both.
fn ifupdown(wanted: &Wanted) -> String {
    match (wanted.method, wanted.gateway, &wanted.interface) {
        (Method::Dr | Method::Tun, ..) => ifupdown_addresses(wanted),
        (Method::Nat, Some(gateway), Some(interface)) => format!(
            "iface {interface} inet manual\n    up ip route replace {0}\n    down ip route del {0} || true\n",
            linux::route_to(gateway, Some(interface))
        ),
        _ => String::new(),
    }
}

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
