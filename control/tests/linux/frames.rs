//! Ethernet frames the tests send and look into.

use std::net::Ipv4Addr;

use dataplane::address::MacAddr;

const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];

/// The parts of an ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) reply: bool,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target_mac: MacAddr,
    pub(crate) target: Ipv4Addr,
}

impl Arp {
    /// The ARP packet in `frame`, if it is one.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        if frame.len() < 42 || frame[12..14] != ETHERTYPE_ARP {
            return None;
        }
        let mac = |at: usize| MacAddr(frame[at..at + 6].try_into().unwrap());
        let addr = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap());
        Some(Self {
            reply: frame[21] == 2,
            sender_mac: mac(22),
            sender: addr(28),
            target_mac: mac(32),
            target: addr(38),
        })
    }

    /// The packet in a frame to `destination`.
    pub(crate) fn frame_to(&self, destination: MacAddr) -> Vec<u8> {
        let mut frame = Vec::with_capacity(42);
        frame.extend(destination.0);
        frame.extend(self.sender_mac.0);
        frame.extend(ETHERTYPE_ARP);
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1 + u8::from(self.reply)]);
        frame.extend(self.sender_mac.0);
        frame.extend(self.sender.octets());
        frame.extend(self.target_mac.0);
        frame.extend(self.target.octets());
        frame
    }
}

/// The ones'-complement sum of 16-bit words (RFC 1071), folded.
pub(crate) fn ones_complement_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
