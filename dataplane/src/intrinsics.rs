//! CPU hints that have no safe spelling.
//!
//! A prefetch changes nothing that a program can observe but its speed; on CPUs other than
//! x86-64 these functions do nothing.
#![allow(unsafe_code)]

/// Hints the CPU to fetch the cache line in which `value` begins, to be read or written soon.
#[inline]
pub fn prefetch_read<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, and every x86-64 CPU has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Hints the CPU to fetch the cache line in which `value` begins and to take it away from all other
/// cores, to be written soon.
#[inline]
pub(crate) fn prefetch_write<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it changes nothing but caches, and x86-64 CPUs without it pass over it.
    unsafe {
        // `_mm_prefetch` only asks for a line to read where the compiler is not told of this one.
        std::arch::asm!(
            "prefetchw [{}]",
            in(reg) std::ptr::from_ref(value).cast::<u8>(),
            options(readonly, nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Hints the CPU to fetch the element of `slice` at `index`; nothing happens beyond its end.
#[inline]
pub(crate) fn prefetch_index<T>(slice: &[T], index: usize) {
    if let Some(value) = slice.get(index) {
        prefetch_read(value);
    }
}

/// A bit for each of ten tags that equals `tag`: bit 0 for the first. `line` begins with the tags;
/// what follows them is not looked at.
#[inline]
pub(crate) fn equal_tags(line: &[u16; 12], tag: u16) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe {
        equal_tags_sse2(line, tag)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let tags = line[..10].iter().enumerate();
        tags.fold(0, |bits, (place, &other)| {
            bits | u32::from(other == tag) << place
        })
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn equal_tags_sse2(line: &[u16; 12], tag: u16) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
    };
    let (first, last) = (line.as_ptr(), line[4..].as_ptr());
    // SAFETY: 16 bytes at the front of the 24 of `line`.
    let first = unsafe { _mm_loadu_si128(first.cast()) };
    // SAFETY: the last 16 bytes of `line`.
    let last = unsafe { _mm_loadu_si128(last.cast()) };
    let wanted = _mm_set1_epi16(tag.cast_signed());
    let first = _mm_cmpeq_epi16(first, wanted);
    let last = _mm_cmpeq_epi16(last, wanted);
    let bits = _mm_movemask_epi8(_mm_packs_epi16(first, last)).cast_unsigned();
    // The low eight bits are tags 0–7, the high ones 4–11.
    (bits & 0xff) | ((bits >> 4) & 0x300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tags_are_found_in_all_ten_places_and_in_no_other() {
        for place in 0..12 {
            let mut line = [7_u16, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9];
            line[place] = 0xbeef;

            let expected = if place < 10 { 1 << place } else { 0 };
            assert_eq!(equal_tags(&line, 0xbeef), expected, "{place}");
        }
        assert_eq!(equal_tags(&[5; 12], 5), 0x3ff);
    }

    #[test]
    fn a_prefetch_beyond_the_end_is_harmless_and_changes_nothing() {
        let values = [1_u64, 2, 3];

        prefetch_read(&values);
        prefetch_write(&values);
        prefetch_index(&values, 2);
        prefetch_index(&values, 3);

        assert_eq!(values, [1, 2, 3]);
    }
}
