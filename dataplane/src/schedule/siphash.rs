//! SipHash-1-3 of one 32-bit word, as the kernel's `hsiphash_1u32` on 64-bit machines.
//!
//! J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), with one round for
//! the word and three at the end. Maglev tables must be equal to the kernel's, so that gateways
//! of either kind send a client to the same server.

/// The low half of SipHash-1-3 of `word` in little-endian order; both halves of the key are
/// `key`.
#[inline]
pub(super) fn hash_word(word: u32, key: u64) -> u32 {
    let mut state = [
        0x736f_6d65_7073_6575 ^ key,
        0x646f_7261_6e64_6f6d ^ key,
        0x6c79_6765_6e65_7261 ^ key,
        0x7465_6462_7974_6573 ^ key,
    ];
    // The only block holds the four bytes and, on top, their number.
    let block = 4 << 56 | u64::from(word);
    state[3] ^= block;
    round(&mut state);
    state[0] ^= block;

    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    let hash = state[0] ^ state[1] ^ state[2] ^ state[3];
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is asked for"
    )]
    return hash as u32;
}

#[inline]
const fn round(state: &mut [u64; 4]) {
    let [a, b, c, d] = state;
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);

    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}
