//! Carries packets between checks and their servers.
//!
//! ```text
//! from the check interface         to the server
//! | IP 198.18.0.1 > 198.18.0.2 |   | Ethernet |      IP 10.2.0.1 > VIP | ... |        DR
//! | TCP, UDP or ICMP echo      |   | Ethernet | outer IP | IP 10.2.0.1 > VIP | ... |  TUN
//! ```
//!
//! Ports stay: neither DR nor TUN can change them. Fragments are not carried; nothing that a check
//! says is as long as that.
//!
//! The time to live becomes so short that only the server can answer. One that has lost the VIP but
//! forwards would send the packet on, and by the routes to the VIP it would come back to the gateway,
//! which would take it for a client's and let another server answer.

use std::sync::Arc;
use std::time::Instant;

use dataplane::address::{Endpoint, Protocol};
use dataplane::id::InterfaceId;
use dataplane::io::Packet;
use dataplane::io::memory::MemoryPacket;
use dataplane::rewrite::ip_id::IpIds;
use dataplane::rewrite::tun::{self, Tunnel};
use dataplane::rewrite::{self, icmp};
use dataplane::service::Method;
use dataplane::wire;
use dataplane::wire::checksum::Change;
use dataplane::wire::ethernet::{Ethernet, EthernetMut, HEADER_LEN, ethertype};
use dataplane::wire::icmp::{Icmp, kind};
use dataplane::wire::ipv4::{Ipv4, Ipv4Mut, protocol};
use dataplane::wire::tcp::{Flags, Tcp};

use super::refusal::Refusal;
use super::translations::{Conversation, Step, Translations};
use super::way::Way;
use super::{CheckPath, Plan, Target};

/// The time to live of a packet when it reaches the server (in a tunnel: the inner one). The server may
/// still forward it to what it serves with, as a container; nobody behind that can.
const LAST_TTL: u8 = 2;

/// A frame for a server, to be sent as if Linux had sent it on the twin of an interface.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The interface.
    pub(crate) interface: InterfaceId,
    /// The frame, without a VLAN tag.
    pub(crate) frame: MemoryPacket,
}

/// Rewrites the packets of checks and those of servers that answer them. One thread owns it.
#[derive(Debug)]
pub(crate) struct Carrier {
    path: CheckPath,
    plan: Arc<Plan>,
    translations: Translations,
    ids: IpIds,
    answer: Vec<u8>,
}

impl Carrier {
    /// A carrier of `path`'s checks, none of which is under way.
    pub(crate) fn new(path: CheckPath) -> Self {
        Self {
            plan: path.plan(),
            path,
            translations: Translations::default(),
            // The servers are the operator's own: nothing is gained from guessing it.
            ids: IpIds::starting_at(0),
            answer: Vec::new(),
        }
    }

    /// The path whose checks it carries.
    pub(crate) const fn path(&self) -> &CheckPath {
        &self.path
    }

    /// Goes by the newest servers and routes from now on; often.
    pub(crate) fn renew(&mut self) {
        self.plan = self.path.plan();
    }

    /// Makes a packet that Linux sent on the check interface one for its server.
    ///
    /// # Errors
    ///
    /// [`Refusal`] lists the cases.
    pub(crate) fn carry_there(&mut self, packet: &[u8], now: Instant) -> Result<Outgoing, Refusal> {
        let (header, payload) = Ipv4::parse(packet).map_err(|_| Refusal::NotACheck)?;
        if header.source() != self.path.own() {
            return Err(Refusal::NotACheck);
        }
        if header.is_fragment() {
            return Err(Refusal::Fragment);
        }
        let check_addr = header.destination();
        let target = self.plan.targets.get(&check_addr);
        let target = *target.ok_or(Refusal::NoServer)?;
        let talk = Talk::of(header.protocol(), payload).ok_or(Refusal::NotACheck)?;
        let snapshot = &self.plan.snapshot;
        let way = Way::towards(snapshot, target.server).ok_or(Refusal::NoWay)?;
        let conversation = Conversation {
            protocol: header.protocol(),
            vip: Endpoint::new(target.vip, talk.destination_port),
            own: Endpoint::new(way.own_addr, talk.source_port),
        };
        (self.translations).leave(conversation, check_addr, talk.step, now)?;
        let ip = packet.get(..header.total_len().into());
        let frame = self.frame(ip.unwrap_or_default(), &conversation, &target, &way);
        frame.map(|frame| Outgoing {
            interface: way.interface,
            frame,
        })
    }

    /// The frame around a packet of a check, by the method of its server.
    fn frame(
        &mut self,
        ip: &[u8],
        conversation: &Conversation,
        target: &Target,
        way: &Way,
    ) -> Result<MemoryPacket, Refusal> {
        let mut frame = MemoryPacket::new(&[&[0; HEADER_LEN], ip].concat());
        let ip = frame.bytes_mut().get_mut(HEADER_LEN..);
        let (own, vip) = (Some(conversation.own), Some(conversation.vip));
        rewrite::replace_ends(ip.unwrap_or_default(), own, vip).map_err(|_| Refusal::Malformed)?;
        if target.method == Method::Tun {
            let tunnel = Tunnel {
                source: way.own_addr,
                destination: target.server,
            };
            let ids = &mut self.ids;
            let enclosed = if self.plan.snapshot.knobs.pmtu_disc {
                tun::encapsulate(&mut frame, HEADER_LEN, tunnel, ids)
            } else {
                tun::encapsulate_fragmentable(&mut frame, HEADER_LEN, tunnel, ids)
            };
            enclosed.map_err(|_| Refusal::Malformed)?;
            let inner = frame.bytes_mut().get_mut(HEADER_LEN + tun::OVERHEAD..);
            shorten_life(inner.unwrap_or_default())?;
        } else {
            let ip = frame.bytes_mut().get_mut(HEADER_LEN..);
            shorten_life(ip.unwrap_or_default())?;
        }
        let ethernet = EthernetMut::parse(frame.bytes_mut());
        let (mut ethernet, _) = ethernet.map_err(|_| Refusal::Malformed)?;
        ethernet.set_destination(way.mac);
        ethernet.set_source(way.own_mac);
        ethernet.set_ethertype(ethertype::IPV4);
        Ok(frame)
    }

    /// Makes a frame that the packet path has for Linux the packet that a check waits for; `None`
    /// for one that none waits for.
    #[inline]
    pub(crate) fn carry_back(&mut self, frame: &[u8], now: Instant) -> Option<&[u8]> {
        if self.translations.is_empty() {
            return None;
        }
        let (ethernet, packet) = Ethernet::parse(frame).ok()?;
        if ethernet.ethertype() != ethertype::IPV4 {
            return None;
        }
        let (header, payload) = Ipv4::parse(packet).ok()?;
        // A router speaks in its own name of a packet that was for the VIP.
        let is_from_vip = self.plan.vips.contains(&header.source());
        if !is_from_vip && header.protocol() != protocol::ICMP {
            return None;
        }
        self.returned(packet, header, payload, now)
    }

    fn returned(
        &mut self,
        packet: &[u8],
        header: Ipv4<'_>,
        payload: &[u8],
        now: Instant,
    ) -> Option<&[u8]> {
        if header.is_fragment() {
            return None;
        }
        let ip = packet.get(..header.total_len().into())?;
        let own = self.path.own();
        if let Some(quoted) = quoted(header, payload) {
            let check_addr = self.translations.quoted(&quoted, now)?;
            let server = Endpoint::new(check_addr, quoted.vip.port);
            let check = Endpoint::new(own, quoted.own.port);
            let answer = copied(&mut self.answer, ip);
            icmp::to_client(answer, server, check, 0).ok()?;
            return Some(answer);
        }
        let talk = Talk::of(header.protocol(), payload)?;
        let conversation = Conversation {
            protocol: header.protocol(),
            vip: Endpoint::new(header.source(), talk.source_port),
            own: Endpoint::new(header.destination(), talk.destination_port),
        };
        let check_addr = (self.translations).answer(&conversation, talk.step, now)?;
        let server = Endpoint::new(check_addr, talk.source_port);
        let check = Endpoint::new(own, talk.destination_port);
        let answer = copied(&mut self.answer, ip);
        rewrite::replace_ends(answer, Some(server), Some(check)).ok()?;
        Some(answer)
    }
}

/// Leaves a packet no more time to live than [`LAST_TTL`].
fn shorten_life(ip: &mut [u8]) -> Result<(), Refusal> {
    let (mut header, _) = Ipv4Mut::parse(ip).map_err(|_| Refusal::Malformed)?;
    let old = header.view().ttl();
    let new = old.min(LAST_TTL);
    header.set_ttl(new);
    // The TTL is the high byte of its word.
    let change = Change::default().u16(u16::from(old) << 8, u16::from(new) << 8);
    header.set_checksum(change.apply(header.view().checksum()));
    Ok(())
}

/// The bytes of `ip` in `buffer`, in place of what was there.
fn copied<'a>(buffer: &'a mut Vec<u8>, ip: &[u8]) -> &'a mut [u8] {
    buffer.clear();
    buffer.extend_from_slice(ip);
    buffer
}

/// What a packet says that may be a check's or an answer to one.
#[derive(Clone, Copy, Debug)]
struct Talk {
    source_port: u16,
    destination_port: u16,
    step: Step,
}

impl Talk {
    /// What the payload of an unfragmented IPv4 packet says, if it is TCP, UDP or ICMP echo.
    fn of(protocol: u8, payload: &[u8]) -> Option<Self> {
        if protocol == protocol::ICMP {
            return Self::of_echo(payload);
        }
        let step = match Protocol::from_number(protocol)? {
            Protocol::Tcp => step_of(Tcp::parse(payload).ok()?.flags()),
            Protocol::Udp => Step::Alone,
            Protocol::Sctp => return None,
        };
        let (source_port, destination_port) = wire::ports(payload).ok()?;
        Some(Self {
            source_port,
            destination_port,
            step,
        })
    }

    /// The identifier of an echo stands for both ports.
    fn of_echo(payload: &[u8]) -> Option<Self> {
        let (icmp, _) = Icmp::parse(payload).ok()?;
        let is_echo = matches!(icmp.kind(), kind::ECHO_REQUEST | kind::ECHO_REPLY);
        is_echo.then(|| Self {
            source_port: icmp.id(),
            destination_port: icmp.id(),
            step: Step::Alone,
        })
    }
}

const fn step_of(flags: Flags) -> Step {
    if flags.contains(Flags::RST) || flags.contains(Flags::FIN) {
        Step::Ends
    } else if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) {
        Step::Begins
    } else {
        Step::GoesOn
    }
}

/// The conversation of a check's packet that an ICMP error quotes.
fn quoted(header: Ipv4<'_>, payload: &[u8]) -> Option<Conversation> {
    if header.protocol() != protocol::ICMP {
        return None;
    }
    let (_, quotation) = Icmp::parse(payload).ok().filter(|(it, _)| it.is_error())?;
    let (header, transport) = Ipv4::parse_quoted(quotation).ok()?;
    let protocol = Protocol::from_number(header.protocol())?;
    if header.fragment_offset() != 0 || protocol == Protocol::Sctp {
        return None;
    }
    let (source_port, destination_port) = wire::ports(transport).ok()?;
    Some(Conversation {
        protocol: header.protocol(),
        vip: Endpoint::new(header.destination(), destination_port),
        own: Endpoint::new(header.source(), source_port),
    })
}
