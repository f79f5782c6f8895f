//! `[net]` as real interfaces of the sandbox, and what Linux then says of them.

use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use control::linux::link;
use control::linux::netlink::RouteSocket;
use control::linux::twin::TwinLink;
use dataplane::address::MacAddr;
use dataplane::id::{EthdevId, InterfaceId};
use dataplane::snapshot::Interface;

use super::Failure;
use crate::scenario::NetLine;

/// What the kernel's side sets too before it begins.
const SYSCTLS: [(&str, &str); 6] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/all/accept_local", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
];

/// Makes the interfaces, addresses, neighbours, routes and rules of `[net]` in the network
/// namespace of the calling thread, and gives the interfaces in their order and `lo`.
pub(super) fn build(net: &[NetLine]) -> Result<(Vec<TwinLink>, TwinLink), Failure> {
    for (path, value) in SYSCTLS {
        write_sysctl(path, value)?;
    }
    if !speaks_ipv6(net) {
        write_sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
    }
    let names = interface_names(net);
    ip_batch(&batch(net, &names))?;
    let mut socket = RouteSocket::open().map_err(Failure::Linux)?;
    let mut link = |number: usize, name: &str| {
        let link = link::by_name(&mut socket, name).map_err(Failure::Linux)?;
        let link = link.ok_or_else(|| Failure::NoInterface(name.to_owned()))?;
        let number = u16::try_from(number).map_err(|error| Failure::Network(error.to_string()))?;
        Ok(TwinLink {
            interface: InterfaceId(number),
            ifindex: link.ifindex,
            name: link.name,
            mac: link.mac,
        })
    };
    let loopback = link(names.len(), "lo")?;
    let links = names.iter().enumerate();
    let links = links.map(|(number, name)| link(number, name));
    Ok((links.collect::<Result<_, _>>()?, loopback))
}

/// The interfaces as the data plane has them, before Linux has said more of them.
pub(super) fn interfaces(links: &[TwinLink]) -> Vec<Interface> {
    let interface = |link: &TwinLink| Interface {
        id: link.interface,
        ethdev: EthdevId(link.interface.0),
        vlan: None,
        mac: link.mac,
        mtu: 1_500,
        address: None,
        // The kernel takes a server's replies wherever they come from.
        accept_replies: true,
    };
    links.iter().map(interface).collect()
}

/// The MAC of an interface whose line names none, by its place from 0.
fn usual_mac(place: usize) -> MacAddr {
    let place = u8::try_from(place + 1).unwrap_or(u8::MAX);
    MacAddr([2, 0, 0, 0, 0, place])
}

fn interface_names(net: &[NetLine]) -> Vec<String> {
    let named = net.iter().filter_map(|line| match line {
        NetLine::Interface { name, .. } => Some(name.clone()),
        _ => None,
    });
    named.collect()
}

fn speaks_ipv6(net: &[NetLine]) -> bool {
    net.iter().any(|line| match line {
        NetLine::Interface { addresses, .. } => addresses.iter().any(|it| it.contains(':')),
        NetLine::Address { prefix, .. } => prefix.contains(':'),
        NetLine::Route(route) => {
            (route.split_whitespace()).any(|word| word.contains(':') && word.contains('/'))
        }
        _ => false,
    })
}

/// What `ip -batch` is told. Each interface is one end of a pair whose other end swallows what
/// Linux itself sends.
fn batch(net: &[NetLine], names: &[String]) -> String {
    let mut lines = vec!["link set lo up".to_owned()];
    for (place, name) in names.iter().enumerate() {
        let mac = usual_mac(place);
        lines.push(format!(
            "link add {name} address {mac} mtu 1500 type veth peer name p{name} mtu 65535"
        ));
        lines.push(format!("link set p{name} arp off up"));
    }
    for line in net {
        push_line(line, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What one line of `[net]` is in the words of `ip`; settings and commands come later.
fn push_line(line: &NetLine, lines: &mut Vec<String>) {
    let address = |prefix: &str, interface: &str| {
        let nodad = if prefix.contains(':') { " nodad" } else { "" };
        format!("addr add {prefix} dev {interface}{nodad}")
    };
    match line {
        NetLine::Interface {
            name,
            addresses,
            mac,
            mtu,
        } => {
            lines.extend((mac.iter()).map(|mac| format!("link set {name} address {mac}")));
            lines.extend(mtu.iter().map(|mtu| format!("link set {name} mtu {mtu}")));
            lines.push(format!("link set {name} up"));
            lines.extend(addresses.iter().map(|prefix| address(prefix, name)));
        }
        NetLine::Address { interface, prefix } => lines.push(address(prefix, interface)),
        NetLine::Neighbour {
            address,
            mac,
            interface,
        } => lines.push(format!(
            "neigh replace {address} lladdr {mac} dev {interface} nud permanent"
        )),
        NetLine::Route(route) => lines.push(format!("route replace {route}")),
        NetLine::Rule(rule) => lines.push(format!("rule {rule}")),
        NetLine::Sysctl { .. } | NetLine::Command(_) => {}
    }
}

/// Writes a setting of the calling thread's network namespace; one this kernel lacks is left.
fn write_sysctl(path: &str, value: &str) -> Result<(), Failure> {
    match fs::write(format!("/proc/sys/{path}"), value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::Linux(error)),
        _ => Ok(()),
    }
}

fn ip_batch(lines: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Network(format!("`ip -batch`: {error}"));
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = ip.stdin.take() {
        input.write_all(lines.as_bytes()).map_err(failed)?;
    }
    let ran = ip.wait_with_output().map_err(failed)?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(Failure::Network(said.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, mac: Option<&str>) -> NetLine {
        NetLine::Interface {
            name: name.to_owned(),
            addresses: vec!["10.1.0.1/24".to_owned()],
            mac: mac.map(str::to_owned),
            mtu: mac.map(|_| 1_400),
        }
    }

    #[test]
    fn lines_become_what_ip_is_told_in_their_order() {
        let net = [
            interface("eth0", None),
            interface("eth1", Some("02:00:00:00:00:99")),
            NetLine::Neighbour {
                address: "10.1.0.254".to_owned(),
                mac: "02:00:00:00:10:fe".to_owned(),
                interface: "eth0".to_owned(),
            },
            NetLine::Route("default via 10.1.0.254 dev eth0".to_owned()),
            NetLine::Command("ip link set eth0 down".to_owned()),
        ];

        let told = batch(&net, &interface_names(&net));

        let expected = "\
link set lo up
link add eth0 address 02:00:00:00:00:01 mtu 1500 type veth peer name peth0 mtu 65535
link set peth0 arp off up
link add eth1 address 02:00:00:00:00:02 mtu 1500 type veth peer name peth1 mtu 65535
link set peth1 arp off up
link set eth0 up
addr add 10.1.0.1/24 dev eth0
link set eth1 address 02:00:00:00:00:99
link set eth1 mtu 1400
link set eth1 up
addr add 10.1.0.1/24 dev eth1
neigh replace 10.1.0.254 lladdr 02:00:00:00:10:fe dev eth0 nud permanent
route replace default via 10.1.0.254 dev eth0
";
        assert_eq!(told, expected);
    }
}
