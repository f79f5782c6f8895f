//! A map whose copies share what did not change.
//!
//! As [`Paged`](crate::paged::Paged) is for arrays: copying costs one reference count, changing an
//! entry of a shared copy costs one shard of many, so that one server more among 100,000 is a
//! small change.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::hasher::FastMap;

/// Shards of a map that is not empty: so many entries more cost one entry more to change.
const SHARDS: usize = 256;

/// A map in shared shards.
#[derive(Debug)]
pub struct Sharded<K, V> {
    /// None, or [`SHARDS`].
    shards: Arc<Vec<Arc<FastMap<K, V>>>>,
}

impl<K, V> Clone for Sharded<K, V> {
    fn clone(&self) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
        }
    }
}

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        Self {
            shards: Arc::default(),
        }
    }
}

impl<K: Eq + Hash, V> Sharded<K, V> {
    /// What `key` stands for.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.shards.get(shard_of(key))?.get(key)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Sharded<K, V> {
    /// The part of the map that has `key` or would have it, to change the entry of `key`.
    pub(crate) fn part_of(&mut self, key: &K) -> &mut FastMap<K, V> {
        let shards = Arc::make_mut(&mut self.shards);
        if shards.is_empty() {
            shards.resize_with(SHARDS, Arc::default);
        }
        Arc::make_mut(&mut shards[shard_of(key)])
    }
}

fn shard_of<K: Hash>(key: &K) -> usize {
    // Bits that the maps themselves look at last: they take the lowest and the highest.
    let hash = FastMap::<K, ()>::default().hasher().hash_one(key);
    usize::from(hash.to_le_bytes()[5])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_copies_keep_what_they_had(
            changes in proptest::collection::vec((0..600_u32, any::<Option<u8>>()), 0..400),
        ) {
            let mut map = Sharded::default();
            let mut model = HashMap::new();
            let mut copies = vec![(map.clone(), model.clone())];

            for (at, (key, value)) in changes.into_iter().enumerate() {
                match value {
                    Some(value) => {
                        map.part_of(&key).insert(key, value);
                        model.insert(key, value);
                    }
                    None => {
                        map.part_of(&key).remove(&key);
                        model.remove(&key);
                    }
                }
                if at % 50 == 0 {
                    copies.push((map.clone(), model.clone()));
                }
            }

            copies.push((map, model));
            for (map, model) in copies {
                prop_assert_eq!(map.is_empty(), model.is_empty());
                prop_assert!((0..600).all(|key| map.get(&key) == model.get(&key)));
                let all: HashMap<_, _> = map.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(all, model);
            }
        }
    }

    #[test]
    fn keys_spread_over_the_shards() {
        let mut map = Sharded::default();
        for key in 0..25_600_u32 {
            map.part_of(&key).insert(key, ());
        }

        let most = map.shards.iter().map(|shard| shard.len()).max();

        assert!(most < Some(200), "{most:?}");
    }
}
