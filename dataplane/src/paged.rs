//! A growable array whose copies share what did not change.
//!
//! Copying costs one reference count, changing one entry of a shared copy costs one page, so a
//! snapshot with 100,000 servers is as cheap to derive as one with ten.

use std::sync::Arc;

/// Entries in one page.
const PAGE: usize = 256;

/// An array in shared pages.
#[derive(Debug)]
pub struct Paged<T> {
    pages: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T> Clone for Paged<T> {
    fn clone(&self) -> Self {
        Self {
            pages: Arc::clone(&self.pages),
            len: self.len,
        }
    }
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
            len: 0,
        }
    }
}

impl<T> Paged<T> {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry at `index`.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

impl<T: Clone> Paged<T> {
    /// The entry at `index`, to be changed in this copy only.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let page = Arc::make_mut(&mut self.pages).get_mut(index / PAGE)?;
        Arc::make_mut(page).get_mut(index % PAGE)
    }

    /// Appends an entry and returns its index.
    pub fn push(&mut self, value: T) -> usize {
        let pages = Arc::make_mut(&mut self.pages);
        if self.len.is_multiple_of(PAGE) {
            pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        if let Some(page) = pages.last_mut() {
            Arc::make_mut(page).push(value);
        }
        self.len += 1;
        self.len - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_by_index_and_in_order() {
        let mut array = Paged::default();
        for number in 0..1_000 {
            assert_eq!(array.push(number), number);
        }

        assert_eq!(array.get(999), Some(&999));
        assert_eq!(array.get(1_000), None);
        assert!(array.iter().copied().eq(0..1_000));
    }

    #[test]
    fn a_change_is_not_seen_in_the_copy_and_shares_the_other_pages() {
        let mut array = Paged::default();
        for number in 0..600 {
            array.push(number);
        }
        let before = array.clone();

        *array.get_mut(300).unwrap() = 7;

        assert_eq!(before.get(300), Some(&300));
        assert_eq!(array.get(300), Some(&7));
        assert!(Arc::ptr_eq(&before.pages[0], &array.pages[0]));
        assert!(!Arc::ptr_eq(&before.pages[1], &array.pages[1]));
    }
}
