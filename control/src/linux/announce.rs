//! Tells the neighbours that an address is here now.

use std::net::Ipv4Addr;

use dataplane::address::MacAddr;

/// The shortest Ethernet frame, without its checksum.
const SHORTEST_FRAME: usize = 60;

/// A gratuitous ARP: a request for the own address, as RFC 5227 §2.3 announces it.
///
/// ```text
///   0        6      12    14                22      28      32      38      42     60
///   | ff..ff | mac | 0806 | 1 0800 6 4 op=1 | mac   | addr  | 0..0  | addr  | pad  |
/// ```
#[must_use]
pub fn gratuitous_arp(mac: MacAddr, addr: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SHORTEST_FRAME);
    frame.extend(MacAddr::BROADCAST.0);
    frame.extend(mac.0);
    frame.extend([0x08, 0x06]);
    // Ethernet, IPv4, their address lengths, request (RFC 826).
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(mac.0);
    frame.extend(addr.octets());
    frame.extend([0; 6]);
    frame.extend(addr.octets());
    frame.resize(SHORTEST_FRAME, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gratuitous_arp_asks_everybody_for_its_own_address() {
        let frame = gratuitous_arp(MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 5));

        let mut expected = vec![
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, //
            0, 1, 8, 0, 6, 4, 0, 1, //
            2, 0, 0, 0, 0, 1, 10, 0, 0, 5, //
            0, 0, 0, 0, 0, 0, 10, 0, 0, 5,
        ];
        expected.resize(60, 0);
        assert_eq!(frame, expected);
    }
}
