//! `[[port]]` and `[[port.vlan]]`: ethdevs, their VLANs, and the twin of each.

use std::fmt;
use std::str::FromStr;

use dataplane::id::{EthdevId, InterfaceId, VlanId};
use serde::{Serialize, Serializer};

use super::document::{Node, Table};
use super::network::{InterfaceAddress, MAX_INTERFACE_NAME, Route, parse_interface_name};
use super::section::{Section, Written};

/// RFC 791 §3.1: every link carries a datagram of 68 bytes.
const MIN_MTU: u16 = 68;

/// The largest MTU whose frame, with headroom, still fits the 65,535 bytes of a buffer.
const MAX_MTU: u16 = u16::MAX - super::FRAME_OVERHEAD;

/// The largest ring that DPDK's drivers offer.
const MAX_DESCRIPTORS: u16 = 32_768;

/// A frame of AF_PACKET's ring, unless `framesz` says otherwise.
const RING_FRAME_BYTES: u32 = 2_048;

/// A block of AF_PACKET's ring, unless `blocksz` says otherwise: a page.
const RING_BLOCK_BYTES: u32 = 4_096;

/// vdev drivers that leave the kernel's interface in place, with the arguments that name it.
const SHARING_DRIVERS: [(&str, &[&str]); 5] = [
    ("net_af_packet", &["iface"]),
    ("eth_af_packet", &["iface"]),
    ("net_af_xdp", &["iface"]),
    (
        "net_pcap",
        &["iface", "rx_iface", "rx_iface_in", "tx_iface"],
    ),
    (
        "eth_pcap",
        &["iface", "rx_iface", "rx_iface_in", "tx_iface"],
    ),
];

/// What an ethdev and a VLAN of it have in common: a name, an MTU and a twin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name in this file, in metrics and in tables: as short as a Linux interface's.
    pub name: String,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u16,
    /// Its Linux interface.
    pub twin: Twin,
    /// Addresses put on the twin when the gateway starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<InterfaceAddress>,
    /// Routes put on the twin when the gateway starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Takes replies of every NAT and FULLNAT server, not only of those routed through it.
    pub accept_replies: bool,
}

/// The Linux interface of an ethdev or VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Twin {
    /// Its name in Linux.
    pub name: String,
    /// Whether it stays, without carrier, when the gateway ends.
    pub persist: bool,
}

/// One ethdev.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its untagged traffic.
    #[serde(flatten)]
    pub interface: Interface,
    /// Which NIC or vdev it is.
    pub device: Device,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    /// Takes a Linux interface even if it carries an address or the default route.
    pub take_interface: bool,
    /// Its tagged traffic.
    #[serde(rename = "vlan", skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<Vlan>,
}

/// One IEEE 802.1Q VLAN of an ethdev.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vlan {
    /// Its identifier, 1–4094.
    #[serde(serialize_with = "vlan_number")]
    pub id: VlanId,
    /// What it has in common with an ethdev.
    #[serde(flatten)]
    pub interface: Interface,
}

/// An ethdev or VLAN with the numbers that the packet path knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberedInterface<'a> {
    /// Counted over the file: each port, followed by its VLANs.
    pub id: InterfaceId,
    /// The port it belongs to, counted over the file.
    pub ethdev: EthdevId,
    /// Its VLAN, if it is not the port's untagged traffic.
    pub vlan: Option<VlanId>,
    /// What the file says about it.
    pub interface: &'a Interface,
}

/// What the devices of these drivers are made of, which a gateway does not have in its hands.
const MADE_OF_OTHERS: [(&str, &str); 6] = [
    ("net_bonding", BOND),
    ("eth_bond", BOND),
    ("net_failsafe", HYPER_V),
    ("net_netvsc", HYPER_V),
    ("net_vdev_netvsc", HYPER_V),
    ("vdev_netvsc", HYPER_V),
];

const BOND: &str = "DPDK may touch only what a [[port]] names, and a port's NIC is no part of a bond; \
                    give each NIC a [[port]], or take a bond of Linux's as \
                    \"net_af_packet0,iface=bond0,framecnt=4096\"";

const HYPER_V: &str = "what Hyper-V and Azure have is on another bus than PCI; take the Linux \
                       interface as \"net_af_packet0,iface=NAME,framecnt=4096\"";

/// Which NIC or vdev a port is, as DPDK's devargs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// A PCI address with its domain, and driver options if any: `0000:3b:00.0`.
    Pci(String),
    /// A virtual device with its arguments: `net_af_packet0,iface=veth-gw,framecnt=4096`.
    Vdev(String),
}

impl Device {
    /// What EAL is given.
    #[must_use]
    pub fn devargs(&self) -> &str {
        match self {
            Self::Pci(devargs) | Self::Vdev(devargs) => devargs,
        }
    }

    /// The device's name in DPDK: what stands before the first comma.
    #[must_use]
    pub fn name(&self) -> &str {
        let devargs = self.devargs();
        devargs.split_once(',').map_or(devargs, |(name, _)| name)
    }

    /// The value of a driver's argument.
    #[must_use]
    pub fn argument(&self, key: &str) -> Option<&str> {
        let mut arguments = self.devargs().split(',').skip(1);
        arguments.find_map(|argument| match argument.split_once('=') {
            Some((name, value)) if name == key => Some(value),
            _ => None,
        })
    }

    /// The Linux interface whose packets the device takes and the kernel sees too. `None` for
    /// devices that have none, as `net_tap` (whose `iface` it makes) and `net_pcap` on files.
    #[must_use]
    pub fn linux_interface(&self) -> Option<&str> {
        // DPDK, too, takes any name that begins with a driver's.
        let (_, keys) = SHARING_DRIVERS
            .iter()
            .find(|(driver, _)| self.name().starts_with(driver))?;
        keys.iter().find_map(|key| self.argument(key))
    }

    /// Whether it is DPDK's view of an interface through AF_PACKET.
    #[must_use]
    pub fn is_af_packet(&self) -> bool {
        let name = self.name();
        name.starts_with("net_af_packet") || name.starts_with("eth_af_packet")
    }

    /// Bytes of each frame of AF_PACKET's ring, what the kernel keeps with it included. Nothing
    /// for other devices, and for a size that is no number.
    #[must_use]
    pub fn ring_frame_bytes(&self) -> Option<u32> {
        if !self.is_af_packet() {
            return None;
        }
        match self.argument("framesz") {
            Some(bytes) => bytes.parse().ok(),
            None => Some(RING_FRAME_BYTES),
        }
    }

    /// What EAL is given so that each of `workers` workers has a queue: AF_PACKET has one queue
    /// unless told. Its ring is made of blocks, which must hold a frame.
    #[must_use]
    pub fn devargs_for(&self, workers: u16) -> String {
        let mut devargs = self.devargs().to_owned();
        if !self.is_af_packet() {
            return devargs;
        }
        if workers > 1 && self.argument("qpairs").is_none() {
            devargs += &format!(",qpairs={workers}");
        }
        let frame = self.ring_frame_bytes().unwrap_or(RING_FRAME_BYTES);
        if frame > RING_BLOCK_BYTES && self.argument("blocksz").is_none() {
            devargs += &format!(",blocksz={frame}");
        }
        devargs
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once(',').unwrap_or((text, ""));
        if text.contains(char::is_whitespace) {
            return Err(format!(
                "\"{text}\" has a blank: separate arguments by commas only"
            ));
        }
        if let Some(address) = normal_pci_address(name) {
            return Ok(Self::Pci(match options {
                "" => address,
                options => format!("{address},{options}"),
            }));
        }
        if let Some(why) = not_in_hand(name) {
            return Err(format!("\"{text}\" cannot be opened: {why}"));
        }
        let is_vdev = ["net_", "eth_", "virtio_user"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if is_vdev && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Ok(Self::Vdev(text.to_owned()));
        }
        Err(format!(
            "\"{text}\" is neither a PCI address like 0000:3b:00.0 nor a vdev; for a Linux \
             interface write \"net_af_packet0,iface=NAME,framecnt=4096\""
        ))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.devargs())
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.devargs())
    }
}

impl Port {
    /// Its untagged traffic, then each VLAN.
    pub fn interfaces(&self) -> impl Iterator<Item = (Option<VlanId>, &Interface)> {
        let tagged = self.vlans.iter();
        std::iter::once((None, &self.interface))
            .chain(tagged.map(|vlan| (Some(vlan.id), &vlan.interface)))
    }

    pub(super) fn read(mut section: Section<'_>) -> Option<Written<'_, Self>> {
        let at = section.table();
        let device = section.required(
            "device",
            "give a PCI address like \"0000:3b:00.0\" or a vdev",
            Node::parsed,
        );
        let interface = Interface::read(&mut section, 1500);
        let rx_descriptors = section.or("rx_descriptors", 1024, read_descriptors);
        let tx_descriptors = section.or("tx_descriptors", 1024, read_descriptors);
        let take_interface = section.or("take_interface", false, Node::boolean);
        let mtu = interface.as_ref().map_or(1500, |interface| interface.mtu);
        let (vlans, parts) = read_vlans(&mut section, mtu);
        section.finish();
        let value = Self {
            interface: interface?,
            device: device?,
            rx_descriptors,
            tx_descriptors,
            take_interface,
            vlans,
        };
        Some(Written { value, at, parts })
    }
}

impl Interface {
    fn read(section: &mut Section<'_>, default_mtu: u16) -> Option<Self> {
        let name = section.required(
            "name",
            "give it a short one, like \"wan\"; services and metrics use it",
            |node| parse_interface_name(node.text()?),
        );
        let mtu = section.or("mtu", default_mtu, |n| n.number(MIN_MTU, MAX_MTU));
        let twin = Twin::read(section, name.as_deref());
        let addresses = section.list("addresses", Node::parsed).unwrap_or_default();
        let routes = section.list("routes", Node::parsed).unwrap_or_default();
        let accept_replies = section.or("accept_replies", false, Node::boolean);
        Some(Self {
            name: name?,
            mtu,
            twin: twin?,
            addresses,
            routes,
            accept_replies,
        })
    }
}

impl Twin {
    fn read(section: &mut Section<'_>, interface_name: Option<&str>) -> Option<Self> {
        let (mut name, mut persist) = (None, true);
        let mut is_named = false;
        if let Some(mut twin) = section.inner("twin") {
            is_named = twin.has("name");
            name = twin.optional("name", |node| parse_interface_name(node.text()?));
            persist = twin.or("persist", true, Node::boolean);
            twin.finish();
        }
        if !is_named {
            name = default_twin_name(section, interface_name?);
        }
        name.map(|name| Self { name, persist })
    }
}

fn default_twin_name(section: &Section<'_>, interface_name: &str) -> Option<String> {
    let name = format!("sluice-{interface_name}");
    if name.len() <= MAX_INTERFACE_NAME {
        return Some(name);
    }
    let message = format!(
        "the twin of `{interface_name}` would be called \"{name}\", which has more than \
         {MAX_INTERFACE_NAME} characters: give it another with twin = {{ name = \"…\" }}"
    );
    section.refuse(section.table().line_of("name"), &message);
    None
}

fn read_vlans<'a>(section: &mut Section<'a>, port_mtu: u16) -> (Vec<Vlan>, Vec<&'a Table>) {
    let mut vlans = Vec::new();
    let mut tables = Vec::new();
    for mut section in section.tables("vlan") {
        let at = section.table();
        let id = section.required("id", "give the VLAN's number, 1 to 4094", |node| {
            node.number(1_u16, 4094)
        });
        let interface = Interface::read(&mut section, port_mtu);
        section.finish();
        if let (Some(id), Some(interface)) = (id.map(VlanId), interface) {
            vlans.push(Vlan { id, interface });
            tables.push(at);
        }
    }
    (vlans, tables)
}

fn read_descriptors(node: &Node) -> Result<u16, String> {
    let count: u16 = node.number(64, MAX_DESCRIPTORS)?;
    if count.is_power_of_two() {
        Ok(count)
    } else {
        Err(format!(
            "{count} is not a power of two: give {}, as every driver wants",
            count.next_power_of_two()
        ))
    }
}

/// `0000:3b:00.0` from `0000:3B:00.0` or `3b:00.0`, if it is a PCI address.
pub(crate) fn normal_pci_address(text: &str) -> Option<String> {
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let (slot, function) = text.rsplit_once('.')?;
    let parts: Vec<_> = slot.split(':').collect();
    let (domain, bus, device) = match parts.as_slice() {
        [bus, device] => ("0000", *bus, *device),
        [domain, bus, device] => (*domain, *bus, *device),
        _ => return None,
    };
    let is_function =
        function.len() == 1 && function.bytes().all(|b| b.is_ascii_digit() && b < b'8');
    (is_hex(domain, 4) && is_hex(bus, 2) && is_hex(device, 2) && is_function)
        .then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

/// Why DPDK knows a device and the gateway cannot have it.
fn not_in_hand(name: &str) -> Option<&'static str> {
    let mut made_of_others = MADE_OF_OTHERS.iter();
    let of_driver = made_of_others.find(|(driver, _)| name.starts_with(driver));
    // Hyper-V's bus calls them by GUIDs: 8-4-4-4-12 hexadecimal digits.
    let parts = name.split('-').map(str::len);
    let is_guid = parts.eq([8, 4, 4, 4, 12])
        && (name.bytes()).all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    of_driver
        .map(|(_, why)| *why)
        .or(is_guid.then_some(HYPER_V))
}

fn vlan_number<S: Serializer>(id: &VlanId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(id.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::*;

    #[test]
    fn pci_addresses_get_their_domain_and_lower_case() {
        for (text, devargs) in [
            ("0000:3b:00.0", "0000:3b:00.0"),
            ("3B:00.1", "0000:3b:00.1"),
            ("3b:00.0,llq_policy=1", "0000:3b:00.0,llq_policy=1"),
        ] {
            assert_eq!(
                text.parse::<Device>().unwrap(),
                Device::Pci(devargs.to_owned())
            );
        }
    }

    #[test]
    fn a_vdev_tells_its_name_and_arguments() {
        let device: Device = "net_af_packet0,iface=veth-gw,framecnt=4096"
            .parse()
            .unwrap();

        assert_eq!(device.name(), "net_af_packet0");
        assert_eq!(device.argument("framecnt"), Some("4096"));
        assert_eq!(device.argument("qpairs"), None);
        assert_eq!(device.linux_interface(), Some("veth-gw"));
        let tap: Device = "net_tap0,iface=tap7".parse().unwrap();
        assert_eq!(tap.linux_interface(), None);
    }

    #[test]
    fn devices_that_the_gateway_cannot_have_say_why_and_what_to_take() {
        let refused = |device: &str| device.parse::<Device>().unwrap_err();

        assert_eq!(
            refused("net_bonding0,mode=4,slave=0000:3b:00.0"),
            "\"net_bonding0,mode=4,slave=0000:3b:00.0\" cannot be opened: DPDK may touch only what \
             a [[port]] names, and a port's NIC is no part of a bond; give each NIC a [[port]], or \
             take a bond of Linux's as \"net_af_packet0,iface=bond0,framecnt=4096\""
        );
        for device in [
            "net_failsafe0,dev(0000:3b:00.0)",
            "net_vdev_netvsc0,iface=eth1",
            "000d3a7b-1c5e-000d-3a7b-1c5e000d3a7b",
        ] {
            assert_eq!(
                refused(device),
                format!(
                    "\"{device}\" cannot be opened: what Hyper-V and Azure have is on another bus \
                     than PCI; take the Linux interface as \
                     \"net_af_packet0,iface=NAME,framecnt=4096\""
                )
            );
        }
    }

    #[test]
    fn other_devices_are_refused_with_what_to_write() {
        for text in ["eth0", "3b:00.8", "3b:0.0", "zz:00.0", "net-x", ""] {
            let message = text.parse::<Device>().unwrap_err();
            assert!(
                message.contains("net_af_packet0,iface=NAME,framecnt=4096"),
                "{text}: {message}"
            );
        }
        assert_eq!(
            "net_null0, size=64".parse::<Device>().unwrap_err(),
            "\"net_null0, size=64\" has a blank: separate arguments by commas only"
        );
    }

    #[test]
    fn af_packet_gets_a_queue_for_each_worker_and_blocks_that_hold_its_frames() {
        let device = |text: &str| text.parse::<Device>().unwrap();
        let small = device("net_af_packet0,iface=veth,framesz=4096");
        let large = device("net_af_packet0,iface=veth,framesz=16384");
        let told = device("net_af_packet0,iface=veth,framesz=16384,blocksz=65536,qpairs=2");

        assert_eq!(small.devargs_for(1), small.devargs());
        assert_eq!(
            large.devargs_for(2),
            "net_af_packet0,iface=veth,framesz=16384,qpairs=2,blocksz=16384"
        );
        assert_eq!(told.devargs_for(2), told.devargs());
        assert_eq!(device("net_tap0").devargs_for(2), "net_tap0");
        assert_eq!(device("net_tap0").ring_frame_bytes(), None);
    }

    #[test]
    fn every_key_of_a_port_and_its_vlans_is_read() {
        let config = config(
            "[gateway]\nworkers = 2\n\
             [[port]]\nname = \"wan\"\ndevice = \"3b:00.0\"\nmtu = 9000\n\
             rx_descriptors = 2048\ntx_descriptors = 512\ntake_interface = true\n\
             accept_replies = true\ntwin = { name = \"up0\", persist = false }\n\
             addresses = [\"10.1.0.1/24\"]\nroutes = [\"default via 10.1.0.254\"]\n\
             [[port.vlan]]\nid = 100\nname = \"dmz\"\n\
             [[port]]\nname = \"lan\"\ndevice = \"net_null0\"\n",
        );

        let [wan, lan] = config.ports() else {
            panic!("there are two ports");
        };
        assert_eq!((wan.rx_descriptors, wan.tx_descriptors), (2048, 512));
        assert!(wan.take_interface && wan.interface.accept_replies);
        assert_eq!(wan.interface.twin.name, "up0");
        assert!(!wan.interface.twin.persist);
        assert_eq!(wan.interface.addresses[0].to_string(), "10.1.0.1/24");
        assert_eq!(
            wan.interface.routes[0].to_string(),
            "default via 10.1.0.254"
        );
        assert_eq!(wan.vlans[0].interface.mtu, 9000);
        assert_eq!(lan.interface.twin.name, "sluice-lan");
        assert!(lan.interface.twin.persist && !lan.take_interface);
        let numbered: Vec<_> = config
            .interfaces()
            .map(|i| {
                (
                    i.id.0,
                    i.ethdev.0,
                    i.vlan.map(|id| id.0),
                    &*i.interface.name,
                )
            })
            .collect();
        assert_eq!(
            numbered,
            [
                (0, 0, None, "wan"),
                (1, 0, Some(100), "dmz"),
                (2, 1, None, "lan")
            ]
        );
        assert_eq!(config.interface("lan").unwrap().id.0, 2);
    }

    #[test]
    fn missing_and_impossible_keys_are_refused() {
        let found = refusals(
            "[[port]]\n[[port]]\nname = \"lan side\"\ndevice = \"net_null0\"\nmtu = 67\n\
             rx_descriptors = 1000\ntx_descriptors = 32\naddresses = [\"10.1.0.1\"]\n\
             routes = [\n\"default\"]\n[[port.vlan]]\nid = 4095\n",
        );

        let name = "`name` is missing: \
                    give it a short one, like \"wan\"; services and metrics use it";
        assert_eq!(
            found,
            [
                "1: `device` is missing: give a PCI address like \"0000:3b:00.0\" or a vdev",
                &format!("1: {name}"),
                "3: `name` \"lan side\" has a character that names cannot have: \
                 use 1 to 15 letters, digits, `-`, `_` and `.`",
                "5: `mtu` 67 is below 68: give 68 to 65385",
                "6: `rx_descriptors` 1000 is not a power of two: \
                 give 1024, as every driver wants",
                "7: `tx_descriptors` 32 is below 64: give 64 to 32768",
                "8: `addresses` \"10.1.0.1\" has no prefix length: write it like 10.1.0.1/24",
                "10: `routes` \"default\" is not a route: \
                 write it like \"default via 10.1.0.254\"",
                &format!("11: {name}"),
                "12: `id` 4095 is above 4094: give 1 to 4094",
            ]
        );
    }

    #[test]
    fn a_vlan_without_a_number_is_refused() {
        assert_eq!(
            refusals(
                "[[port]]\nname = \"a\"\ndevice = \"net_null0\"\n\
                 [[port.vlan]]\nname = \"b\"\n"
            ),
            ["4: `id` is missing: give the VLAN's number, 1 to 4094"]
        );
    }

    #[test]
    fn twin_names_are_checked_also_when_they_are_made_up() {
        let port = |rest: &str| format!("[[port]]\ndevice = \"net_null0\"\n{rest}\n");

        assert_eq!(
            refusals(&port("name = \"frankfurt\"")),
            [
                "3: the twin of `frankfurt` would be called \"sluice-frankfurt\", which has more \
                 than 15 characters: give it another with twin = { name = \"…\" }"
            ]
        );
        config(&port("name = \"frankfurt\"\ntwin = { name = \"ffm\" }"));
        assert_eq!(
            refusals(&port(
                "name = \"a\"\n[port.twin]\npersist = true\nname = \"sixteen-letters-\""
            )),
            ["6: `name` \"sixteen-letters-\" has 16 characters: \
                 use 1 to 15 letters, digits, `-`, `_` and `.`"]
        );
    }
}
