//! What a Linux host without IPVS does with a frame.
//!
//! Sluice gives to Linux what is not its own. A frame it gave away must be one that the kernel's
//! IPVS left to the host too, and that shows in what the kernel sent: a RST, an echo reply, the
//! packet itself forwarded. Anything else was IPVS's work, and giving it away was wrong.

use std::net::Ipv4Addr;

use dataplane::address::{MacAddr, Protocol, V4};
use dataplane::wire::arp::Arp;
use dataplane::wire::ethernet::{Ethernet, ethertype};
use dataplane::wire::icmp::{Icmp, kind};
use dataplane::wire::ipv4::{Ipv4, protocol};
use dataplane::wire::ports;
use dataplane::wire::tcp::Flags;

use crate::describe::checksum_is_right;
use crate::scenario::{NetLine, PlayLine, Scenario};

use super::masks::{error_about, icmp_of, ipv4};

/// Something a host may send after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A RST for a segment that nobody expects.
    Reset,
    /// An ICMP error about the packet.
    Error,
    /// The packet, with a TTL that is less by one.
    Forward,
    /// An answer to an ICMP echo request.
    EchoReply,
    /// An answer to an ARP request.
    ArpReply,
}

/// What a host does with a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expectation {
    /// What it may send.
    pub(super) works: Vec<Work>,
    /// Whether it sends something in any case.
    pub(super) must: bool,
}

impl Expectation {
    fn must(works: &[Work]) -> Self {
        Self {
            works: works.to_vec(),
            must: true,
        }
    }

    fn may(works: &[Work]) -> Self {
        Self {
            works: works.to_vec(),
            must: false,
        }
    }

    /// Whether a host may send `output` after `input`.
    pub(super) fn allows(&self, input: &[u8], output: &[u8]) -> bool {
        self.works
            .iter()
            .any(|work| work.is(input, output).is_some())
    }
}

impl Work {
    /// Whether `output` is this work on `input`.
    fn is(self, input: &[u8], output: &[u8]) -> Option<()> {
        let is = match self {
            Self::Reset => is_reset(input, output)?,
            Self::Error => is_error(input, output)?,
            Self::Forward => is_forwarded(input, output)?,
            Self::EchoReply => is_echo_reply(input, output)?,
            Self::ArpReply => is_arp(output),
        };
        is.then_some(())
    }
}

fn is_reset(input: &[u8], output: &[u8]) -> Option<bool> {
    let ((to, segment), (back, answer)) = (ipv4(input)?, ipv4(output)?);
    let (source, destination) = ports(segment).ok()?;
    let ends = (to.source(), source, to.destination(), destination);
    let (source, destination) = ports(answer).ok()?;
    let answered = (back.destination(), destination, back.source(), source);
    let flags = Flags(*answer.get(13)?);
    let is_tcp = back.protocol() == Protocol::Tcp as u8;
    Some(is_tcp && ends == answered && flags.contains(Flags::RST))
}

fn is_error(input: &[u8], output: &[u8]) -> Option<bool> {
    let ((packet, _), (error, _)) = (ipv4(input)?, ipv4(output)?);
    let about = error_about(output)?;
    let ends = (packet.source(), packet.destination(), packet.protocol());
    let told = (about.source(), about.destination(), about.protocol());
    Some(ends == told && error.destination() == packet.source())
}

fn is_forwarded(input: &[u8], output: &[u8]) -> Option<bool> {
    let ((before, sent), (after, left)) = (ipv4(input)?, ipv4(output)?);
    let fixed = |ip: &Ipv4<'_>| {
        (
            ip.source(),
            ip.destination(),
            ip.protocol(),
            ip.id(),
            ip.tos(),
        )
    };
    let is_same = fixed(&before) == fixed(&after) && sent == left;
    Some(is_same && after.ttl() == before.ttl().checked_sub(1)?)
}

fn is_echo_reply(input: &[u8], output: &[u8]) -> Option<bool> {
    let ((to, _), (back, _)) = (ipv4(input)?, ipv4(output)?);
    let ((request, asked), (reply, answered)) = (icmp_of(input)?, icmp_of(output)?);
    let ends = (to.source(), request.id(), request.sequence());
    let told = (back.destination(), reply.id(), reply.sequence());
    Some(reply.kind() == kind::ECHO_REPLY && ends == told && asked == answered)
}

/// Whether a frame is of ARP.
pub(super) fn is_arp(frame: &[u8]) -> bool {
    Ethernet::parse(frame).is_ok_and(|(link, _)| link.ethertype() == ethertype::ARP)
}

/// The addresses the director has.
#[derive(Clone, Debug, Default)]
pub(super) struct Locals {
    macs: Vec<(String, MacAddr)>,
    sure: Vec<Prefix>,
    /// Those that commands add or take away.
    maybe: Vec<Prefix>,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    address: u32,
    len: u32,
}

impl Prefix {
    fn read(text: &str, default_len: u32) -> Option<Self> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, len.parse().ok()?),
            None => (text, default_len),
        };
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self {
            address: address.to_bits(),
            len,
        })
    }

    /// The address alone, whatever its subnet.
    fn host(text: &str) -> Option<Self> {
        let prefix = Self::read(text, 32)?;
        Some(Self { len: 32, ..prefix })
    }

    fn contains(self, address: V4) -> bool {
        let differing = (self.address ^ address.0).leading_zeros();
        differing >= self.len
    }
}

impl Locals {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut locals = Self::default();
        for line in &scenario.net {
            locals.add(line);
        }
        let shell = scenario.play.iter().filter_map(|line| match line {
            PlayLine::Shell(command) => Some(command.as_str()),
            _ => None,
        });
        for command in shell {
            locals.maybe.extend(named(command));
        }
        locals
    }

    fn add(&mut self, line: &NetLine) {
        match line {
            NetLine::Interface {
                name,
                addresses,
                mac,
                ..
            } => {
                let number = u8::try_from(self.macs.len() + 1).unwrap_or(u8::MAX);
                let given = mac.as_deref().and_then(read_mac);
                let mac = given.unwrap_or(MacAddr([2, 0, 0, 0, 0, number]));
                self.macs.push((name.clone(), mac));
                let hosts = addresses.iter().filter_map(|prefix| Prefix::host(prefix));
                self.sure.extend(hosts);
            }
            NetLine::Address { prefix, .. } => self.sure.extend(Prefix::host(prefix)),
            NetLine::Route(route) if route.starts_with("local ") => self.sure.extend(named(route)),
            NetLine::Command(command) => self.maybe.extend(named(command)),
            _ => {}
        }
    }

    fn knows(prefixes: &[Prefix], address: V4) -> bool {
        prefixes.iter().any(|prefix| prefix.contains(address))
    }

    /// Whether the director has this address at some time.
    pub(super) fn may_have(&self, address: V4) -> bool {
        Self::knows(&self.sure, address) || Self::knows(&self.maybe, address)
    }

    /// What a host does with a frame that reaches this interface.
    pub(super) fn expect(&self, interface: &str, frame: &[u8]) -> Expectation {
        let Ok((link, _)) = Ethernet::parse(frame) else {
            return Expectation::default();
        };
        let mac = self.macs.iter().find(|(name, _)| name == interface);
        let is_ours = mac.is_none_or(|(_, mac)| *mac == link.destination());
        match (link.ethertype(), ipv4(frame)) {
            (ethertype::ARP, _) => self.arp(frame),
            (_, Some((ip, payload))) if is_ours && ip.verify_checksum() => {
                self.packet(&ip, payload)
            }
            _ => Expectation::default(),
        }
    }

    fn arp(&self, frame: &[u8]) -> Expectation {
        let payload = Ethernet::parse(frame).map_or(&[][..], |(_, payload)| payload);
        match Arp::parse(payload) {
            Ok((arp, _)) if self.may_have(arp.target_addr()) => Expectation::may(&[Work::ArpReply]),
            _ => Expectation::default(),
        }
    }

    fn packet(&self, ip: &Ipv4<'_>, payload: &[u8]) -> Expectation {
        let destination = ip.destination();
        if Self::knows(&self.maybe, destination) {
            let works = [Work::Reset, Work::Error, Work::Forward, Work::EchoReply];
            return Expectation::may(&works);
        }
        if Self::knows(&self.sure, destination) {
            return delivered(ip, payload);
        }
        let is_odd = |address: V4| {
            let address = Ipv4Addr::from(address);
            address.is_loopback() || address.is_multicast() || address.is_broadcast()
        };
        if is_odd(destination) {
            Expectation::default()
        } else if is_odd(ip.source()) || self.may_have(ip.source()) || dies_in_silence(ip, payload)
        {
            Expectation::may(&[Work::Forward, Work::Error])
        } else {
            Expectation::must(&[Work::Forward, Work::Error])
        }
    }
}

/// Whether a packet ends here without a word to its sender: no error is sent about an error.
fn dies_in_silence(ip: &Ipv4<'_>, payload: &[u8]) -> bool {
    let is_error = || Icmp::parse(payload).is_ok_and(|(icmp, _)| icmp.is_error());
    ip.ttl() <= 1 && ip.protocol() == protocol::ICMP && is_error()
}

/// What a host does with a packet to itself, where nobody listens.
fn delivered(ip: &Ipv4<'_>, payload: &[u8]) -> Expectation {
    let protocol = Protocol::from_number(ip.protocol());
    let is_sound = protocol
        .is_some_and(|known| checksum_is_right(ip.source(), ip.destination(), known, payload));
    match (ip.protocol(), protocol) {
        (_, Some(Protocol::Tcp)) if is_sound && has_header(payload) => {
            let is_reset = payload
                .get(13)
                .is_some_and(|flags| Flags(*flags).contains(Flags::RST));
            if is_reset {
                Expectation::default()
            } else {
                Expectation::must(&[Work::Reset])
            }
        }
        (_, Some(Protocol::Udp)) if is_sound && payload.len() >= 8 => {
            Expectation::must(&[Work::Error])
        }
        (_, Some(Protocol::Tcp | Protocol::Udp)) => Expectation::default(),
        (protocol::ICMP, _) => Expectation::may(&[Work::EchoReply]),
        _ => Expectation::may(&[Work::Error]),
    }
}

/// Whether a TCP segment has as much header as it says.
fn has_header(segment: &[u8]) -> bool {
    let words = segment.get(12).map_or(0, |byte| usize::from(byte >> 4));
    words >= 5 && segment.len() >= words * 4
}

fn read_mac(text: &str) -> Option<MacAddr> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(MacAddr(mac))
}

/// The prefixes that a command names.
fn named(command: &str) -> Vec<Prefix> {
    let words = command.split_whitespace();
    words.filter_map(|word| Prefix::read(word, 32)).collect()
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{
        CLIENT, GATEWAY_MAC, GATEWAY_SERVER_MAC, RIP_1, VIP, endpoint, icmp_echo, icmp_error, tcp,
        udp,
    };

    use super::*;

    /// A director with the VIP.
    fn locals() -> Locals {
        let text = format!("[net]\nif eth0 addr 10.1.0.1/24 addr 10.1.0.100/32 mac {GATEWAY_MAC}");
        let scenario = crate::read::parse("name", std::path::Path::new("."), &text).unwrap();
        Locals::new(&scenario)
    }

    fn allows(input: &[u8], output: &[u8]) -> bool {
        locals().expect("eth0", input).allows(input, output)
    }

    #[test]
    fn a_segment_nobody_expects_is_reset() {
        let segment = tcp().build();
        let reset = tcp().from(VIP).to(CLIENT).rst().build();

        assert_eq!(
            locals().expect("eth0", &segment),
            Expectation::must(&[Work::Reset])
        );
        assert!(allows(&segment, &reset));
        assert!(!allows(&segment, &tcp().from(VIP).to(CLIENT).build()));
        assert!(!locals().expect("eth0", &tcp().rst().build()).must);
        assert!(!locals().expect("eth0", &tcp().bad_checksum().build()).must);
    }

    #[test]
    fn a_packet_to_the_vip_is_never_forwarded_by_the_host() {
        let to_vip = tcp().build();
        let dr = tcp().eth_from(GATEWAY_SERVER_MAC).ttl(63).build();

        assert!(!allows(&to_vip, &dr));
    }

    #[test]
    fn a_packet_to_others_is_forwarded_as_it_is() {
        let stranger = endpoint([192, 0, 2, 1], 7);
        let packet = udp().to(stranger).id(5);

        assert!(allows(&packet.build(), &packet.clone().ttl(63).build()));
        assert!(!allows(
            &packet.build(),
            &packet.clone().ttl(63).to(RIP_1).build()
        ));
        assert!(allows(
            &packet.build(),
            &icmp_error(11, 0)
                .from(VIP)
                .to(CLIENT)
                .about(&packet.build())
                .build()
        ));
        assert!(locals().expect("eth0", &packet.build()).must);
    }

    #[test]
    fn who_sent_an_error_that_ends_here_hears_nothing() {
        let stranger = endpoint([192, 0, 2, 1], 7);
        let error = icmp_error(3, 3).about(&udp().build()).to(stranger);
        let must = |packet: Vec<u8>| locals().expect("eth0", &packet).must;

        assert!(must(error.clone().build()));
        assert!(!must(error.ttl(1).build()));
        assert!(must(icmp_echo().to(stranger).ttl(1).build()));
    }

    #[test]
    fn an_echo_is_answered_and_an_error_is_about_its_packet() {
        let echo = icmp_echo().payload(b"12345678");
        let reply = echo.clone().from(VIP).to(CLIENT).echo_reply();
        let unserved = udp().build();
        let about = |packet: &[u8]| icmp_error(3, 3).from(VIP).to(CLIENT).about(packet).build();

        assert!(allows(&echo.build(), &reply.build()));
        assert!(!allows(&echo.build(), &reply.payload(b"other").build()));
        assert!(allows(&unserved, &about(&unserved)));
        assert!(!allows(&unserved, &about(&tcp().build())));
        assert!(!allows(&tcp().build(), &about(&tcp().build())));
    }

    #[test]
    fn a_frame_to_another_station_is_nobodys() {
        let frame = udp().eth_to(MacAddr([2, 0, 0, 0, 9, 9])).build();

        assert_eq!(locals().expect("eth0", &frame), Expectation::default());
    }
}
