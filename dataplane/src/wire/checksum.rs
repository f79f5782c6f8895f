//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! [`ones_complement_sum`] adds up bytes from scratch, [`Change`] carries an existing checksum over to changed
//! fields without looking at the rest. A `Change` keeps a wrong checksum wrong, so the gateway
//! never hides what was damaged on the way to it.

use crate::address::{V4, V6};

/// The ones' complement sum of `start` and of `bytes` as 16-bit words in network order, in 16
/// bits.
///
/// An odd last byte counts as if a zero byte followed it (RFC 1071 §4.1).
#[inline]
#[must_use]
pub fn ones_complement_sum(bytes: &[u8], start: u32) -> u32 {
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    // RFC 1071 §2 (B): the sum may be taken in the machine's byte order and swapped once at
    // the end. Four bytes at a time into 64 bits: 2^16 is 1 modulo 2^16 - 1, so the carries
    // come out right, and none is lost below 16 GiB.
    let native: u64 = words
        .map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
        .sum();
    let sum = u16::from_be_bytes(fold(native).to_ne_bytes());
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let last = u32::from_be_bytes(last);
    u32::from(fold(u64::from(start) + u64::from(sum) + u64::from(last)))
}

/// The checksum field for a sum: its ones' complement, folded to 16 bits.
#[inline]
#[must_use]
pub fn finish(sum: u32) -> u16 {
    finish_wide(u64::from(sum))
}

/// [`finish`] for a sum of words of 16 or 32 bits.
#[inline]
#[must_use]
pub const fn finish_wide(sum: u64) -> u16 {
    !fold(sum)
}

/// [`finish`] for UDP: a checksum of 0 means «none», so a computed 0 is sent as 0xffff
/// (RFC 768).
#[inline]
#[must_use]
pub fn finish_udp(sum: u32) -> u16 {
    never_zero(finish(sum))
}

/// The sum of the IPv4 pseudo header (RFC 768, RFC 9293 §3.1), to start from; `len` is the
/// transport header and its payload, in bytes.
#[inline]
#[must_use]
pub fn pseudo_v4(source: V4, destination: V4, protocol: u8, len: u16) -> u32 {
    let addresses = u64::from(source.0) + u64::from(destination.0);
    u32::from(fold(addresses + u64::from(protocol) + u64::from(len)))
}

/// The sum of the IPv6 pseudo header (RFC 8200 §8.1), to start from; `len` is the upper-layer
/// packet, in bytes.
#[inline]
#[must_use]
pub fn pseudo_v6(source: V6, destination: V6, next_header: u8, len: u32) -> u32 {
    let start = fold(u64::from(len) + u64::from(next_header));
    let start = ones_complement_sum(&source.octets(), u32::from(start));
    ones_complement_sum(&destination.octets(), start)
}

/// What happened to the bytes under a checksum, added up until it is applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change(u64);

impl Change {
    /// One word changed, for constants.
    #[must_use]
    pub const fn of_u16(old: u16, new: u16) -> Self {
        Self(!old as u64 + new as u64)
    }

    /// This change and another one.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// One word at a word boundary changed.
    #[inline]
    #[must_use]
    pub fn u16(self, old: u16, new: u16) -> Self {
        Self(self.0 + u64::from(!old) + u64::from(new))
    }

    /// Four words changed, which the machine reads as `old` and `new`. A `Change` in the machine's
    /// byte order is for checksums in the same order (RFC 1071 §2 (B)).
    #[inline]
    #[must_use]
    pub const fn native_u64(self, old: u64, new: u64) -> Self {
        // The carry out of 64 bits counts as much as the lowest bit, and so does bit 32.
        let (sum, carry) = (!old).overflowing_add(new);
        let sum = sum.wrapping_add(carry as u64);
        Self(self.0 + (sum >> 32) + (sum & 0xffff_ffff))
    }

    /// Two words at a word boundary changed.
    #[inline]
    #[must_use]
    pub fn u32(self, old: u32, new: u32) -> Self {
        Self(self.0 + u64::from(!old) + u64::from(new))
    }

    /// Bytes anywhere changed; `offset` is where they begin, counted from a word boundary.
    /// `old` and `new` are equally long.
    #[inline]
    #[must_use]
    pub fn bytes(self, offset: usize, old: &[u8], new: &[u8]) -> Self {
        let mut change = self;
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            // A byte at an even offset is the high half of its word.
            let shift = if (offset + index).is_multiple_of(2) {
                8
            } else {
                0
            };
            change = change.u16(u16::from(*old) << shift, u16::from(*new) << shift);
        }
        change
    }

    /// `checksum` after the change.
    #[inline]
    #[must_use]
    pub fn apply(self, checksum: u16) -> u16 {
        // RFC 1624 §3, eqn 3: HC' = ~(~HC + ~m + m').
        !fold(u64::from(!checksum) + self.0)
    }

    /// `checksum` after the change as UDP writes it, where 0xffff stands for a computed 0
    /// (RFC 768). The caller deals with a checksum of 0, which is none at all.
    #[inline]
    #[must_use]
    pub fn apply_udp(self, checksum: u16) -> u16 {
        let computed = if checksum == 0xffff { 0 } else { checksum };
        never_zero(self.apply(computed))
    }
}

/// Adds the carries back in until 16 bits are left.
#[inline]
const fn fold(sum: u64) -> u16 {
    // Added to itself with its halves exchanged, the upper half is the sum of both halves and of
    // the carry between them.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

#[inline]
const fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 §1 word by word, as slow as it is plain.
    fn plain_sum(bytes: &[u8]) -> u32 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        sum
    }

    fn sum(bytes: &[u8]) -> u32 {
        ones_complement_sum(bytes, 0)
    }

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        // RFC 1071 §3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

        assert_eq!(sum(&bytes), 0xddf2);
        assert_eq!(finish(0xddf2), 0x220d);
    }

    #[test]
    fn an_odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(ones_complement_sum(&[0x12], 0x0001), 0x1201);
    }

    #[test]
    fn the_example_of_rfc_1624_comes_out_as_zero() {
        // RFC 1624 §4: HC = 0xdd2f, m = 0x5555, m' = 0x3285.
        assert_eq!(Change::default().u16(0x5555, 0x3285).apply(0xdd2f), 0);
    }

    #[test]
    fn the_largest_sums_fold() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x1_ffff_ffff), 1);
        assert_eq!(fold(0xffff_ffff_0001_ffff), 1);
    }

    #[test]
    fn a_computed_zero_leaves_as_ffff_in_udp() {
        assert_eq!(finish(0xffff), 0);
        assert_eq!(finish_udp(0xffff), 0xffff);
        let there = Change::default().u16(0x5555, 0x3285);
        let back = Change::default().u16(0x3285, 0x5555);

        assert_eq!(there.apply_udp(0xdd2f), 0xffff);
        assert_eq!(back.apply_udp(0xffff), 0xdd2f);
    }

    #[test]
    fn pseudo_headers_are_the_bytes_the_rfcs_draw() {
        let (source, destination) = (V4::from([10, 0, 0, 1]), V4::from([192, 0, 2, 9]));
        let drawn = [10, 0, 0, 1, 192, 0, 2, 9, 0, 17, 0x01, 0x02];
        let (source6, destination6) = (V6(0x2001_0db8 << 96 | 1), V6(0xfe80 << 112 | 2));
        let drawn6 = [
            &source6.octets()[..],
            &destination6.octets()[..],
            &[0, 1, 2, 3, 0, 0, 0, 58][..],
        ]
        .concat();

        let start = pseudo_v4(source, destination, 17, 0x0102);
        let start6 = pseudo_v6(source6, destination6, 58, 0x0001_0203);

        assert_eq!(start, plain_sum(&drawn));
        assert_eq!(start6, plain_sum(&drawn6));
    }

    proptest! {
        #[test]
        fn the_sum_is_the_plain_one(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(sum(&bytes), plain_sum(&bytes));
        }

        #[test]
        fn a_change_anywhere_gives_the_checksum_from_scratch(
            bytes in proptest::collection::vec(any::<u8>(), 8..60),
            new in proptest::collection::vec(any::<u8>(), 1..8),
            place in any::<proptest::sample::Index>(),
        ) {
            // Never all zeros: a pseudo header, with its protocol number, never is.
            let mut bytes = [&bytes[..], &[1]].concat();
            let place = place.index(bytes.len() - new.len());
            let before = finish(sum(&bytes));
            let old = bytes[place..place + new.len()].to_vec();

            bytes[place..place + new.len()].copy_from_slice(&new);

            prop_assume!(bytes.iter().any(|byte| *byte != 0));
            let change = Change::default().bytes(place, &old, &new);
            prop_assert_eq!(change.apply(before), finish(sum(&bytes)));
        }

        #[test]
        fn a_wrong_checksum_stays_as_wrong_as_it_was(
            checksum in 0_u16..0xffff, error in 1_u16..0xffff, old: u32, new: u32,
        ) {
            let add = |a: u16, b: u16| !finish(u32::from(a) + u32::from(b));
            let change = Change::default().u32(old, new);
            let wrong = !add(!checksum, error);

            let (right, wrong) = (change.apply(checksum), change.apply(wrong));

            prop_assert_eq!(!wrong, add(!right, error));
        }
    }
}
