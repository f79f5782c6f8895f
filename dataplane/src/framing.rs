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

/// Writes a new Ethernet header in front of the IPv4 packet that stands at `l3` in its frame,
/// whatever stood there before; false (and nothing sensible in front) when there is no headroom.
#[inline]
pub(crate) fn write_header<P: Packet>(
    packet: &mut P,
    l3: usize,
    destination: MacAddr,
    source: MacAddr,
    vlan: Option<VlanId>,
) -> bool {
    let len = if vlan.is_some() {
        ETHERNET + TAG
    } else {
        ETHERNET
    };
    let fits = match l3.checked_sub(len) {
        Some(0) => true,
        Some(spare) => packet.pull_front(spare),
        None => packet.push_front(len - l3).is_some(),
    };
    if !fits {
        return false;
    }
    let mut header = [0; ETHERNET + TAG];
    header[..6].copy_from_slice(&destination.0);
    header[6..MACS].copy_from_slice(&source.0);
    if let Some(VlanId(id)) = vlan {
        header[MACS..14].copy_from_slice(&TPID);
        header[14..16].copy_from_slice(&id.to_be_bytes());
    }
    header[len - 2..len].copy_from_slice(&IPV4);
    match packet.bytes_mut().get_mut(..len) {
        Some(front) => front.copy_from_slice(&header[..len]),
        None => return false,
    }
    true
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

            assert!(write_header(&mut packet, front, to, from, None));

            assert_eq!(packet.bytes(), bare, "{front} bytes in front");
        }
    }

    #[test]
    fn a_tagged_header_has_the_tag_behind_the_addresses() {
        let mut packet = MemoryPacket::new(&[0x45]);

        assert!(write_header(
            &mut packet,
            0,
            MacAddr([2; 6]),
            MacAddr([4; 6]),
            Some(VlanId(7))
        ));

        assert_eq!(packet.bytes()[12..], [0x81, 0, 0, 7, 8, 0, 0x45]);
    }
}
