//! What was used lately, up to a weight; the longest unused goes first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded cache. Values are shared, so that one that is pushed out lives on with whoever uses it.
pub(super) struct Recent<K, V> {
    inner: Mutex<Inner<K, V>>,
    most: usize,
}

struct Inner<K, V> {
    kept: HashMap<K, Kept<V>>,
    weight: usize,
    /// Counts uses.
    tick: u64,
}

struct Kept<V> {
    value: Arc<V>,
    weight: usize,
    used: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Keeps values of at most `most` together.
    pub fn new(most: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                kept: HashMap::new(),
                weight: 0,
                tick: 0,
            }),
            most,
        }
    }

    pub fn get(&self, key: K) -> Option<Arc<V>> {
        let mut inner = self.lock();
        inner.tick += 1;
        let tick = inner.tick;
        let kept = inner.kept.get_mut(&key)?;
        kept.used = tick;
        Some(Arc::clone(&kept.value))
    }

    /// Keeps a value, or tells its new weight. One heavier than half of the whole is not kept: it would push out the rest.
    pub fn put(&self, key: K, value: &Arc<V>, weight: usize) {
        let mut inner = self.lock();
        inner.remove(key);
        if weight > self.most / 2 {
            return;
        }
        while inner.weight + weight > self.most {
            let oldest = inner.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            inner.remove(oldest);
        }
        inner.tick += 1;
        let used = inner.tick;
        inner.weight += weight;
        let value = Arc::clone(value);
        inner.kept.insert(key, Kept { value, weight, used });
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        // Nothing in here can stop half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Inner<K, V> {
    fn remove(&mut self, key: K) {
        if let Some(kept) = self.kept.remove(&key) {
            self.weight -= kept.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let recent = Recent::new(10);
        for key in 0..3 {
            recent.put(key, &Arc::new(key), 3);
        }
        assert_eq!(recent.get(0).as_deref(), Some(&0));
        recent.put(3, &Arc::new(3), 3);
        let kept: Vec<_> = (0..4).filter(|key| recent.get(*key).is_some()).collect();
        assert_eq!(kept, [0, 2, 3]);
        recent.put(0, &Arc::new(10), 4);
        assert_eq!(recent.get(0).as_deref(), Some(&10));
        assert_eq!(recent.lock().weight, 10);
        recent.put(4, &Arc::new(4), 6);
        assert!(recent.get(4).is_none(), "heavier than half of the whole");
    }
}
