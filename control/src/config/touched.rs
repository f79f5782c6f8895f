//! What edits touch in a list whose items have names and places.

use std::hash::Hash;

use dataplane::hasher::{FastMap, FastSet};
use indexmap::IndexMap;
use indexmap::map::Entry;

/// From so many edits on it pays to learn first where everything stands.
const MANY: usize = 16;

/// What becomes of something that edits touch.
#[derive(Clone, Debug)]
pub(super) struct Touched<T> {
    /// Where it stands now.
    pub(super) at: Option<usize>,
    /// Whether it leaves its place: it was removed, even if it was added again then.
    pub(super) leaves: bool,
    /// What it will be.
    pub(super) after: Option<T>,
}

/// What became of a service or pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate<K, T> {
    /// Its name.
    pub(crate) key: K,
    /// What it was.
    pub(crate) before: Option<T>,
    /// Whether it left its place; what it is now stands behind the others.
    pub(crate) left: bool,
}

/// Collects what edits touch.
pub(super) struct Touches<K, N, T> {
    /// What there is, in its order.
    names: N,
    /// Where it stands, once it pays to know.
    places: Option<FastMap<K, usize>>,
    /// In the order of the edits.
    pub(super) touched: IndexMap<K, Touched<T>>,
}

impl<'a, K, N, T> Touches<K, N, T>
where
    K: Clone + Eq + Hash + 'a,
    N: Iterator<Item = &'a K> + Clone,
{
    /// Nothing is touched yet of what has these names; there will be so many edits.
    pub(super) fn new(edits: usize, names: N) -> Self {
        let places = (edits >= MANY).then(|| names.clone().cloned().zip(0..).collect());
        Self {
            names,
            places,
            touched: IndexMap::new(),
        }
    }

    fn place(&self, key: &K) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self.names.clone().position(|name| name == key),
        }
    }

    /// Adds or replaces.
    pub(super) fn put(&mut self, key: K, value: T) {
        let known = self.touched.get_mut(&key);
        if let Some(touched) = known
            && touched.after.is_some()
        {
            touched.after = Some(value);
            return;
        }
        // What was removed before is added behind what was added meanwhile.
        let removed = self.touched.shift_remove(&key);
        let touched = Touched {
            at: self.place(&key),
            leaves: removed.is_some_and(|it| it.leaves),
            after: Some(value),
        };
        self.touched.insert(key, touched);
    }

    /// Removes, or gives the name back of what is not there.
    pub(super) fn remove(&mut self, key: K) -> Result<(), K> {
        let at = self.place(&key);
        match self.touched.entry(key) {
            Entry::Vacant(place) if at.is_none() => return Err(place.into_key()),
            Entry::Vacant(place) => {
                place.insert(Touched {
                    at,
                    leaves: true,
                    after: None,
                });
            }
            Entry::Occupied(place) if place.get().after.is_none() => {
                return Err(place.key().clone());
            }
            Entry::Occupied(mut place) => {
                place.get_mut().leaves = true;
                place.get_mut().after = None;
            }
        }
        Ok(())
    }
}

/// Makes a list what it will be.
pub(super) fn carry_out<K, T>(
    list: &mut Vec<T>,
    touched: IndexMap<K, Touched<T>>,
) -> Vec<Fate<K, T>> {
    let mut leaving: Vec<usize> = Vec::new();
    let mut fates = Vec::with_capacity(touched.len());
    let mut behind = Vec::new();
    for (key, touched) in touched {
        let mut fate = Fate {
            key,
            before: None,
            left: touched.leaves && touched.at.is_some(),
        };
        match (touched.at, touched.after) {
            (Some(at), Some(after)) if !touched.leaves => {
                fate.before = list
                    .get_mut(at)
                    .map(|place| std::mem::replace(place, after));
            }
            (at, after) => {
                leaving.extend(at);
                behind.extend(after);
            }
        }
        fates.push((fate, touched.at));
    }
    let mut gone = take_out(list, leaving);
    list.extend(behind);
    let with_before = fates.into_iter().map(|(mut fate, at)| {
        if let Some(at) = at.filter(|_| fate.left) {
            fate.before = gone.remove(&at);
        }
        fate
    });
    with_before.collect()
}

/// Takes the items at these places out of a list, each by its place.
fn take_out<T>(list: &mut Vec<T>, places: Vec<usize>) -> FastMap<usize, T> {
    let mut gone = FastMap::default();
    if let [place] = places.as_slice() {
        gone.insert(*place, list.remove(*place));
    } else if !places.is_empty() {
        let places: FastSet<usize> = places.into_iter().collect();
        let all = std::mem::take(list);
        for (place, item) in all.into_iter().enumerate() {
            if places.contains(&place) {
                gone.insert(place, item);
            } else {
                list.push(item);
            }
        }
    }
    gone
}
