//! The frames of a replay, and what must become of them.
//!
//! What comes out is built from nothing, as what goes in is, with every checksum over the whole:
//! the gateway's incremental ones have to agree with it byte for byte.
//!
//! ```text
//! frame | Ethernet 14 | [outer IPv4 20] | IPv4 20 | TCP 20 or UDP 8 | payload | padding |
//! ```

use std::net::SocketAddrV4;

use super::case::{Case, Direction, Method, Protocol, Sizes};
use super::topology::{Flow, GATEWAY, GATEWAY_MAC, ROUTER, VIP};

/// The time to live that clients and servers send with.
const TTL: u8 = 64;
/// The shortest frame without its check sequence, IEEE 802.3 §3.2.8.
const SHORTEST: usize = 60;
const ETHERNET: usize = 14;
const IPV4: usize = 20;

/// Lengths without the frame check sequence for each twelfth packet: 7 of 64 bytes, 4 of 594 and
/// 1 of 1518.
const IMIX: [usize; 12] = [
    SHORTEST, 590, SHORTEST, SHORTEST, 590, SHORTEST, 1514, SHORTEST, 590, SHORTEST, 590, SHORTEST,
];

/// The way of one packet: its addresses below and above IP, and what the routers took of its
/// time to live.
#[derive(Clone, Copy, Debug)]
struct Way {
    mac_to: [u8; 6],
    mac_from: [u8; 6],
    from: SocketAddrV4,
    to: SocketAddrV4,
    ttl: u8,
}

/// What one packet carries, wherever it is on its way.
#[derive(Clone, Copy, Debug)]
struct Load {
    protocol: Protocol,
    /// The flow's number: it sets identification, sequence numbers and payload apart.
    index: u32,
    /// Bytes behind the transport header.
    payload: usize,
}

/// The frames of `case` for one flow, in the order of the replay.
#[must_use]
pub fn of_flow(case: &Case, index: u32) -> Vec<Vec<u8>> {
    (directions_of(case, index).into_iter())
        .map(|direction| incoming(case, direction, index))
        .collect()
}

/// Which of its two directions a flow speaks. With one flow only it is both of them.
#[must_use]
pub fn directions_of(case: &Case, index: u32) -> Vec<Direction> {
    match case.direction {
        Direction::Both if case.flows == 1 => vec![Direction::Request, Direction::Reply],
        Direction::Both if index.is_multiple_of(2) => vec![Direction::Request],
        Direction::Both => vec![Direction::Reply],
        one => vec![one],
    }
}

/// How many frames the replay of `case` has.
#[must_use]
pub const fn count(case: &Case) -> u32 {
    match (case.direction, case.flows) {
        (Direction::Both, 1) => 2,
        _ => case.flows,
    }
}

/// The frame that the gateway receives: `direction` is that of this frame, not the case's.
#[must_use]
pub fn incoming(case: &Case, direction: Direction, index: u32) -> Vec<u8> {
    let flow = Flow::new(case.method, case.protocol, index);
    let way = match direction {
        Direction::Request | Direction::Both => Way {
            mac_to: GATEWAY_MAC,
            mac_from: ROUTER.1,
            from: flow.client,
            to: VIP,
            ttl: TTL,
        },
        Direction::Reply => Way {
            mac_to: GATEWAY_MAC,
            mac_from: flow.server_mac,
            from: flow.server,
            to: if case.method == Method::Fullnat {
                flow.local
            } else {
                flow.client
            },
            ttl: TTL,
        },
    };
    let mut frame = packet(way, load(case, index));
    frame.resize(frame.len().max(SHORTEST), 0);
    frame
}

/// The frame that the gateway sends for [`incoming`] of the same arguments.
#[must_use]
pub fn outgoing(case: &Case, direction: Direction, index: u32) -> Vec<u8> {
    let flow = Flow::new(case.method, case.protocol, index);
    let mac_from = GATEWAY_MAC;
    let ttl = TTL - 1;
    let (mac_to, from, to) = match (direction, case.method) {
        (Direction::Reply, _) => (ROUTER.1, VIP, flow.client),
        (_, Method::Dr | Method::Tun) => (flow.server_mac, flow.client, VIP),
        (_, Method::Nat) => (flow.server_mac, flow.client, flow.server),
        (_, Method::Fullnat) => (flow.server_mac, flow.local, flow.server),
    };
    let way = Way {
        mac_to,
        mac_from,
        from,
        to,
        ttl,
    };
    let plain = packet(way, load(case, index));
    if case.method == Method::Tun {
        in_a_tunnel(&plain, *flow.server.ip(), ttl)
    } else {
        plain
    }
}

/// What the flow's packets carry: every other TCP flow acknowledges only, with padding behind
/// it, the others send data.
fn load(case: &Case, index: u32) -> Load {
    let length = match case.sizes {
        Sizes::Small => SHORTEST,
        Sizes::Imix => IMIX[index as usize % IMIX.len()],
    };
    // The largest packets must fit the tunnel's path with their outer header too.
    let length = match case.method {
        Method::Tun => length.min(1514 - IPV4),
        _ => length,
    };
    let header = match case.protocol {
        Protocol::Tcp => 20,
        Protocol::Udp => 8,
    };
    let acknowledges =
        case.protocol == Protocol::Tcp && length == SHORTEST && !index.is_multiple_of(2);
    let payload = if acknowledges {
        0
    } else {
        length - ETHERNET - IPV4 - header
    };
    Load {
        protocol: case.protocol,
        index,
        payload,
    }
}

fn packet(way: Way, load: Load) -> Vec<u8> {
    let segment = segment(way, load);
    // Don't fragment, as today's hosts send; the identification is the flow's nonetheless.
    let [.., id_high, id_low] = load.index.to_be_bytes();
    let mut header = [0; IPV4];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length_field(IPV4 + segment.len()));
    header[4..8].copy_from_slice(&[id_high, id_low, 0x40, 0]);
    header[8..10].copy_from_slice(&[way.ttl, load.protocol.number()]);
    header[12..16].copy_from_slice(&way.from.ip().octets());
    header[16..20].copy_from_slice(&way.to.ip().octets());
    fill_checksum(&mut header);
    let mut frame = Vec::with_capacity(ETHERNET + IPV4 + segment.len());
    frame.extend(way.mac_to);
    frame.extend(way.mac_from);
    frame.extend([0x08, 0x00]);
    frame.extend(header);
    frame.extend(segment);
    frame
}

/// TCP (RFC 9293 §3.1) or UDP (RFC 768) with payload and checksum.
fn segment(way: Way, load: Load) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + load.payload);
    bytes.extend(way.from.port().to_be_bytes());
    bytes.extend(way.to.port().to_be_bytes());
    let checksum_at = match load.protocol {
        Protocol::Tcp => {
            let flags = if load.payload == 0 { 0x10 } else { 0x18 };
            bytes.extend(load.index.wrapping_mul(0x9e37_79b9).to_be_bytes());
            bytes.extend(load.index.wrapping_mul(0x85eb_ca6b).to_be_bytes());
            bytes.extend([0x50, flags, 0x01, 0xf6, 0, 0, 0, 0]);
            16
        }
        Protocol::Udp => {
            bytes.extend(length_field(8 + load.payload));
            bytes.extend([0, 0]);
            6
        }
    };
    let letters = load.index.to_be_bytes().into_iter().cycle();
    bytes.extend(letters.take(load.payload));
    let mut whole = Vec::with_capacity(12 + bytes.len());
    whole.extend(way.from.ip().octets());
    whole.extend(way.to.ip().octets());
    whole.extend([0, load.protocol.number()]);
    whole.extend(length_field(bytes.len()));
    whole.extend(&bytes);
    let sum = match checksum(&whole) {
        // RFC 768: zero would say that there is no checksum.
        0 if load.protocol == Protocol::Udp => 0xffff,
        sum => sum,
    };
    bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Puts the packet of a frame into the tunnel from the gateway to `server`: RFC 2003 §3.1, and
/// identification 0 because nothing may fragment it (RFC 6864 §4.1).
fn in_a_tunnel(frame: &[u8], server: std::net::Ipv4Addr, ttl: u8) -> Vec<u8> {
    let (ethernet, inner) = frame.split_at(ETHERNET);
    let mut outer = [0; IPV4];
    outer[0] = 0x45;
    outer[2..4].copy_from_slice(&length_field(IPV4 + inner.len()));
    outer[6..10].copy_from_slice(&[0x40, 0, ttl, 4]);
    outer[12..16].copy_from_slice(&GATEWAY.octets());
    outer[16..20].copy_from_slice(&server.octets());
    fill_checksum(&mut outer);
    [ethernet, &outer, inner].concat()
}

/// A length of this file's packets, which all fit an Ethernet frame.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no packet is above 1500 bytes"
)]
const fn length_field(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}

fn fill_checksum(header: &mut [u8; IPV4]) {
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The Internet checksum, RFC 1071.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the sum is folded to 16 bits"
)]
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = (bytes.chunks(2))
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    fn case(method: Method, direction: Direction, protocol: Protocol) -> Case {
        Case {
            method,
            direction,
            protocol,
            flows: 1000,
            sizes: Sizes::Small,
        }
    }

    /// Reads a frame by another's code and asserts that both its checksums are right.
    fn assert_checksums(frame: &[u8]) {
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
            panic!("no IPv4 in {frame:02x?}");
        };
        let header = ip.header();
        assert_eq!(
            header.header_checksum(),
            header.to_header().calc_header_checksum()
        );
        match sliced.transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                assert_eq!(
                    tcp.checksum(),
                    tcp.calc_checksum_ipv4(header.source(), header.destination())
                        .unwrap()
                );
            }
            TransportSlice::Udp(udp) => {
                let right = udp.to_header().calc_checksum_ipv4_raw(
                    header.source(),
                    header.destination(),
                    udp.payload(),
                );
                assert_eq!(udp.checksum(), right.unwrap());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_frame_has_right_checksums_on_its_way_in_and_out() {
        for method in Method::ALL {
            for protocol in Protocol::ALL {
                for direction in [Direction::Request, Direction::Reply] {
                    if direction == Direction::Reply && !method.sees_replies() {
                        continue;
                    }
                    for sizes in Sizes::ALL {
                        let case = Case {
                            sizes,
                            ..case(method, direction, protocol)
                        };
                        for index in 0..24 {
                            assert_checksums(&incoming(&case, direction, index));
                            let out = outgoing(&case, direction, index);
                            if method == Method::Tun {
                                let inner = [&out[..ETHERNET], &out[ETHERNET + IPV4..]].concat();
                                assert_checksums(&inner);
                                assert_eq!(checksum(&out[ETHERNET..ETHERNET + IPV4]), 0);
                            } else {
                                assert_checksums(&out);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn small_frames_are_as_short_as_ethernet_allows() {
        let segments = case(Method::Nat, Direction::Both, Protocol::Tcp);

        for index in 0..4 {
            assert_eq!(incoming(&segments, Direction::Request, index).len(), 60);
            assert_eq!(incoming(&segments, Direction::Reply, index).len(), 60);
        }
        // An acknowledgement leaves without the padding it came with.
        assert_eq!(outgoing(&segments, Direction::Request, 0).len(), 60);
        assert_eq!(outgoing(&segments, Direction::Request, 1).len(), 54);
    }

    #[test]
    fn mixed_sizes_are_seven_four_and_one_of_twelve() {
        let mixed = Case {
            sizes: Sizes::Imix,
            ..case(Method::Dr, Direction::Request, Protocol::Udp)
        };

        let mut lengths: Vec<_> = (0..12)
            .map(|index| incoming(&mixed, Direction::Request, index).len() + 4)
            .collect();

        lengths.sort_unstable();
        assert_eq!(lengths, [vec![64; 7], vec![594; 4], vec![1518]].concat());
    }

    #[test]
    fn the_largest_packet_fits_the_tunnel() {
        let mixed = Case {
            sizes: Sizes::Imix,
            ..case(Method::Tun, Direction::Request, Protocol::Tcp)
        };

        let longest = (0..12)
            .map(|index| outgoing(&mixed, Direction::Request, index).len())
            .max();

        assert_eq!(longest, Some(1514));
    }

    #[test]
    fn both_directions_touch_every_flow_once() {
        let both = case(Method::Fullnat, Direction::Both, Protocol::Udp);
        let one = Case { flows: 1, ..both };

        let frames: HashSet<_> = (0..both.flows)
            .flat_map(|index| of_flow(&both, index))
            .collect();

        assert_eq!(frames.len(), 1000);
        assert_eq!(count(&both), 1000);
        let replies = (0..both.flows).filter(|&it| directions_of(&both, it) == [Direction::Reply]);
        assert_eq!(replies.count(), 500);
        assert_eq!((of_flow(&one, 0).len(), count(&one)), (2, 2));
    }

    #[test]
    fn fullnat_shows_the_server_a_local_address_and_the_client_the_vip() {
        let fullnat = case(Method::Fullnat, Direction::Both, Protocol::Tcp);
        let flow = Flow::new(Method::Fullnat, Protocol::Tcp, 4);

        let request = outgoing(&fullnat, Direction::Request, 4);
        let reply = outgoing(&fullnat, Direction::Reply, 4);

        assert_eq!(request[..6], flow.server_mac);
        assert_eq!(request[26..30], flow.local.ip().octets());
        assert_eq!(request[30..34], flow.server.ip().octets());
        assert_eq!(reply[..6], ROUTER.1);
        assert_eq!(reply[26..30], VIP.ip().octets());
        assert_eq!(reply[30..34], flow.client.ip().octets());
        assert_eq!((request[22], reply[22]), (TTL - 1, TTL - 1));
    }
}
