//! The transport headers of [`Builder`]: what each protocol adds to it.

use crate::address::{Endpoint, Protocol, V4};
use crate::wire::checksum::{finish, ones_complement_sum, pseudo_v4};
use crate::wire::icmp::{self, IcmpMut};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::sctp::{self as wire_sctp, SctpMut, chunk};
use crate::wire::tcp::Flags;
use crate::wire::udp::{self as wire_udp, UdpMut};
use crate::wire::{ethernet, vlan};

use super::Builder;

/// What stands behind the IP header.
pub trait Transport: Clone {
    /// Where the checksum stands in the header.
    const CHECKSUM_OFFSET: usize;

    /// The protocol's number.
    fn protocol(&self) -> u8;

    /// The header and the payload behind it.
    fn write(&self, source: Endpoint<V4>, destination: Endpoint<V4>, payload: &[u8]) -> Vec<u8>;
}

/// A TCP segment: an ACK without data unless told otherwise.
#[must_use]
pub fn tcp() -> Builder<Tcp> {
    Builder::new(Tcp {
        sequence: 1_000,
        acknowledgement: 0,
        flags: Flags::ACK.0,
        window: 64_240,
        options: Vec::new(),
    })
}

/// A UDP datagram.
#[must_use]
pub fn udp() -> Builder<Udp> {
    Builder::new(Udp { checksummed: true })
}

/// An SCTP packet with one DATA chunk, in which the payload stands.
#[must_use]
pub fn sctp() -> Builder<Sctp> {
    Builder::new(Sctp {
        tag: 0x1122_3344,
        chunk: chunk::DATA,
    })
}

/// An ICMP echo request.
#[must_use]
pub fn icmp_echo() -> Builder<Icmp> {
    Builder::new(Icmp {
        kind: icmp::kind::ECHO_REQUEST,
        code: 0,
        id: 1,
        sequence: 1,
    })
}

/// An ICMP error; [`Builder::about`] says about which packet.
#[must_use]
pub fn icmp_error(kind: u8, code: u8) -> Builder<Icmp> {
    Builder::new(Icmp {
        kind,
        code,
        id: 0,
        sequence: 0,
    })
}

/// A packet of another protocol: the payload stands right behind the IP header.
#[must_use]
pub fn ip(protocol: u8) -> Builder<Raw> {
    Builder::new(Raw(protocol))
}

/// What a TCP segment adds to a [`Builder`].
#[derive(Clone, Debug)]
pub struct Tcp {
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    options: Vec<u8>,
}

impl Builder<Tcp> {
    /// Sets all control bits.
    #[must_use]
    pub fn flags(mut self, flags: Flags) -> Self {
        self.transport.flags = flags.0;
        self
    }

    /// Makes it a SYN.
    #[must_use]
    pub fn syn(self) -> Self {
        self.flags(Flags::SYN)
    }

    /// Makes it a SYN-ACK.
    #[must_use]
    pub fn syn_ack(self) -> Self {
        self.flags(Flags::SYN.with(Flags::ACK))
    }

    /// Makes it an ACK, which it is from the beginning.
    #[must_use]
    pub fn ack(self) -> Self {
        self.flags(Flags::ACK)
    }

    /// Makes it a FIN-ACK.
    #[must_use]
    pub fn fin(self) -> Self {
        self.flags(Flags::FIN.with(Flags::ACK))
    }

    /// Makes it an RST.
    #[must_use]
    pub fn rst(self) -> Self {
        self.flags(Flags::RST)
    }

    /// Makes it a PSH-ACK with this payload.
    #[must_use]
    pub fn data(self, payload: &[u8]) -> Self {
        self.flags(Flags::PSH.with(Flags::ACK)).payload(payload)
    }

    /// Sets the sequence number; 1000 otherwise.
    #[must_use]
    pub fn seq(mut self, number: u32) -> Self {
        self.transport.sequence = number;
        self
    }

    /// Sets the acknowledgement number; 0 otherwise.
    #[must_use]
    pub fn ack_no(mut self, number: u32) -> Self {
        self.transport.acknowledgement = number;
        self
    }

    /// Sets the receive window; 64240 otherwise.
    #[must_use]
    pub fn window(mut self, bytes: u16) -> Self {
        self.transport.window = bytes;
        self
    }

    /// Appends an option (or anything else) as it stands here.
    #[must_use]
    pub fn option(mut self, bytes: &[u8]) -> Self {
        self.transport.options.extend_from_slice(bytes);
        self
    }

    /// Appends a maximum segment size.
    #[must_use]
    pub fn mss(self, bytes: u16) -> Self {
        let [high, low] = bytes.to_be_bytes();
        self.option(&[2, 4, high, low])
    }

    /// Appends a window scale.
    #[must_use]
    pub fn window_scale(self, shift: u8) -> Self {
        self.option(&[3, 3, shift])
    }

    /// Appends "selective acknowledgements permitted".
    #[must_use]
    pub fn sack_permitted(self) -> Self {
        self.option(&[4, 2])
    }

    /// Appends a selective acknowledgement of at most 4 blocks, each from its left edge up to
    /// its right.
    #[must_use]
    pub fn sack(self, blocks: &[(u32, u32)]) -> Self {
        let len = u8::try_from(2 + 8 * blocks.len()).expect("at most 4 blocks");
        let edges = blocks.iter().flat_map(|(left, right)| [left, right]);
        let bytes: Vec<u8> = [5, len]
            .into_iter()
            .chain(edges.flat_map(|edge| edge.to_be_bytes()))
            .collect();
        self.option(&bytes)
    }

    /// Appends a timestamp and the echo of the peer's.
    #[must_use]
    pub fn timestamps(self, value: u32, echo: u32) -> Self {
        let mut bytes = vec![8, 10];
        bytes.extend(value.to_be_bytes());
        bytes.extend(echo.to_be_bytes());
        self.option(&bytes)
    }
}

impl Transport for Tcp {
    const CHECKSUM_OFFSET: usize = 16;

    fn protocol(&self) -> u8 {
        Protocol::Tcp as u8
    }

    fn write(&self, source: Endpoint<V4>, destination: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 1);
        let words = u8::try_from(5 + options.len() / 4).expect("at most 40 bytes of options");
        assert!(words <= 15, "at most 40 bytes of options");

        let mut bytes = Vec::new();
        bytes.extend(source.port.to_be_bytes());
        bytes.extend(destination.port.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([words << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.extend_from_slice(payload);
        let sum = ones_complement_sum(&bytes, pseudo(source, destination, self, bytes.len()));
        bytes[16..18].copy_from_slice(&finish(sum).to_be_bytes());
        bytes
    }
}

/// What a UDP datagram adds to a [`Builder`].
#[derive(Clone, Debug)]
pub struct Udp {
    checksummed: bool,
}

impl Builder<Udp> {
    /// Leaves the checksum out: its field is 0.
    #[must_use]
    pub fn no_checksum(mut self) -> Self {
        self.transport.checksummed = false;
        self
    }
}

impl Transport for Udp {
    const CHECKSUM_OFFSET: usize = 6;

    fn protocol(&self) -> u8 {
        Protocol::Udp as u8
    }

    fn write(&self, source: Endpoint<V4>, destination: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; wire_udp::HEADER_LEN];
        bytes.extend_from_slice(payload);
        let sum = pseudo(source, destination, self, bytes.len());
        let length = u16::try_from(bytes.len()).expect("at most 65535 bytes");
        let (mut header, payload) = UdpMut::parse(&mut bytes).expect("room for it");
        header.set_source_port(source.port);
        header.set_destination_port(destination.port);
        header.set_length(length);
        if self.checksummed {
            header.fill_checksum(sum, payload);
        }
        bytes
    }
}

/// What an SCTP packet adds to a [`Builder`].
#[derive(Clone, Debug)]
pub struct Sctp {
    tag: u32,
    chunk: u8,
}

impl Builder<Sctp> {
    /// Sets the type of the chunk.
    #[must_use]
    pub fn chunk(mut self, kind: u8) -> Self {
        self.transport.chunk = kind;
        self
    }

    /// Makes it an INIT, with the tag of 0 that belongs to it.
    #[must_use]
    pub fn init(self) -> Self {
        self.chunk(chunk::INIT).tag(0)
    }

    /// Sets the verification tag; 0x11223344 otherwise.
    #[must_use]
    pub fn tag(mut self, tag: u32) -> Self {
        self.transport.tag = tag;
        self
    }
}

impl Transport for Sctp {
    const CHECKSUM_OFFSET: usize = 8;

    fn protocol(&self) -> u8 {
        Protocol::Sctp as u8
    }

    fn write(&self, source: Endpoint<V4>, destination: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; wire_sctp::MIN_PACKET_LEN];
        bytes.extend_from_slice(payload);
        // RFC 9260 §3.2: the length leaves out the padding to whole words.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let length = u16::try_from(4 + payload.len()).expect("at most 65535 bytes");
        let (mut header, rest) = SctpMut::parse(&mut bytes).expect("room for it");
        header.set_source_port(source.port);
        header.set_destination_port(destination.port);
        header.set_verification_tag(self.tag);
        header.set_first_chunk(self.chunk, length);
        header.fill_checksum(rest);
        bytes
    }
}

/// What an ICMP message adds to a [`Builder`].
#[derive(Clone, Debug)]
pub struct Icmp {
    kind: u8,
    code: u8,
    id: u16,
    sequence: u16,
}

impl Builder<Icmp> {
    /// Makes it an echo reply.
    #[must_use]
    pub fn echo_reply(mut self) -> Self {
        self.transport.kind = icmp::kind::ECHO_REPLY;
        self
    }

    /// Sets identifier and sequence number of an echo; 1 and 1 otherwise.
    #[must_use]
    pub fn echo(mut self, id: u16, sequence: u16) -> Self {
        self.transport.id = id;
        self.transport.sequence = sequence;
        self
    }

    /// Sets the MTU that "fragmentation needed" announces.
    #[must_use]
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.transport.sequence = mtu;
        self
    }

    /// Quotes the IP packet in `frame`: as much as leaves the error at 576 bytes or less
    /// (RFC 1812 §4.3.2.3). [`Builder::cut`] makes it less.
    #[must_use]
    pub fn about(self, frame: &[u8]) -> Self {
        let (header, packet) = frame.split_at(ethernet::HEADER_LEN);
        let packet = match header {
            [.., 0x81, 0x00] => &packet[vlan::TAG_LEN..],
            _ => packet,
        };
        let (ip, _) = Ipv4::parse(packet).expect("a frame with an IPv4 packet");
        let room = 576 - ipv4::MIN_HEADER_LEN - icmp::HEADER_LEN;
        self.payload(&packet[..usize::from(ip.total_len()).min(room)])
    }
}

impl Transport for Icmp {
    const CHECKSUM_OFFSET: usize = 2;

    fn protocol(&self) -> u8 {
        ipv4::protocol::ICMP
    }

    fn write(&self, _: Endpoint<V4>, _: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; icmp::HEADER_LEN];
        bytes.extend_from_slice(payload);
        let (mut header, data) = IcmpMut::parse(&mut bytes).expect("room for it");
        header.set_kind(self.kind, self.code);
        header.set_id(self.id);
        header.set_sequence(self.sequence);
        header.fill_checksum(data);
        bytes
    }
}

/// A protocol number without a header.
#[derive(Clone, Debug)]
pub struct Raw(u8);

impl Transport for Raw {
    const CHECKSUM_OFFSET: usize = 0;

    fn protocol(&self) -> u8 {
        self.0
    }

    fn write(&self, _: Endpoint<V4>, _: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
        payload.to_vec()
    }
}

fn pseudo(
    source: Endpoint<V4>,
    destination: Endpoint<V4>,
    transport: &impl Transport,
    len: usize,
) -> u32 {
    let len = u16::try_from(len).expect("at most 65535 bytes");
    pseudo_v4(source.addr, destination.addr, transport.protocol(), len)
}
