//! Puts Ethernet headers and 802.1Q tags in front of packets, and takes tags away.

use crate::address::MacAddr;
use crate::id::VlanId;
use crate::io::Packet;

/// Bytes of an Ethernet header without a tag.
pub(crate) const ETHERNET: usize = 14;

/// Bytes of an 802.1Q tag.
const TAG: usize = 4;

/// Bytes of both MAC addresses, behind which a tag stands.
const MACS: usize = 12;

/// The tag protocol identifier of 802.1Q.
const TPID: [u8; 2] = [0x81, 0x00];

/// The ethertype of IPv4.
const IPV4: [u8; 2] = [0x08, 0x00];

/// The Ethernet header of IPv4 packets to one neighbour, ready to be written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameHeader {
    bytes: [u8; ETHERNET + TAG],
    is_tagged: bool,
}

impl FrameHeader {
    /// The header of frames to `destination`.
    pub(crate) fn new(destination: MacAddr, source: MacAddr, vlan: Option<VlanId>) -> Self {
        let mut bytes = [0; ETHERNET + TAG];
        bytes[..6].copy_from_slice(&destination.0);
        bytes[6..MACS].copy_from_slice(&source.0);
        let mut len = ETHERNET;
        if let Some(VlanId(id)) = vlan {
            bytes[MACS..14].copy_from_slice(&TPID);
            bytes[14..16].copy_from_slice(&id.to_be_bytes());
            len += TAG;
        }
        bytes[len - 2..len].copy_from_slice(&IPV4);
        Self {
            bytes,
            is_tagged: vlan.is_some(),
        }
    }

    /// Writes it in front of the IPv4 packet that stands at `l3` in its frame, whatever stood
    /// there before; false (and nothing sensible in front) when there is no headroom.
    #[inline(always)]
    pub(crate) fn write<P: Packet>(&self, packet: &mut P, l3: usize) -> bool {
        if self.is_tagged {
            self.write_as::<P, { ETHERNET + TAG }>(packet, l3)
        } else {
            self.write_as::<P, ETHERNET>(packet, l3)
        }
    }

    #[inline(always)]
    fn write_as<P: Packet, const LEN: usize>(&self, packet: &mut P, l3: usize) -> bool {
        let fits = match l3.checked_sub(LEN) {
            Some(0) => true,
            Some(spare) => packet.pull_front(spare),
            None => packet.push_front(LEN - l3).is_some(),
        };
        let front = packet.bytes_mut().first_chunk_mut::<LEN>();
        match (fits, front, self.bytes.first_chunk::<LEN>()) {
            (true, Some(front), Some(header)) => {
                *front = *header;
                true
            }
            _ => false,
        }
    }
}

/// Puts an 802.1Q tag into an untagged frame; false when it is no frame or has no headroom.
pub(crate) fn insert_tag<P: Packet>(packet: &mut P, VlanId(id): VlanId) -> bool {
    if packet.bytes().len() < ETHERNET {
        return false;
    }
    let Some(frame) = packet.push_front(TAG) else {
        return false;
    };
    frame.copy_within(TAG..TAG + MACS, 0);
    frame[MACS..MACS + 2].copy_from_slice(&TPID);
    frame[MACS + 2..MACS + 4].copy_from_slice(&id.to_be_bytes());
    true
}

/// Takes the 802.1Q tag out of a frame that was parsed as having one.
pub(crate) fn remove_tag<P: Packet>(packet: &mut P) {
    let frame = packet.bytes_mut();
    if frame.len() >= ETHERNET + TAG && frame[MACS..MACS + 2] == TPID {
        frame.copy_within(..MACS, TAG);
        packet.pull_front(TAG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::MemoryPacket;

    const FRAME: [u8; 16] = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 6, 0xaa, 0xbb];

    #[test]
    fn a_tag_comes_and_goes_and_the_frame_is_the_same() {
        let mut packet = MemoryPacket::new(&FRAME);

        assert!(insert_tag(&mut packet, VlanId(100)));
        assert_eq!(packet.bytes()[12..18], [0x81, 0, 0, 100, 8, 6]);
        remove_tag(&mut packet);

        assert_eq!(packet.bytes(), FRAME);
    }

    #[test]
    fn an_untagged_frame_has_no_tag_to_remove() {
        let mut packet = MemoryPacket::new(&FRAME);

        remove_tag(&mut packet);

        assert_eq!(packet.bytes(), FRAME);
    }

    #[test]
    fn a_header_replaces_whatever_stood_in_front_of_the_packet() {
        let [to, from] = [MacAddr([2; 6]), MacAddr([4; 6])];
        let bare = [2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0, 0x45];
        for front in [0, 14, 18] {
            let mut packet = MemoryPacket::new(&[&vec![9; front][..], &[0x45]].concat());

            assert!(FrameHeader::new(to, from, None).write(&mut packet, front));

            assert_eq!(packet.bytes(), bare, "{front} bytes in front");
        }
    }

    #[test]
    fn a_tagged_header_has_the_tag_behind_the_addresses() {
        let mut packet = MemoryPacket::new(&[0x45]);

        let header = FrameHeader::new(MacAddr([2; 6]), MacAddr([4; 6]), Some(VlanId(7)));
        assert!(header.write(&mut packet, 0));

        assert_eq!(packet.bytes()[12..], [0x81, 0, 0, 7, 8, 0, 0x45]);
    }
}
