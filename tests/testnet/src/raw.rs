//! Packets made by hand, for what no well-behaved program sends.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace::Namespace;

/// A TCP header's flags, RFC 9293 §3.1.
pub mod flags {
    /// The first packet of a connection.
    pub const SYN: u8 = 0x02;
    /// The connection is gone.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// Sends IPv4 packets exactly as given from one host, with any source address.
#[derive(Debug)]
pub struct RawSender(Socket);

impl RawSender {
    /// Opens a sender on `host`.
    ///
    /// # Panics
    ///
    /// When raw sockets are refused.
    #[must_use]
    pub fn open(host: &Namespace) -> Self {
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)));
        Self(host.inside(open).expect("root may open raw sockets"))
    }

    /// Sends `packet`, an IPv4 packet with its header, to the host its header names.
    ///
    /// # Panics
    ///
    /// When the packet is shorter than its header or there is no route.
    pub fn send(&self, packet: &[u8]) {
        let (header, _) = packet
            .split_first_chunk::<20>()
            .expect("a packet has a header");
        let to = Ipv4Addr::from([header[16], header[17], header[18], header[19]]);
        let to = SocketAddrV4::new(to, 0).into();
        self.0.send_to(packet, &to).expect("there is a route");
    }
}

/// Hears every TCP packet that reaches one host, whether or not a socket wants it.
#[derive(Debug)]
pub struct TcpListenerIn(Socket);

/// What a heard TCP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardTcp {
    /// The sender.
    pub from: SocketAddrV4,
    /// The destination port.
    pub to_port: u16,
    /// The flags of [`flags`].
    pub flags: u8,
}

impl TcpListenerIn {
    /// Begins to listen on `host`.
    ///
    /// # Panics
    ///
    /// When raw sockets are refused.
    #[must_use]
    pub fn open(host: &Namespace) -> Self {
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP));
        let socket = host.inside(open).expect("root may open raw sockets");
        let wait = Some(Duration::from_millis(50));
        socket
            .set_read_timeout(wait)
            .expect("a time above zero is accepted");
        Self(socket)
    }

    /// Everything heard until `time` has passed.
    #[must_use]
    pub fn heard_within(&self, time: Duration) -> Vec<HeardTcp> {
        let start = Instant::now();
        let mut heard = Vec::new();
        let mut buffer = [0; 2048];
        while start.elapsed() < time {
            if let Ok(length) = std::io::Read::read(&mut &self.0, &mut buffer) {
                heard.extend(read_tcp(&buffer[..length]));
            }
        }
        heard
    }
}

fn read_tcp(packet: &[u8]) -> Option<HeardTcp> {
    let (ip, _) = packet.split_first_chunk::<20>()?;
    let tcp = packet.get(usize::from(ip[0] & 0x0f) * 4..)?;
    let (tcp, _) = tcp.split_first_chunk::<20>()?;
    let from = Ipv4Addr::from([ip[12], ip[13], ip[14], ip[15]]);
    Some(HeardTcp {
        from: SocketAddrV4::new(from, u16::from_be_bytes([tcp[0], tcp[1]])),
        to_port: u16::from_be_bytes([tcp[2], tcp[3]]),
        flags: tcp[13],
    })
}

/// An IPv4 header in front of `payload`; the kernel fills in length and checksum.
#[must_use]
pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    let length = u16::try_from(packet.len()).expect("a packet is below 64 KiB");
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A TCP packet without payload and with a right checksum.
#[must_use]
pub fn tcp(from: SocketAddrV4, to: SocketAddrV4, flags: u8) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20);
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend([
        0, 0, 0x10, 0, 0, 0, 0x20, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    with_checksum(&mut segment, 16, from, to, 6);
    ipv4(*from.ip(), *to.ip(), 6, &segment)
}

/// A UDP packet with a right checksum.
#[must_use]
pub fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    let length = u16::try_from(8 + payload.len()).expect("a datagram is below 64 KiB");
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    with_checksum(&mut datagram, 6, from, to, 17);
    ipv4(*from.ip(), *to.ip(), 17, &datagram)
}

/// Fills in a transport checksum over the pseudo header of RFC 9293 §3.1.
fn with_checksum(bytes: &mut [u8], at: usize, from: SocketAddrV4, to: SocketAddrV4, protocol: u8) {
    let length = u16::try_from(bytes.len()).expect("a segment is below 64 KiB");
    let mut whole = [from.ip().octets(), to.ip().octets()].concat();
    whole.extend([0, protocol]);
    whole.extend(length.to_be_bytes());
    whole.extend_from_slice(bytes);
    bytes[at..at + 2].copy_from_slice(&checksum(&whole).to_be_bytes());
}

/// The Internet checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it was folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_made_by_hand_reads_back_as_what_it_was_meant_to_be() {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 2), 1234);
        let to = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 104), 80);

        let packet = tcp(from, to, flags::SYN | flags::ACK);

        let heard = HeardTcp {
            from,
            to_port: 80,
            flags: flags::SYN | flags::ACK,
        };
        assert_eq!(read_tcp(&packet), Some(heard));
        assert_eq!(checksum(&packet[..20]), 0);
    }
}
