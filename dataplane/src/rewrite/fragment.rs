//! Cuts a packet that is too long for the next link into fragments (RFC 791 §3.2).
//!
//! ```text
//! | header, options A B | 0 ............ n |                  a packet, or a fragment of one
//! | header, options A B | 0 .. k | MF        | header, option B | k .. n |     (B has the copy flag)
//! ```

use arrayvec::ArrayVec;

use super::not_ip;
use crate::drop_reason::DropReason;
use crate::io::{Packet, PacketPool};
use crate::wire::ipv4::{Ipv4, Ipv4Mut, MIN_HEADER_LEN};

/// The most fragments one packet becomes: enough to bring what Linux joins for AF_PACKET, 32,688
/// bytes at most, to a link of 1,500 bytes.
pub const MAX_FRAGMENTS: usize = 24;

/// The fragments of one packet, in order.
pub type Fragments<P> = ArrayVec<P, MAX_FRAGMENTS>;

/// Bytes of the longest header (RFC 791 §3.1).
const MAX_HEADER_LEN: usize = 60;

/// An option with this bit in its kind goes into every fragment (RFC 791 §3.1).
const COPY_FLAG: u8 = 0x80;

/// The header of the fragments behind the first.
type LaterHeader = ArrayVec<u8, MAX_HEADER_LEN>;

/// Copies the packet `ip` into fragments of at most `mtu` bytes. Each frame begins with `l3`
/// bytes of any content for the Ethernet header. All fragments are made, or none.
///
/// # Errors
///
/// [`DropReason::TooBig`] when the packet must not be fragmented;
/// [`DropReason::FragmentationFailed`] when it takes more than [`MAX_FRAGMENTS`], `mtu` has no
/// room for 8 bytes of payload, or the pool is empty; [`DropReason::TruncatedIp`] and
/// [`DropReason::BadIpHeader`] when `ip` is no whole IPv4 packet, or would end behind the
/// 65,535th byte of the packet it is a fragment of.
pub fn split<Pool: PacketPool>(
    pool: &mut Pool,
    ip: &[u8],
    l3: usize,
    mtu: usize,
) -> Result<Fragments<Pool::Packet>, DropReason> {
    let (header, payload) = Ipv4::parse(ip).map_err(not_ip)?;
    if header.dont_fragment() {
        return Err(DropReason::TooBig);
    }
    let (first_header, _) = ip
        .split_at_checked(header.header_len().into())
        .ok_or(DropReason::TruncatedIp)?;
    let later_header = later_header(&header, first_header);

    let mut fragments = Fragments::new();
    let mut place = 0;
    let mut rest = payload;
    loop {
        let is_first = fragments.is_empty();
        let head = if is_first {
            first_header
        } else {
            &later_header
        };
        let (part, after) = rest.split_at(part_len(rest.len(), head.len(), mtu)?);
        let part = Part {
            head,
            payload: part,
            offset: fragment_offset(&header, place)?,
            more: !after.is_empty() || header.more_fragments(),
        };
        let fragment = part.copy(pool, l3);
        fragments
            .try_push(fragment.ok_or(DropReason::FragmentationFailed)?)
            .map_err(|_| DropReason::FragmentationFailed)?;
        if after.is_empty() {
            return Ok(fragments);
        }
        place += part.payload.len();
        rest = after;
    }
}

/// Bytes of payload that the next fragment takes out of `rest_len`.
fn part_len(rest_len: usize, head_len: usize, mtu: usize) -> Result<usize, DropReason> {
    let room = mtu
        .checked_sub(head_len)
        .ok_or(DropReason::FragmentationFailed)?;
    if rest_len <= room {
        return Ok(rest_len);
    }
    // Offsets count in units of 8 bytes, so all fragments but the last are multiples of 8.
    match room & !7 {
        0 => Err(DropReason::FragmentationFailed),
        len => Ok(len),
    }
}

/// Where `place` in this packet's payload stands in the payload of the packet first sent.
fn fragment_offset(header: &Ipv4<'_>, place: usize) -> Result<u16, DropReason> {
    u16::try_from(usize::from(header.fragment_offset()) + place)
        .map_err(|_| DropReason::BadIpHeader)
}

/// One fragment before it has a buffer.
struct Part<'a> {
    head: &'a [u8],
    payload: &'a [u8],
    offset: u16,
    more: bool,
}

impl Part<'_> {
    /// The fragment in a buffer of its own, or `None` when there is no buffer for it.
    fn copy<Pool: PacketPool>(&self, pool: &mut Pool, l3: usize) -> Option<Pool::Packet> {
        let total_len = self.head.len() + self.payload.len();
        let mut packet = pool.allocate(l3 + total_len)?;
        let bytes = packet.bytes_mut().get_mut(l3..)?;
        let (head, payload) = bytes.split_at_mut_checked(self.head.len())?;
        head.copy_from_slice(self.head);
        payload
            .get_mut(..self.payload.len())?
            .copy_from_slice(self.payload);

        let (mut header, _) = Ipv4Mut::parse(head).ok()?;
        header.set_total_len(u16::try_from(total_len).ok()?);
        header.set_fragment_offset(self.offset);
        header.set_more_fragments(self.more);
        header.fill_checksum();
        Some(packet)
    }
}

/// The header for later fragments: without the options that only the first one carries. Its
/// options end where a malformed one begins.
fn later_header(header: &Ipv4<'_>, first_header: &[u8]) -> LaterHeader {
    let mut later: LaterHeader = first_header.iter().copied().take(MIN_HEADER_LEN).collect();
    let options = header.options().map_while(Result::ok);
    // What a header of 60 bytes held fits into one again, so nothing here overflows.
    for option in options.filter(|option| option.kind & COPY_FLAG != 0) {
        let len = u8::try_from(option.data.len() + 2).unwrap_or(u8::MAX);
        later.extend([option.kind, len]);
        later.extend(option.data.iter().copied());
    }
    while later.len() % 4 != 0 {
        // The end-of-options kind, 0, pads to whole words.
        later.push(0);
    }
    let words = later.len() / 4;
    // Version 4, and the length in words: 5 to 15.
    if let (Some(first), Ok(words)) = (later.first_mut(), u8::try_from(words)) {
        *first = 0x40 | words;
    }
    later
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;
    use crate::io::memory::MemoryPool;

    const L3: usize = 14;

    fn split_ip(ip: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, DropReason> {
        let fragments = split(&mut MemoryPool::default(), ip, L3, mtu)?;
        let ip_of = |fragment: &crate::io::memory::MemoryPacket| fragment.bytes()[L3..].to_vec();
        Ok(fragments.iter().map(ip_of).collect())
    }

    /// `packet` with these options (whole words) behind its header.
    fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
        let (header, rest) = packet.split_at(20);
        let mut packet = [header, options, rest].concat();
        packet[0] = u8::try_from(0x45 + options.len() / 4).unwrap();
        let len = u16::try_from(packet.len()).unwrap();
        with_ip(packet, |ip| ip.set_total_len(len))
    }

    /// What a receiver puts together: the payloads at their offsets.
    fn reassemble(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut whole = Vec::new();
        for fragment in fragments {
            let (header, payload) = Ipv4::parse(fragment).unwrap();
            let offset = usize::from(header.fragment_offset());
            let end = offset + payload.len();
            whole.resize(whole.len().max(end), 0);
            whole[offset..end].copy_from_slice(payload);
        }
        whole
    }

    #[test]
    fn a_packet_becomes_fragments_of_whole_eights() {
        let packet = udp(CLIENT, VIP, &[7; 100]);

        let fragments = split_ip(&packet, 68).unwrap();

        let piece = |range: std::ops::Range<usize>, more: bool| {
            let offset = u16::try_from(range.start).unwrap();
            let len = u16::try_from(20 + range.len()).unwrap();
            let bytes = [&packet[..20], &packet[20..][range]].concat();
            with_ip(bytes, |ip| {
                ip.set_total_len(len);
                ip.set_more_fragments(more);
                ip.set_fragment_offset(offset);
            })
        };
        assert_eq!(
            fragments,
            [
                piece(0..48, true),
                piece(48..96, true),
                piece(96..108, false)
            ]
        );
    }

    #[test]
    fn a_fragment_cut_again_keeps_its_place_and_what_follows() {
        let packet = later_fragment(first_fragment(udp(CLIENT, VIP, &[7; 56])));

        let fragments = split_ip(&packet, 60).unwrap();

        let places: Vec<_> = fragments
            .iter()
            .map(|fragment| Ipv4::parse(fragment).unwrap().0)
            .map(|header| (header.fragment_offset(), header.more_fragments()))
            .collect();
        assert_eq!(places, [(1480, true), (1520, true)]);
    }

    #[test]
    fn only_options_with_the_copy_flag_reach_later_fragments() {
        // Record route (7, not copied), stream identifier (136, copied), then padding.
        let options = [7, 3, 4, 1, 136, 4, 0xab, 0xcd, 0, 0, 0, 0];
        let packet = with_options(&udp(CLIENT, VIP, &[7; 100]), &options);

        let fragments = split_ip(&packet, 92).unwrap();

        assert_eq!(fragments.len(), 2);
        assert_eq!(fragments[0][..2], [0x48, 0]);
        assert_eq!(fragments[0][20..32], options);
        assert_eq!(fragments[1][..2], [0x46, 0]);
        assert_eq!(fragments[1][20..24], [136, 4, 0xab, 0xcd]);
        assert!(fragments.iter().all(|fragment| header_is_sound(fragment)));
        assert_eq!(reassemble(&fragments), packet[32..]);
    }

    #[test]
    fn copied_options_are_padded_to_whole_words() {
        let options = [136, 3, 9, 7, 3, 4, 0, 0];
        let packet = with_options(&udp(CLIENT, VIP, &[7; 100]), &options);

        let fragments = split_ip(&packet, 92).unwrap();

        assert_eq!(fragments[1][0], 0x46);
        assert_eq!(fragments[1][20..24], [136, 3, 9, 0]);
    }

    #[test]
    fn dont_fragment_is_obeyed() {
        let packet = with_ip(udp(CLIENT, VIP, &[7; 100]), |ip| ip.set_dont_fragment(true));

        assert_eq!(split_ip(&packet, 68).err(), Some(DropReason::TooBig));
    }

    #[test]
    fn more_fragments_than_the_bound_are_none() {
        let packet = udp(CLIENT, VIP, &[7; 48 * MAX_FRAGMENTS - 7]);
        let fitting = udp(CLIENT, VIP, &[7; 48 * MAX_FRAGMENTS - 8]);

        assert_eq!(
            split_ip(&packet, 68).err(),
            Some(DropReason::FragmentationFailed)
        );
        assert_eq!(
            split_ip(&fitting, 68).map(|all| all.len()),
            Ok(MAX_FRAGMENTS)
        );
    }

    #[test]
    fn an_empty_pool_is_a_named_drop() {
        let packet = udp(CLIENT, VIP, &[7; 100]);
        let mut pool = MemoryPool { left: 1 };

        let result = split(&mut pool, &packet, L3, 68);

        assert_eq!(result.err(), Some(DropReason::FragmentationFailed));
    }

    #[test]
    fn an_mtu_without_room_is_a_named_drop() {
        for mtu in [0, 20, 27] {
            let result = split_ip(&udp(CLIENT, VIP, b"hello"), mtu);

            assert_eq!(result.err(), Some(DropReason::FragmentationFailed), "{mtu}");
        }
    }

    #[test]
    fn a_fragment_beyond_the_longest_packet_is_no_packet() {
        let packet = with_ip(udp(CLIENT, VIP, &[7; 100]), |ip| {
            ip.set_fragment_offset(65_528);
        });

        assert_eq!(split_ip(&packet, 68).err(), Some(DropReason::BadIpHeader));
    }

    #[test]
    fn a_packet_that_fits_is_copied_as_it_is() {
        for packet in [
            udp(CLIENT, VIP, b"hello"),
            later_fragment(tcp(CLIENT, VIP, |tcp| tcp, b"")),
        ] {
            assert_eq!(split_ip(&packet, 1500), Ok(vec![packet]));
        }
    }

    proptest! {
        #[test]
        fn fragments_reassemble_to_the_packet(
            payload in proptest::collection::vec(any::<u8>(), 0..2000),
            options in proptest::collection::vec(any::<[u8; 4]>(), 0..=10),
            mtu in 340..1600_usize,
        ) {
            let packet = with_options(&udp(CLIENT, VIP, &payload), &options.concat());

            let fragments = split_ip(&packet, mtu).unwrap();

            for (number, fragment) in fragments.iter().enumerate() {
                prop_assert!(fragment.len() <= mtu);
                prop_assert!(header_is_sound(fragment));
                let (header, _) = Ipv4::parse(fragment).unwrap();
                prop_assert_eq!(header.more_fragments(), number + 1 < fragments.len());
                prop_assert_eq!(usize::from(header.total_len()), fragment.len());
            }
            prop_assert_eq!(reassemble(&fragments), &packet[20 + options.len() * 4..]);
        }

        #[test]
        fn any_bytes_are_survived(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), mtu in 0..100_usize,
        ) {
            let mut bytes = bytes;
            for first in [0x45, 0x4f] {
                let len = bytes.len();
                if let [version, _, length_high, length_low, _, _, flags, ..] = &mut bytes[..] {
                    *version = first;
                    [*length_high, *length_low] = u16::try_from(len).unwrap().to_be_bytes();
                    *flags &= 0xbf;
                }
                if let Ok(fragments) = split_ip(&bytes, mtu) {
                    prop_assert!(fragments.iter().all(|fragment| fragment.len() <= mtu));
                }
            }
        }
    }
}
