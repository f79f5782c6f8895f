//! Files that keep it over a reboot.
//!
//! Names end in the method, so that a server of two methods has two sets. A file has the VIPs of the
//! command that wrote it.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::linux::{self, place};
use super::shell::script;
use super::step::Step;
use super::{Keeper, Method, Plan, Wanted};

/// Where the files of a method are.
struct Paths {
    sysctl: String,
    modules: String,
    netplan: String,
    ifupdown: String,
    script: String,
    unit: String,
}

impl Paths {
    fn of(method: Method) -> Self {
        let name = format!("sluice-realserver-{}", method.word());
        Self {
            sysctl: format!("/etc/sysctl.d/90-{name}.conf"),
            modules: format!("/etc/modules-load.d/{name}.conf"),
            netplan: format!("/etc/netplan/90-{name}.yaml"),
            ifupdown: format!("/etc/network/interfaces.d/{name}"),
            script: format!("/usr/local/sbin/{name}"),
            unit: format!("/etc/systemd/system/{name}.service"),
        }
    }
}

/// The files of every keeper but systemd.
pub(super) fn files(keeper: Keeper, wanted: &Wanted) -> Vec<Step> {
    let paths = Paths::of(wanted.method);
    let mut steps = Vec::new();
    let mut file = |path: &str, mode: &str, text: String| {
        if !text.is_empty() {
            steps.push(Step::file(path, mode, &text));
        }
    };
    file(&paths.modules, "644", modules(wanted));
    file(&paths.sysctl, "644", sysctl(wanted));
    match keeper {
        // netplan asks that nobody else reads its files.
        Keeper::Netplan => file(&paths.netplan, "600", netplan(wanted)),
        Keeper::Ifupdown => file(&paths.ifupdown, "644", ifupdown(wanted)),
        Keeper::Sysctl | Keeper::Systemd => {}
    }
    steps
}

/// What any of [`files`] may have left.
pub(super) fn left_files(wanted: &Wanted) -> Vec<Step> {
    let paths = Paths::of(wanted.method);
    let paths = [paths.modules, paths.sysctl, paths.netplan, paths.ifupdown];
    let left = |path: &String| Step::file(path, "644", "").left();
    paths.iter().map(left).collect()
}

/// A unit that does `plan` by a script, at once and at every boot.
pub(super) fn by_unit(plan: &Plan, wanted: &Wanted) -> Vec<Step> {
    if plan.steps.is_empty() {
        return Vec::new();
    }
    let paths = Paths::of(wanted.method);
    let name = format!("sluice-realserver-{}.service", wanted.method.word());
    let after = match wanted.method {
        Method::Nat => "Wants=network-online.target\nAfter=network-online.target",
        _ => "After=network.target",
    };
    let unit = format!(
        "[Unit]\nDescription=Sluice: {}\n{after}\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart={script} start\nExecStop={script} stop\n\n[Install]\nWantedBy=multi-user.target\n",
        plan.title,
        script = paths.script,
    );
    vec![
        Step::file(&paths.script, "755", &script(plan)),
        Step::file(&paths.unit, "644", &unit),
        Step::new(format!("{name} runs, now and after a boot"))
            .run("systemctl daemon-reload")
            .run(format!("systemctl enable {name}"))
            .run(format!("systemctl restart {name}"))
            .undo(format!(
                "[ ! -e {} ] || systemctl disable --now {name}",
                paths.unit
            )),
    ]
}

fn modules(wanted: &Wanted) -> String {
    let tunnels = linux::tunnels(wanted);
    tunnels
        .iter()
        .map(|it| format!("{}\n", it.module))
        .collect()
}

fn sysctl(wanted: &Wanted) -> String {
    let settings = linux::settings(wanted);
    let line = |it: &linux::Setting| format!("# {}\n{} = {}\n", it.why, it.key, it.value);
    settings.iter().map(line).collect()
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
    let steps = linux::steps(wanted);
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
