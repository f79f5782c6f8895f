//! CPU hints that have no safe spelling.
//!
//! A prefetch changes nothing that a program can observe but its speed; on CPUs other than
//! x86-64 these functions do nothing.
#![allow(unsafe_code)]

/// Hints the CPU to fetch the cache line in which `value` begins, to be read or written soon.
#[inline]
pub(crate) fn prefetch_read<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, and every x86-64 CPU has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefetch_beyond_the_end_is_harmless_and_changes_nothing() {
        let values = [1_u64, 2, 3];

        prefetch_read(&values);
        prefetch_index(&values, 2);
        prefetch_index(&values, 3);

        assert_eq!(values, [1, 2, 3]);
    }
}
