//! Ports against each other, and against the gateway's workers and memory.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::super::RawConfig;
use super::super::document::{Table, Value};
use super::super::port::{Device, Interface, Port};
use super::super::section::{Problems, Written};
use super::super::sizing;
use super::see;

/// DPDK's RTE_MAX_ETHPORTS.
const MAX_PORTS: usize = 32;

/// The most ethdevs and VLANs together; each has a twin, which Linux must carry.
const MAX_INTERFACES: usize = 4096;

/// Bytes of a frame of AF_PACKET's ring: below, an Ethernet frame does not fit; above, a frame
/// does not fit a packet buffer.
const RING_FRAMES: RangeInclusive<u32> = 2_048..=32_768;

pub(super) fn check(raw: &RawConfig<'_>, problems: &Problems) {
    check_count(raw, problems);
    check_names(raw, problems);
    check_devices(raw, problems);
    check_addresses(raw, problems);
    for port in &raw.ports {
        check_vlans(port, problems);
        check_mtu(port, raw, problems);
    }
    check_memory(raw, problems);
}

/// Every ethdev and VLAN with its table.
fn interfaces<'a>(raw: &'a RawConfig<'a>) -> impl Iterator<Item = (&'a Interface, &'a Table)> {
    raw.ports.iter().flat_map(|port| {
        let tables = std::iter::once(port.at).chain(port.parts.iter().copied());
        port.value
            .interfaces()
            .map(|(_, interface)| interface)
            .zip(tables)
    })
}

fn check_count(raw: &RawConfig<'_>, problems: &Problems) {
    let written = super::tables(raw.root, "port").len();
    let is_absent = match raw.root.entries.get("port") {
        None => true,
        Some(entry) => matches!(&entry.node.value, Value::List(ports) if ports.is_empty()),
    };
    if is_absent {
        problems.refuse(
            raw.root.line_of("port"),
            "there is no port to receive from: add a [[port]] with a name and a device",
        );
    }
    if let Some(port) = raw.ports.get(MAX_PORTS) {
        let message = format!("there are {written} ports: DPDK has room for {MAX_PORTS}");
        problems.refuse(port.at.line, message);
    }
    if let Some((_, at)) = interfaces(raw).nth(MAX_INTERFACES) {
        let message = format!("there are more than {MAX_INTERFACES} ports and VLANs: use fewer");
        problems.refuse(at.line, message);
    }
}

fn check_names(raw: &RawConfig<'_>, problems: &Problems) {
    let mut names = HashMap::new();
    let mut twins = HashMap::new();
    for (interface, at) in interfaces(raw) {
        let Interface { name, twin, .. } = interface;
        let line = at.line_of("name");
        if let Some(first) = names.insert(name, line) {
            let message = format!(
                "`{name}` is already the name of another port or VLAN{}: names must differ",
                see(first)
            );
            problems.refuse(line, message);
        }
        let line = at.line_of("twin.name");
        if let Some(first) = twins.insert(&twin.name, line) {
            let message = format!(
                "twin \"{}\" already belongs to another port or VLAN{}: each needs its own",
                twin.name,
                see(first)
            );
            problems.refuse(line, message);
        }
    }
    for port in &raw.ports {
        let taken = port.value.device.linux_interface();
        if let Some(&line) = taken.and_then(|name| twins.get(&name.to_owned())) {
            let message = format!(
                "twin \"{}\" is the interface from which port `{}` receives: \
                 give the twin another name",
                taken.unwrap_or_default(),
                port.value.interface.name
            );
            problems.refuse(line, message);
        }
    }
}

fn check_devices(raw: &RawConfig<'_>, problems: &Problems) {
    let mut devices = HashMap::new();
    let mut taken = HashMap::new();
    for port in &raw.ports {
        let device = &port.value.device;
        let line = port.at.line_of("device");
        if let Some(first) = devices.insert(device.name(), line) {
            let message = format!(
                "device {} already belongs to another port{}: each port needs its own, \
                 and vdevs differ by the number behind their driver's name",
                device.name(),
                see(first)
            );
            problems.refuse(line, message);
        }
        if let Some(interface) = device.linux_interface()
            && let Some(first) = taken.insert(interface, line)
        {
            let message = format!(
                "another port receives from {interface} already{}: give each port its own \
                 interface",
                see(first)
            );
            problems.refuse(line, message);
        }
        if device.is_af_packet() {
            check_af_packet(device, line, raw.gateway.workers.count(), problems);
            check_ring(port, raw, problems);
        }
        if device.name().starts_with("net_null") && device.argument("no-rx") == Some("1") {
            let message = format!(
                "port `{}` leads nowhere: give it a NIC's PCI address, or net_af_packet0 with an \
                 interface",
                port.value.interface.name
            );
            problems.warn(line, message);
        }
    }
}

fn check_af_packet(device: &Device, line: usize, workers: u16, problems: &Problems) {
    if device.argument("iface").is_none() {
        let message = format!(
            "device {} does not say which interface it is for: add iface=NAME",
            device.name()
        );
        problems.refuse(line, message);
    }
    let queues = device
        .argument("qpairs")
        .and_then(|n| n.parse::<u16>().ok());
    if let Some(queues) = queues.filter(|&queues| queues < workers) {
        let message = format!(
            "device {} has {queues} queues for {workers} workers, which need one each: \
             take qpairs={queues} away, and it has as many as there are workers",
            device.name()
        );
        problems.refuse(line, message);
    }
    if device.argument("framecnt").is_none() {
        problems.warn(
            line,
            "AF_PACKET loses packets without counting them when its ring has the default \
             512 frames: add framecnt=4096 to the device",
        );
    }
}

/// Frames of AF_PACKET's ring must fit its blocks and the packet buffers, and packets the frames.
fn check_ring(port: &Written<'_, Port>, raw: &RawConfig<'_>, problems: &Problems) {
    let Port {
        device, interface, ..
    } = &port.value;
    let line = port.at.line_of("device");
    let frame = device.ring_frame_bytes().unwrap_or(0);
    let is_told = device.argument("blocksz").is_some();
    if !RING_FRAMES.contains(&frame) || !(frame.is_power_of_two() || is_told) {
        let message = format!(
            "framesz={} is no size for a frame of AF_PACKET's ring: give a power of two from \
             {} to {}",
            device.argument("framesz").unwrap_or_default(),
            RING_FRAMES.start(),
            RING_FRAMES.end()
        );
        return problems.refuse(line, message);
    }
    let needed = sizing::ring_buffer_bytes(frame);
    if let Some(given) = raw
        .gateway
        .buffer_bytes
        .filter(|&given| u32::from(given) < needed)
    {
        let message = format!(
            "framesz={frame} does not fit `buffer_bytes` {given}{}: give at least {needed} \
             there, or leave that key out",
            see(raw.root.line_of("gateway.buffer_bytes"))
        );
        problems.refuse(line, message);
    }
    let largest = sizing::largest_in_ring(frame);
    if largest < u32::from(interface.mtu) {
        let message = format!(
            "AF_PACKET cuts packets of more than {largest} bytes, and `mtu` is {}: add \
             framesz={} to the device",
            interface.mtu,
            RING_FRAMES
                .end()
                .min(&(u32::from(interface.mtu) + frame - largest).next_power_of_two())
        );
        problems.warn(line, message);
    }
}

fn check_addresses(raw: &RawConfig<'_>, problems: &Problems) {
    let mut seen: HashSet<IpAddr> = HashSet::new();
    for (interface, at) in interfaces(raw) {
        for written in &interface.addresses {
            if !seen.insert(written.address) {
                let message = format!(
                    "address {} is given twice: an address belongs to one twin",
                    written.address
                );
                problems.refuse(at.line_of("addresses"), message);
            }
        }
    }
}

fn check_vlans(port: &Written<'_, Port>, problems: &Problems) {
    let mut ids = HashMap::new();
    for (vlan, at) in port.value.vlans.iter().zip(&port.parts) {
        let line = at.line_of("id");
        if let Some(first) = ids.insert(vlan.id, line) {
            let message = format!(
                "VLAN {} of port `{}` is already there{}: give it once",
                vlan.id,
                port.value.interface.name,
                see(first)
            );
            problems.refuse(line, message);
        }
        let (mtu, port_mtu) = (vlan.interface.mtu, port.value.interface.mtu);
        if mtu > port_mtu {
            let message = format!(
                "`mtu` {mtu} of VLAN {} is above the {port_mtu} of its port: \
                 lower it, or raise the port's",
                vlan.id
            );
            problems.refuse(at.line_of("mtu"), message);
        }
    }
}

fn check_mtu(port: &Written<'_, Port>, raw: &RawConfig<'_>, problems: &Problems) {
    let Some(buffer_bytes) = raw.gateway.buffer_bytes else {
        return;
    };
    let mtu = port.value.interface.mtu;
    let needed = u32::from(mtu) + u32::from(sizing::FRAME_OVERHEAD);
    if needed > u32::from(buffer_bytes) {
        let message = format!(
            "`mtu` {mtu} does not fit `buffer_bytes` {buffer_bytes}{}: give at least {needed} \
             there, or leave that key out",
            see(raw.root.line_of("gateway.buffer_bytes"))
        );
        problems.refuse(port.at.line_of("mtu"), message);
    }
}

fn check_memory(raw: &RawConfig<'_>, problems: &Problems) {
    let ports = || raw.ports.iter().map(|port| &port.value);
    let in_descriptors = sizing::buffers_in_descriptors(&raw.gateway, ports());
    let buffers = sizing::pool_buffers(&raw.gateway, ports());
    if buffers <= in_descriptors {
        let message = format!(
            "`pool_buffers` {buffers} cannot fill the descriptors of the ports, which take \
             {in_descriptors}: give more, or leave the key out"
        );
        problems.refuse(raw.root.line_of("gateway.pool_buffers"), message);
    }
    let buffer_bytes = sizing::buffer_bytes(&raw.gateway, ports());
    let needed = sizing::memory_mb(buffers, buffer_bytes);
    let given = raw.gateway.memory_mb;
    if needed > u64::from(given) {
        let message = format!(
            "`memory_mb` {given} cannot hold {buffers} packet buffers of {buffer_bytes} bytes: \
             give at least {needed}"
        );
        problems.refuse(raw.root.line_of("gateway.memory_mb"), message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals, warnings};

    fn port(name: &str, device: &str) -> String {
        format!("[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\n")
    }

    #[test]
    fn an_af_packet_device_needs_an_interface_of_its_own_and_queues_for_all_workers() {
        let text = port("b", "net_af_packet1,framecnt=4096");
        assert!(
            refusals(&text)[0].ends_with(
                "device net_af_packet1 does not say which interface it is for: add iface=NAME"
            ),
            "{:?}",
            refusals(&text)
        );

        let both = port("b", "net_af_packet1,iface=eth9,framecnt=4096")
            + &port("c", "net_af_packet2,iface=eth9,framecnt=4096");
        let refused = refusals(&both);
        assert!(
            refused[0].contains("another port receives from eth9 already (line "),
            "{refused:?}"
        );

        let few = format!(
            "[gateway]\nworkers = 2\n{}",
            port("b", "net_af_packet1,iface=eth9,framecnt=4096,qpairs=1")
        );
        let refused = refusals(&few);
        assert!(refused[0].contains("take qpairs=1 away"), "{refused:?}");
    }

    #[test]
    fn a_configuration_without_ports_is_refused() {
        let refusals = |text: &str| {
            let path = std::path::Path::new("t.toml");
            let errors = super::super::super::Config::from_toml(text, path).unwrap_err();
            errors.to_string()
        };

        let sentence = "there is no port to receive from: add a [[port]] with a name and a device";
        assert_eq!(refusals(""), format!("t.toml:1: {sentence}"));
        assert_eq!(refusals("\nport = []\n"), format!("t.toml:2: {sentence}"));
    }

    #[test]
    fn names_and_twins_are_unique_over_ports_and_vlans() {
        let text = port("wan", "net_null0")
            + "[[port.vlan]]\nid = 5\nname = \"wan\"\n"
            + &port("lan", "net_null1")
            + "twin = { name = \"sluice-wan\" }\n";

        assert_eq!(
            refusals(&text),
            [
                "4: twin \"sluice-wan\" already belongs to another port or VLAN (line 1): \
                 each needs its own",
                "6: `wan` is already the name of another port or VLAN (line 2): \
                 names must differ",
                "10: twin \"sluice-wan\" already belongs to another port or VLAN (line 4): \
                 each needs its own",
            ]
        );
    }

    #[test]
    fn a_twin_cannot_be_the_interface_its_port_receives_from() {
        let text =
            port("wan", "net_af_packet0,iface=veth,framecnt=4096") + "twin = { name = \"veth\" }\n";

        assert_eq!(
            refusals(&text),
            [
                "4: twin \"veth\" is the interface from which port `wan` receives: \
                 give the twin another name"
            ]
        );
    }

    #[test]
    fn a_device_belongs_to_one_port() {
        let text = port("a", "3b:00.0") + &port("b", "0000:3B:00.0");

        assert_eq!(
            refusals(&text),
            [
                "6: device 0000:3b:00.0 already belongs to another port (line 3): each port \
                 needs its own, and vdevs differ by the number behind their driver's name"
            ]
        );
    }

    #[test]
    fn af_packet_with_its_small_default_ring_is_a_warning() {
        assert_eq!(
            warnings(&port("a", "net_af_packet0,iface=veth")),
            [
                "3: AF_PACKET loses packets without counting them when its ring has the default \
                 512 frames: add framecnt=4096 to the device"
            ]
        );
    }

    #[test]
    fn a_port_that_stands_for_one_to_come_is_a_warning() {
        assert_eq!(
            warnings(&port("nowhere", "net_null0,no-rx=1")),
            [
                "3: port `nowhere` leads nowhere: give it a NIC's PCI address, or net_af_packet0 \
                 with an interface"
            ]
        );
        assert!(warnings(&port("measured", "net_null0")).is_empty());
    }

    #[test]
    fn frames_of_an_af_packet_ring_have_a_size_that_fits() {
        let with = |more: &str| port("a", &format!("net_af_packet0,iface=v,framecnt=512{more}"));

        for wrong in ["1024", "5000", "40000", "big"] {
            assert_eq!(
                refusals(&with(&format!(",framesz={wrong}"))),
                [format!(
                    "3: framesz={wrong} is no size for a frame of AF_PACKET's ring: give a power \
                     of two from 2048 to 32768"
                )]
            );
        }
        assert_eq!(
            config(&with(",framesz=9216,blocksz=36864")).buffer_bytes(),
            9216 + 128
        );
    }

    #[test]
    fn buffers_must_hold_the_frames_of_an_af_packet_ring() {
        let large = port("a", "net_af_packet0,iface=v,framecnt=512,framesz=16384");
        let given = |bytes: u16| format!("{large}[gateway]\nbuffer_bytes = {bytes}\n");

        assert_eq!(config(&large).buffer_bytes(), 16_512);
        assert_eq!(
            refusals(&given(9_150)),
            [
                "3: framesz=16384 does not fit `buffer_bytes` 9150 (line 5): give at least 16512 \
              there, or leave that key out"
            ]
        );
        assert_eq!(config(&given(16_512)).buffer_bytes(), 16_512);
    }

    #[test]
    fn an_mtu_above_the_frames_of_an_af_packet_ring_is_a_warning() {
        let jumbo = |more: &str| {
            port("a", &format!("net_af_packet0,iface=v,framecnt=512{more}")) + "mtu = 9000\n"
        };

        assert_eq!(
            warnings(&jumbo("")),
            [
                "3: AF_PACKET cuts packets of more than 1968 bytes, and `mtu` is 9000: add \
              framesz=16384 to the device"
            ]
        );
        assert_eq!(warnings(&jumbo(",framesz=16384")), [""; 0]);
    }

    #[test]
    fn an_address_belongs_to_one_twin() {
        let text = port("a", "net_null0")
            + "addresses = [\"10.1.0.1/24\"]\n"
            + &port("b", "net_null1")
            + "addresses = [\"10.1.0.1/16\"]\n";

        assert_eq!(
            refusals(&text),
            ["8: address 10.1.0.1 is given twice: an address belongs to one twin"]
        );
    }

    #[test]
    fn a_vlan_is_there_once_and_within_its_ports_mtu() {
        let text = port("a", "net_null0")
            + "[[port.vlan]]\nid = 5\nname = \"b\"\nmtu = 1504\n\
               [[port.vlan]]\nid = 5\nname = \"c\"\n";

        assert_eq!(
            refusals(&text),
            [
                "7: `mtu` 1504 of VLAN 5 is above the 1500 of its port: \
                 lower it, or raise the port's",
                "9: VLAN 5 of port `a` is already there (line 5): give it once",
            ]
        );
    }

    #[test]
    fn buffers_must_hold_the_largest_frame() {
        let jumbo = port("a", "net_null0") + "mtu = 9000\n";
        let text = format!("{jumbo}[gateway]\nbuffer_bytes = 9149\n");

        assert_eq!(
            refusals(&text),
            ["4: `mtu` 9000 does not fit `buffer_bytes` 9149 (line 6): \
                 give at least 9150 there, or leave that key out"]
        );
        assert_eq!(config(&text.replace("9149", "9150")).buffer_bytes(), 9150);
        assert_eq!(config(&jumbo).buffer_bytes(), 9150);
        assert_eq!(config("").buffer_bytes(), 2176);
    }

    #[test]
    fn buffers_must_fill_the_descriptors_and_fit_the_memory() {
        // Two workers with 1,024 descriptors for each direction.
        assert_eq!(
            config("[gateway]\nworkers = 2\n").pool_buffers(),
            2 * 4096 + 2 * 4096
        );
        assert_eq!(
            refusals("[gateway]\nworkers = 2\npool_buffers = 4096\n"),
            [
                "3: `pool_buffers` 4096 cannot fill the descriptors of the ports, \
                 which take 4096: give more, or leave the key out"
            ]
        );
        assert_eq!(
            refusals("[gateway]\npool_buffers = 262144\nmemory_mb = 512\n"),
            [
                "3: `memory_mb` 512 cannot hold 262144 packet buffers of 2176 bytes: \
                 give at least 656"
            ]
        );
        config("[gateway]\npool_buffers = 262144\nmemory_mb = 656\n");
    }

    #[test]
    fn more_ports_than_dpdk_has_room_for_are_refused() {
        let text: String = (0..33)
            .map(|n| port(&format!("p{n}"), &format!("net_null{n}")))
            .collect();

        assert_eq!(
            refusals(&text),
            ["97: there are 33 ports: DPDK has room for 32"]
        );
    }

    #[test]
    fn more_vlans_than_linux_should_carry_are_refused() {
        let vlans: String = (1..=4094)
            .map(|id| format!("[[port.vlan]]\nid = {id}\nname = \"v{id}\"\n"))
            .collect();
        let text = port("a", "net_null0") + &vlans + &port("b", "net_null1");

        config(&text);
        let text = text + &port("c", "net_null2");
        assert_eq!(
            refusals(&text),
            ["12289: there are more than 4096 ports and VLANs: use fewer"]
        );
    }
}
