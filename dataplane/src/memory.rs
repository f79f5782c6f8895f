//! Memory that lives as long as the process, in huge pages where there are any.
//!
//! A [`HugeSlice`] is mapped once, is all zeros at first and never grows. A table of a million
//! sessions in 4 KiB pages needs an address translation for nearly every look-up; in 2 MiB pages
//! the translations fit the CPU. A child process has none of it: a fork would write-protect a table
//! that a worker is using, to copy each page that the worker then touches. This module never decides what lies in the memory: types say
//! that they are valid when zeroed through [`Zeroed`], most of them by [`plain_data!`].
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

use crate::address::{V4, V6};
use crate::id::{AdjacencySlot, ServerSlot, ServiceSlot};
use crate::persistence::TemplateLink;
use crate::service::Method;
use crate::session::{SessionFlags, State};
use crate::time::Tick;

/// The size of the huge pages asked for: 2 MiB, which every x86-64 and most others have.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// What an ordinary page is assumed to be; only for rounding up.
const PAGE_BYTES: usize = 4 << 10;

/// Plain data for which zero bytes are a valid value.
///
/// # Safety
///
/// Every bit pattern of zeros, as long as the type, must be a valid value of it.
pub unsafe trait Zeroed: Copy {}

macro_rules! zeroed {
    ($($type:ty),+ $(,)?) => {
        $(
            // SAFETY: an integer, a wrapper around one, or an enum with a variant 0.
            unsafe impl Zeroed for $type {}
        )+
    };
}

zeroed!(u8, u16, u32, u64, u128);
zeroed!(V4, V6, Tick, ServiceSlot, ServerSlot, AdjacencySlot);
zeroed!(Method, State, SessionFlags, TemplateLink);

// SAFETY: an array of values that are valid when zeroed is valid when zeroed.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

const _: () = assert!(Method::Dr as u8 == 0 && State::None as u8 == 0);

/// Declares a struct that is [`Zeroed`] because the compiler checks that each of its fields is.
macro_rules! plain_data {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$param:ident: $bound:path>)? {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name $(<$param: $bound>)? {
            $($(#[$field_meta])* $field_vis $field: $type,)+
        }

        // SAFETY: the bounds ask of every field what the trait asks of the whole.
        #[allow(unsafe_code, trivial_bounds, private_bounds)]
        unsafe impl $(<$param: $bound>)? $crate::memory::Zeroed for $name $(<$param>)?
        where
            $($type: $crate::memory::Zeroed,)+
        {
        }
    };
}
pub(crate) use plain_data;

/// What a [`HugeSlice`] lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// 2 MiB pages of the machine's reserved pool.
    HugePages,
    /// Ordinary memory that the kernel may join to huge pages, and was asked to.
    TransparentHugePages,
    /// 4 KiB pages: slower for large tables.
    OrdinaryPages,
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::HugePages => "huge pages",
            Self::TransparentHugePages => "transparent huge pages",
            Self::OrdinaryPages => "ordinary pages",
        })
    }
}

/// The kernel had no memory for a table.
#[derive(Debug, thiserror::Error)]
#[error("cannot map {bytes} bytes of memory: {source}")]
pub struct MapError {
    /// What was asked for.
    pub bytes: usize,
    /// What the kernel said.
    pub source: io::Error,
}

/// A slice of fixed length in memory of its own, all zeros at first.
pub struct HugeSlice<T> {
    start: NonNull<T>,
    len: usize,
    mapped_bytes: usize,
    backing: Backing,
}

// SAFETY: the slice owns its memory as a `Box<[T]>` does.
unsafe impl<T: Send> Send for HugeSlice<T> {}

// SAFETY: a shared slice gives out shared references only, as a `Box<[T]>` does.
unsafe impl<T: Sync> Sync for HugeSlice<T> {}

impl<T: Zeroed> HugeSlice<T> {
    /// Maps `len` zeroed values. The kernel places the memory near the CPU that touches it
    /// first, so a worker's tables are best made on its own core.
    ///
    /// # Errors
    ///
    /// [`MapError`] when the kernel has not that much memory.
    pub fn new(len: usize) -> Result<Self, MapError> {
        let too_large = || MapError {
            bytes: usize::MAX,
            source: io::Error::from(io::ErrorKind::OutOfMemory),
        };
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        let huge_bytes = bytes
            .max(1)
            .checked_next_multiple_of(HUGE_PAGE_BYTES)
            .ok_or_else(too_large)?;

        // Below one huge page there is nothing to win.
        let is_large = bytes >= HUGE_PAGE_BYTES;
        if is_large && let Ok(start) = map(huge_bytes, libc::MAP_HUGETLB | libc::MAP_HUGE_2MB) {
            return Ok(Self::over(start, len, huge_bytes, Backing::HugePages));
        }
        let page_bytes = bytes.max(1).next_multiple_of(PAGE_BYTES);
        let start = map(page_bytes, 0).map_err(|source| MapError { bytes, source })?;
        let backing = if is_large && advise(start, page_bytes, libc::MADV_HUGEPAGE) {
            Backing::TransparentHugePages
        } else {
            Backing::OrdinaryPages
        };
        Ok(Self::over(start, len, page_bytes, backing))
    }

    /// Bytes that [`Self::new`] takes for `len` values where there are huge pages enough: whole
    /// ones, or less than one.
    #[must_use]
    pub const fn huge_bytes(len: usize) -> usize {
        let bytes = len.saturating_mul(size_of::<T>());
        if bytes < HUGE_PAGE_BYTES {
            bytes
        } else {
            bytes
                .div_ceil(HUGE_PAGE_BYTES)
                .saturating_mul(HUGE_PAGE_BYTES)
        }
    }

    const fn over(start: NonNull<u8>, len: usize, mapped_bytes: usize, backing: Backing) -> Self {
        const { assert!(align_of::<T>() <= PAGE_BYTES) };
        Self {
            start: start.cast(),
            len,
            mapped_bytes,
            backing,
        }
    }
}

impl<T> HugeSlice<T> {
    /// What the memory lies in.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }

    /// Bytes of address space taken, rounded up to whole pages.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.mapped_bytes
    }
}

impl<T> Deref for HugeSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `start` begins `len` values, mapped, aligned to a page, valid since zeroed.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for HugeSlice<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` is the only way to the memory.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for HugeSlice<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this slice's own and nothing borrows from it any more.
        // It fails only for a range that was never mapped, which would be a bug here.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped_bytes) };
        debug_assert_eq!(result, 0);
    }
}

impl<T> fmt::Debug for HugeSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HugeSlice")
            .field("len", &self.len)
            .field("memory_bytes", &self.mapped_bytes)
            .field("backing", &self.backing)
            .finish()
    }
}

/// Maps `bytes` (a multiple of the page size) of private zeroed memory.
fn map(bytes: usize, flags: libc::c_int) -> io::Result<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping touches no memory that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = NonNull::new(start.cast())
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    advise(start, bytes, libc::MADV_DONTFORK);
    Ok(start)
}

/// Asks the kernel to treat the pages so; false when it cannot.
fn advise(start: NonNull<u8>, bytes: usize, advice: libc::c_int) -> bool {
    // SAFETY: the range was just mapped, and the advice changes none of its contents here.
    unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    plain_data! {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        struct Pair {
            number: u32,
            address: V4,
        }
    }

    #[test]
    fn a_new_slice_is_zeroed_and_keeps_what_is_written() {
        let mut slice = HugeSlice::<Pair>::new(1000).unwrap();
        let zero = Pair {
            number: 0,
            address: V4(0),
        };
        assert_eq!(slice.len(), 1000);
        assert!(slice.iter().all(|pair| *pair == zero));

        slice[999].number = 7;

        assert_eq!(slice[999].number, 7);
        assert_eq!(slice.backing(), Backing::OrdinaryPages);
        assert_eq!(slice.memory_bytes(), 8192);
    }

    #[test]
    fn a_large_slice_is_usable_to_its_end_whatever_backs_it() {
        let mut slice = HugeSlice::<u64>::new((4 << 20) / 8 + 1).unwrap();

        let last = slice.len() - 1;
        slice[last] = u64::MAX;

        assert_eq!(slice.iter().sum::<u64>(), u64::MAX);
        assert!(slice.memory_bytes() > 4 << 20);
    }

    #[test]
    fn an_empty_slice_is_a_slice() {
        assert!(HugeSlice::<u64>::new(0).unwrap().is_empty());
    }

    #[test]
    fn more_memory_than_there_is_gives_an_error_that_says_how_much() {
        let impossible = 1 << 60;

        let error = HugeSlice::<u8>::new(impossible).unwrap_err();

        assert_eq!(error.bytes, impossible);
        assert!(error.to_string().contains("1152921504606846976 bytes"));
        assert!(HugeSlice::<u64>::new(usize::MAX).is_err());
    }

    /// Whether a child that this process forks has the page at `start` too.
    fn child_has(start: *const u8) -> bool {
        let start = start.cast_mut().cast();
        let mut resident = 0;
        // SAFETY: the child makes two system calls and nothing that another thread could hold.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: one page of a range, mapped or not, and a byte for the answer.
            let found = unsafe { libc::mincore(start, PAGE_BYTES, &raw mut resident) };
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(i32::from(found == 0)) };
        }
        let mut status = 0;
        // SAFETY: it waits for the child alone, and writes one number.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        libc::WEXITSTATUS(status) == 1
    }

    #[test]
    fn a_child_process_has_none_of_it() {
        let small = HugeSlice::<u64>::new(1000).unwrap();
        let large = HugeSlice::<u64>::new((4 << 20) / 8).unwrap();
        let ordinary = vec![1_u8; 1 << 20];
        let page = ordinary.as_ptr().wrapping_add(PAGE_BYTES);

        assert!(!child_has(small.as_ptr().cast()));
        assert!(!child_has(large.as_ptr().cast()));
        assert!(child_has(page.map_addr(|addr| addr & !(PAGE_BYTES - 1))));
    }
}
