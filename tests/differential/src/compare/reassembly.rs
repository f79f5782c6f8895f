//! Puts fragments together, so that datagrams can be compared however they were cut.
//!
//! ```text
//! | Ethernet | IP, fragment | ...          a fragment of a packet
//! | Ethernet | IP | IP, fragment | ...     a tunnel that carries a fragment
//! ```
//!
//! A datagram is whole with the frame that closes its last gap; it has the first fragment's
//! header, with length, flags and checksum of a whole one.

use dataplane::address::V4;
use dataplane::wire::ethernet::{Ethernet, HEADER_LEN, ethertype};
use dataplane::wire::ipv4::{Ipv4, Ipv4Mut, protocol};

/// What the fragments of one datagram have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    interface: String,
    /// What stands before the IP header; of a tunnel's header what fragments have in common.
    prefix: Vec<u8>,
    source: V4,
    destination: V4,
    protocol: u8,
    id: u16,
}

/// A fragment.
#[derive(Clone, Debug)]
struct Part {
    offset: usize,
    more: bool,
    prefix: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
}

/// Puts the fragments of one side together.
#[derive(Clone, Debug, Default)]
pub(super) struct Reassembler {
    pending: Vec<(Key, Vec<Part>)>,
}

impl Reassembler {
    /// Takes a frame; gives it back if it is whole, and the whole frame if it closes the last gap
    /// of one.
    pub(super) fn add(&mut self, interface: &str, frame: &[u8]) -> Option<Vec<u8>> {
        match Ethernet::parse(frame) {
            Ok((link, _)) if link.ethertype() == ethertype::IPV4 => {
                self.add_packet(interface, frame.to_vec(), HEADER_LEN)
            }
            _ => Some(frame.to_vec()),
        }
    }

    /// How many datagrams have gaps, by their identification.
    pub(super) fn incomplete(&self) -> Vec<u16> {
        self.pending.iter().map(|(key, _)| key.id).collect()
    }

    /// Takes a frame whose IP header stands at `at`.
    fn add_packet(&mut self, interface: &str, frame: Vec<u8>, at: usize) -> Option<Vec<u8>> {
        let Ok((ip, _)) = Ipv4::parse(frame.get(at..).unwrap_or(&[])) else {
            return Some(frame);
        };
        if ip.is_fragment() {
            let whole = self.file(interface, &frame, at)?;
            return self.add_packet(interface, whole, at);
        }
        match ip.protocol() {
            protocol::IPIP => {
                let inner = at + usize::from(ip.header_len());
                self.add_packet(interface, frame, inner)
            }
            _ => Some(frame),
        }
    }

    fn file(&mut self, interface: &str, frame: &[u8], at: usize) -> Option<Vec<u8>> {
        let (prefix, packet) = frame.split_at_checked(at)?;
        let (ip, payload) = Ipv4::parse(packet).ok()?;
        let key = Key {
            interface: interface.to_owned(),
            prefix: common(prefix),
            source: ip.source(),
            destination: ip.destination(),
            protocol: ip.protocol(),
            id: ip.id(),
        };
        let part = Part {
            offset: ip.fragment_offset().into(),
            more: ip.more_fragments(),
            prefix: prefix.to_vec(),
            header: packet.get(..ip.header_len().into())?.to_vec(),
            payload: payload.to_vec(),
        };
        let index = match self.pending.iter().position(|(other, _)| *other == key) {
            Some(index) => index,
            None => {
                self.pending.push((key, Vec::new()));
                self.pending.len() - 1
            }
        };
        let (_, parts) = self.pending.get_mut(index)?;
        parts.push(part);
        parts.sort_by_key(|part| part.offset);
        let whole = join(parts)?;
        self.pending.remove(index);
        Some(whole)
    }
}

/// What stands before the fragments of one datagram, without what differs in each: length,
/// identification and checksum of a tunnel's header.
fn common(prefix: &[u8]) -> Vec<u8> {
    let mut prefix = prefix.to_vec();
    for field in [16..20, 24..26] {
        if let Some(bytes) = prefix.get_mut(field) {
            bytes.fill(0);
        }
    }
    prefix
}

/// The whole frame, if there is no gap.
fn join(parts: &[Part]) -> Option<Vec<u8>> {
    let first = parts.first().filter(|part| part.offset == 0)?;
    let mut payload: Vec<u8> = Vec::new();
    let mut ends = false;
    for part in parts {
        match payload.len().checked_sub(part.offset) {
            Some(0) => payload.extend_from_slice(&part.payload),
            // A duplicate adds nothing.
            Some(_) => {}
            None => return None,
        }
        ends |= !part.more;
    }
    if !ends {
        return None;
    }
    let mut frame = [first.prefix.as_slice(), &first.header, &payload].concat();
    mend(&mut frame, first.prefix.len(), true)?;
    if first.prefix.len() > HEADER_LEN {
        mend(&mut frame, HEADER_LEN, false)?;
    }
    Some(frame)
}

/// Gives the IP header at `at` the length of what follows, and the right checksum; with `whole`
/// it also says that this is no fragment.
fn mend(frame: &mut [u8], at: usize, whole: bool) -> Option<()> {
    let packet = frame.get_mut(at..)?;
    let len = u16::try_from(packet.len()).ok()?;
    let words = packet.get_mut(2..4)?;
    words.copy_from_slice(&len.to_be_bytes());
    let (mut ip, _) = Ipv4Mut::parse(packet).ok()?;
    if whole {
        ip.set_more_fragments(false);
        ip.set_fragment_offset(0);
    }
    ip.fill_checksum();
    Some(())
}

#[cfg(test)]
mod tests {
    use dataplane::testing::udp;

    use super::*;

    #[test]
    fn a_whole_frame_passes_as_it_is() {
        let mut side = Reassembler::default();

        assert_eq!(side.add("eth0", &udp().build()), Some(udp().build()));
        assert_eq!(side.add("eth0", &[1, 2]), Some(vec![1, 2]));
    }

    #[test]
    fn fragments_in_any_order_give_the_packet_they_were_cut_from() {
        let packet = udp().id(7).payload_len(3_000);
        let mut fragments = packet.fragments(1_500);
        for _ in 0..fragments.len() {
            fragments.rotate_left(1);
            let mut side = Reassembler::default();

            let out: Vec<_> = (fragments.iter())
                .map(|frame| side.add("eth0", frame))
                .collect();

            assert_eq!(out, [None, None, Some(packet.build())]);
            assert!(side.incomplete().is_empty());
        }
    }

    #[test]
    fn a_gap_leaves_the_datagram_incomplete() {
        let mut side = Reassembler::default();
        let fragments = udp().id(7).payload_len(3_000).fragments(1_500);

        assert_eq!(side.add("eth0", &fragments[0]), None);
        assert_eq!(side.add("eth0", &fragments[2]), None);
        assert_eq!(side.add("eth1", &fragments[1]), None);

        assert_eq!(side.incomplete(), [7, 7]);
    }

    /// A frame within a tunnel's header of this identification.
    fn in_tunnel(frame: &[u8], id: u16) -> Vec<u8> {
        let (link, packet) = frame.split_at(HEADER_LEN);
        let outer = dataplane::testing::ip(protocol::IPIP)
            .id(id)
            .payload(packet);
        [link, &outer.build()[HEADER_LEN..]].concat()
    }

    #[test]
    fn a_tunnel_may_cut_its_packet_or_carry_a_fragment() {
        let packet = udp().id(7).payload_len(2_000);
        let whole = in_tunnel(&packet.build(), 9);
        let carried: Vec<_> = packet
            .fragments(1_400)
            .iter()
            .map(|part| in_tunnel(part, 9))
            .collect();
        let cut = dataplane::testing::ip(protocol::IPIP)
            .id(9)
            .payload(&packet.build()[HEADER_LEN..]);
        for frames in [carried, cut.fragments(1_500)] {
            let mut side = Reassembler::default();

            let out: Vec<_> = frames
                .iter()
                .filter_map(|frame| side.add("eth1", frame))
                .collect();

            assert_eq!(out, std::slice::from_ref(&whole));
        }
    }
}
