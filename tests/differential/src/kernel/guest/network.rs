//! The director: a network namespace of its own, and its cables.
//!
//! ```text
//!   namespace `ext`              the director's namespace
//!   peth0  ◄──── a veth pair ────►  eth0
//!   a packet socket              addresses, routes, neighbours, IPVS
//! ```
//!
//! The outer namespace and its ends have these names because shell lines of scenarios may use
//! them.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::command::{must, set};
use super::port::Port;
use super::trouble::Trouble;
use crate::kernel::script::{Cable, Script};

/// The namespace of the cables' outer ends, by the name `ip` knows it by.
const OUTSIDE: &str = "ext";
const NAMES: &str = "/run/netns";

/// The calling thread's network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// How every director is set up, before its interfaces are there: it forwards, believes every
/// source address, sends no redirects, and answers with as many ICMP errors as there are reasons.
const DEFAULTS: [(&str, &str); 8] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.accept_local", "1"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.icmp_ratemask", "0"),
];

/// The same for IPv6, which keeps silent about its addresses as well.
const DEFAULTS_V6: [(&str, &str); 6] = [
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.addr_gen_mode", "1"),
    ("net.ipv6.icmp.ratelimit", "0"),
];

/// What would let frames leave with unfinished checksums, or several as one.
const OFFLOADS: [&str; 6] = ["rx", "tx", "sg", "tso", "gso", "gro"];

/// How long the kernel may take to notice that a cable is plugged in.
const CARRIER: Duration = Duration::from_millis(50);

/// A director; the namespaces go with the last thread and program in them.
#[derive(Debug)]
pub(super) struct Director {
    namespace: File,
    ports: Vec<Port>,
}

impl Director {
    /// The players' ends of its cables.
    pub(super) fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Moves the calling thread into the director.
    pub(super) fn enter(&self) -> Result<(), Trouble> {
        enter(&self.namespace)
    }
}

/// Builds a director. The calling thread is in it afterwards.
pub(super) fn build(script: &Script) -> Result<Director, Trouble> {
    let outside = new_namespace()?;
    name(OUTSIDE)?;
    without_ipv6()?;
    let namespace = new_namespace()?;
    let defaults_v6: &[_] = if script.ipv6 { &DEFAULTS_V6 } else { &[] };
    for (key, value) in DEFAULTS.iter().chain(defaults_v6) {
        set(key, value)?;
    }
    if !script.ipv6 {
        without_ipv6()?;
    }
    let cables: Vec<String> = script.cables.iter().map(cable).collect();
    batch(&[&["link set lo up".to_owned()], &cables[..]].concat())?;
    enter(&outside)?;
    let ports = outer_ends(&script.cables);
    enter(&namespace)?;
    let ports = ports?;
    for cable in &script.cables {
        without_offloads(&cable.name)?;
    }
    batch(&script.ip)?;
    thread::sleep(CARRIER);
    Ok(Director { namespace, ports })
}

fn new_namespace() -> Result<File, Trouble> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(Trouble::when("cannot make a network namespace"))?;
    Ok(File::open(OWN)?)
}

fn enter(namespace: &File) -> Result<(), Trouble> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(Trouble::when("cannot enter a network namespace"))
}

/// Gives the calling thread's namespace a name, which it takes from the scenario before.
fn name(name: &str) -> Result<(), Trouble> {
    fs::create_dir_all(NAMES)?;
    let file = Path::new(NAMES).join(name);
    // The first scenario finds nothing to take it from.
    let _ = umount2(&file, MntFlags::MNT_DETACH);
    File::create(&file)?;
    mount(
        Some(OWN),
        &file,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(Trouble::when("cannot name a network namespace"))
}

/// Keeps the calling thread's namespace from talking about itself over IPv6.
fn without_ipv6() -> Result<(), Trouble> {
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    set("net.ipv6.conf.all.disable_ipv6", "1")?;
    set("net.ipv6.conf.default.disable_ipv6", "1")
}

/// The line for `ip` that makes a cable. The outer end takes everything the director sends.
fn cable(cable: &Cable) -> String {
    let Cable { name, mac, mtu } = cable;
    let outer = outer_end(name);
    format!(
        "link add {name} address {mac} mtu {mtu} type veth peer name {outer} mtu 65535 \
         netns {OUTSIDE}"
    )
}

fn outer_end(name: &str) -> String {
    format!("p{name}")
}

/// Brings the outer ends up and opens them; the calling thread is outside.
fn outer_ends(cables: &[Cable]) -> Result<Vec<Port>, Trouble> {
    let up = |cable: &Cable| format!("link set {} up arp off", outer_end(&cable.name));
    batch(&cables.iter().map(up).collect::<Vec<_>>())?;
    let open = |cable: &Cable| {
        let outer = outer_end(&cable.name);
        without_offloads(&outer)?;
        Port::open(&cable.name, &outer)
    };
    cables.iter().map(open).collect()
}

fn without_offloads(interface: &str) -> Result<(), Trouble> {
    let mut arguments = vec!["-K", interface];
    arguments.extend(OFFLOADS.iter().flat_map(|offload| [*offload, "off"]));
    must("ethtool", &arguments, "")
}

fn batch(lines: &[String]) -> Result<(), Trouble> {
    must("ip", &["-batch", "-"], &format!("{}\n", lines.join("\n")))
}
