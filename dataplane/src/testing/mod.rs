//! Packets built by name, for the tests of all crates.
//!
//! `tcp().from(CLIENT).to(VIP).syn().build()` is a frame with the right lengths and checksums;
//! clone a builder to derive a variant. Fields that make a packet wrong are wrong only when
//! asked for ([`Builder::bad_checksum`], [`Builder::cut`]). Built with the gateway's own views,
//! which the tests hold against the `etherparse` crate.
//!
//! ```text
//!        10.1.0.0/24             10.2.0.0/24
//! CLIENT ----------- gateway (VIP) --------- RIP_1, RIP_2, RIP_3
//!                             (LIP)
//! ```

// A builder that cannot build stops its test, which is what a panic is for.
#![allow(clippy::expect_used)]

mod conversation;
mod gateway;
mod history;
mod other;
mod services;
mod setup;
mod transport;

pub use conversation::{FROM_SERVER, Hop, IN, OUT, Step, TALKS, TO_SERVER, Talk, hop, on, tagged};
pub use gateway::{TestGateway, counts};
pub use history::{play, record};
pub use other::{arp_request, ipv6, ipv6_udp};
pub use services::{TestService, marked_service, service};
pub use setup::{CLIENT_SIDE, DIP_CLIENT_SIDE, DIP_SERVER_SIDE, SERVER_SIDE, Setup};
pub use transport::{
    Icmp, Raw, Sctp, Tcp, Transport, Udp, icmp_echo, icmp_error, ip, sctp, tcp, udp,
};

use crate::address::{Endpoint, MacAddr, V4};
use crate::id::VlanId;
use crate::wire::ethernet::{self, EthernetMut, ethertype};
use crate::wire::ipv4::{self, Ipv4Mut};
use crate::wire::vlan::{self, VlanMut};

/// 10.1.0.9:40000, a client.
pub const CLIENT: Endpoint<V4> = endpoint([10, 1, 0, 9], 40_000);
/// 10.1.0.100:80, a virtual service.
pub const VIP: Endpoint<V4> = endpoint([10, 1, 0, 100], 80);
/// 10.2.0.11:80, a real server.
pub const RIP_1: Endpoint<V4> = endpoint([10, 2, 0, 11], 80);
/// 10.2.0.12:80, a real server.
pub const RIP_2: Endpoint<V4> = endpoint([10, 2, 0, 12], 80);
/// 10.2.0.13:80, a real server.
pub const RIP_3: Endpoint<V4> = endpoint([10, 2, 0, 13], 80);
/// 10.2.0.200:20000, a local address of FULLNAT with one of its ports.
pub const LIP: Endpoint<V4> = endpoint([10, 2, 0, 200], 20_000);

/// The client's MAC.
pub const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 1, 0, 9]);
/// The gateway's MAC on the client side.
pub const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 1, 0, 1]);
/// The gateway's MAC on the server side.
pub const GATEWAY_SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 2, 0, 1]);
/// The MAC of [`RIP_1`].
pub const RIP_1_MAC: MacAddr = MacAddr([2, 0, 0, 2, 0, 11]);
/// The MAC of [`RIP_2`].
pub const RIP_2_MAC: MacAddr = MacAddr([2, 0, 0, 2, 0, 12]);
/// The MAC of [`RIP_3`].
pub const RIP_3_MAC: MacAddr = MacAddr([2, 0, 0, 2, 0, 13]);

/// Bytes of the shortest Ethernet frame, without its FCS.
const MIN_FRAME_LEN: usize = 60;

/// An address and a port.
#[must_use]
pub const fn endpoint(octets: [u8; 4], port: u16) -> Endpoint<V4> {
    Endpoint::new(V4(u32::from_be_bytes(octets)), port)
}

/// An IPv4 packet in the making, from [`CLIENT`] to [`VIP`] unless told otherwise.
#[derive(Clone, Debug)]
pub struct Builder<T> {
    source: Endpoint<V4>,
    destination: Endpoint<V4>,
    eth_source: MacAddr,
    eth_destination: MacAddr,
    vlan: Option<VlanId>,
    tos: u8,
    ttl: u8,
    id: u16,
    dont_fragment: bool,
    more_fragments: bool,
    fragment_offset: u16,
    ip_options: Vec<u8>,
    payload: Vec<u8>,
    cut: Option<usize>,
    padded: bool,
    bad_ip_checksum: bool,
    bad_checksum: bool,
    transport: T,
}

impl<T: Transport> Builder<T> {
    fn new(transport: T) -> Self {
        Self {
            source: CLIENT,
            destination: VIP,
            eth_source: CLIENT_MAC,
            eth_destination: GATEWAY_MAC,
            vlan: None,
            tos: 0,
            ttl: 64,
            id: 1,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ip_options: Vec::new(),
            payload: Vec::new(),
            cut: None,
            padded: false,
            bad_ip_checksum: false,
            bad_checksum: false,
            transport,
        }
    }

    /// Sets the sender.
    #[must_use]
    pub fn from(mut self, source: Endpoint<V4>) -> Self {
        self.source = source;
        self
    }

    /// Sets the receiver.
    #[must_use]
    pub fn to(mut self, destination: Endpoint<V4>) -> Self {
        self.destination = destination;
        self
    }

    /// Sets the sender's MAC.
    #[must_use]
    pub fn eth_from(mut self, source: MacAddr) -> Self {
        self.eth_source = source;
        self
    }

    /// Sets the receiver's MAC.
    #[must_use]
    pub fn eth_to(mut self, destination: MacAddr) -> Self {
        self.eth_destination = destination;
        self
    }

    /// Adds an 802.1Q tag; 0 makes it a priority tag.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlan = Some(VlanId(id));
        self
    }

    /// Sets the type of service.
    #[must_use]
    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// Sets the time to live; 64 otherwise.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the identification; 1 otherwise.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// Forbids to fragment the packet.
    #[must_use]
    pub fn dont_fragment(mut self) -> Self {
        self.dont_fragment = true;
        self
    }

    /// Announces another fragment; with a transport header this is a first fragment.
    #[must_use]
    pub fn more_fragments(mut self) -> Self {
        self.more_fragments = true;
        self
    }

    /// Makes it a later fragment, `offset` bytes (a multiple of 8, not 0) into the IP payload:
    /// the payload stands behind the IP header without a transport header.
    #[must_use]
    pub fn fragment_offset(mut self, offset: u16) -> Self {
        assert!(offset > 0 && offset.is_multiple_of(8), "{offset}");
        self.fragment_offset = offset;
        self
    }

    /// Sets the options of the IP header, filled up to whole words with "end of options".
    #[must_use]
    pub fn ip_options(mut self, options: &[u8]) -> Self {
        self.ip_options = options.to_vec();
        self.ip_options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Sets what follows the transport header.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Fills the payload with `len` bytes that differ from their neighbours.
    #[must_use]
    pub fn payload_len(mut self, len: usize) -> Self {
        self.payload = (0..=u8::MAX).cycle().take(len).collect();
        self
    }

    /// Leaves only the first `len` bytes of the IP payload, with lengths that agree.
    #[must_use]
    pub fn cut(mut self, len: usize) -> Self {
        self.cut = Some(len);
        self
    }

    /// Pads the frame to Ethernet's minimum, as it arrives from a real wire.
    #[must_use]
    pub fn padded(mut self) -> Self {
        self.padded = true;
        self
    }

    /// Makes the IP header checksum wrong.
    #[must_use]
    pub fn bad_ip_checksum(mut self) -> Self {
        self.bad_ip_checksum = true;
        self
    }

    /// Makes the transport checksum wrong.
    #[must_use]
    pub fn bad_checksum(mut self) -> Self {
        self.bad_checksum = true;
        self
    }

    /// The frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        self.frame(&self.ip_payload())
    }

    /// The packet in as many frames as it takes for none to have more than `mtu` bytes behind
    /// its Ethernet header.
    #[must_use]
    pub fn fragments(&self, mtu: usize) -> Vec<Vec<u8>> {
        let payload = self.ip_payload();
        let room = (mtu - ipv4::MIN_HEADER_LEN - self.ip_options.len()) / 8 * 8;
        let count = payload.len().div_ceil(room);
        let parts = payload.chunks(room).enumerate();
        parts
            .map(|(number, part)| {
                let mut fragment = self.clone();
                fragment.fragment_offset = u16::try_from(number * room).expect("a packet's size");
                fragment.more_fragments = number + 1 < count;
                fragment.frame(part)
            })
            .collect()
    }

    fn ip_payload(&self) -> Vec<u8> {
        let mut bytes = if self.fragment_offset > 0 {
            self.payload.clone()
        } else {
            self.whole_ip_payload()
        };
        bytes.truncate(self.cut.unwrap_or(usize::MAX));
        bytes
    }

    fn whole_ip_payload(&self) -> Vec<u8> {
        let (source, destination) = (self.source, self.destination);
        let mut bytes = self.transport.write(source, destination, &self.payload);
        if self.bad_checksum {
            bytes[T::CHECKSUM_OFFSET] ^= 0x55;
        }
        bytes
    }

    /// Puts the link and IP headers in front of an IP payload.
    fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = self.link_header();
        let l3_offset = frame.len();
        let header_len = ipv4::MIN_HEADER_LEN + self.ip_options.len();
        frame.resize(l3_offset + header_len, 0);
        self.write_ip_header(&mut frame[l3_offset..], payload.len());
        frame.extend_from_slice(payload);
        if self.padded && frame.len() < MIN_FRAME_LEN {
            frame.resize(MIN_FRAME_LEN, 0);
        }
        frame
    }

    fn link_header(&self) -> Vec<u8> {
        let mut bytes = vec![0; ethernet::HEADER_LEN + vlan::TAG_LEN];
        let (mut header, rest) = EthernetMut::parse(&mut bytes).expect("room for it");
        header.set_source(self.eth_source);
        header.set_destination(self.eth_destination);
        match self.vlan {
            Some(id) => {
                header.set_ethertype(ethertype::VLAN);
                let (mut tag, _) = VlanMut::parse(rest).expect("room for it");
                tag.set_id(id);
                tag.set_ethertype(ethertype::IPV4);
            }
            None => {
                header.set_ethertype(ethertype::IPV4);
                bytes.truncate(ethernet::HEADER_LEN);
            }
        }
        bytes
    }

    fn write_ip_header(&self, bytes: &mut [u8], payload_len: usize) {
        let total_len = bytes.len() + payload_len;
        let words = u8::try_from(bytes.len() / 4).expect("at most 40 bytes of options");
        bytes[0] = 0x40 | words;
        bytes[ipv4::MIN_HEADER_LEN..].copy_from_slice(&self.ip_options);
        let (mut header, _) = Ipv4Mut::parse(bytes).expect("at most 40 bytes of options");
        header.set_tos(self.tos);
        header.set_total_len(u16::try_from(total_len).expect("at most 65535 bytes"));
        header.set_id(self.id);
        header.set_dont_fragment(self.dont_fragment);
        header.set_more_fragments(self.more_fragments);
        header.set_fragment_offset(self.fragment_offset);
        header.set_ttl(self.ttl);
        header.set_protocol(self.transport.protocol());
        header.set_source(self.source.addr);
        header.set_destination(self.destination.addr);
        header.fill_checksum();
        if self.bad_ip_checksum {
            let wrong = header.view().checksum() ^ 0x5500;
            header.set_checksum(wrong);
        }
    }
}

#[cfg(test)]
mod tests;
