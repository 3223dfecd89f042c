//! A queue that takes turns between keys: round-robin.
//!
//! Items of one key come out in the order they went in; between keys, each gets one turn before any gets another. A key
//! that puts in a thousand items delays another key's single item by at most one turn of each key that waits.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

#[derive(Debug)]
pub struct FairQueue<K, T> {
    /// The keys that have items, in the order of their turns. Each key is here once.
    turns: VecDeque<K>,
    items: HashMap<K, VecDeque<T>>,
    len: usize,
}

impl<K: Eq + Hash + Clone, T> FairQueue<K, T> {
    pub fn push(&mut self, key: K, item: T) {
        self.len += 1;
        match self.items.get_mut(&key) {
            Some(items) => items.push_back(item),
            None => {
                self.items.insert(key.clone(), VecDeque::from([item]));
                self.turns.push_back(key);
            }
        }
    }

    /// The next item: the oldest of the key whose turn it is.
    pub fn pop(&mut self) -> Option<(K, T)> {
        let key = self.turns.pop_front()?;
        self.pop_turn(key)
    }

    /// The oldest item of a key, whoever's turn it is; the key's next turn comes last.
    pub fn pop_of(&mut self, key: &K) -> Option<(K, T)> {
        let place = self.turns.iter().position(|turn| turn == key)?;
        let key = self.turns.remove(place)?;
        self.pop_turn(key)
    }

    /// The oldest item of a key that was taken out of the turns.
    fn pop_turn(&mut self, key: K) -> Option<(K, T)> {
        let items = self.items.get_mut(&key)?;
        let item = items.pop_front()?;
        if items.is_empty() {
            self.items.remove(&key);
        } else {
            self.turns.push_back(key.clone());
        }
        self.len -= 1;
        Some((key, item))
    }

    /// Whose turn it is.
    pub fn next_key(&self) -> Option<&K> {
        self.turns.front()
    }

    /// Lets the next key's turn pass: it comes last now.
    pub fn pass(&mut self) {
        if let Some(key) = self.turns.pop_front() {
            self.turns.push_back(key);
        }
    }

    /// How many keys have items that wait.
    pub fn keys(&self) -> usize {
        self.turns.len()
    }

    /// How many items of `key` wait.
    pub fn waiting(&self, key: &K) -> usize {
        self.items.get(key).map_or(0, VecDeque::len)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), items: HashMap::new(), len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_take_turns() {
        let mut queue = FairQueue::default();
        for n in 0..3 {
            queue.push("big", n);
        }
        queue.push("small", 9);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [("big", 0), ("small", 9), ("big", 1), ("big", 2)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_key_may_be_asked_for_by_name() {
        let mut queue = FairQueue::default();
        for (key, item) in [("a", 1), ("b", 2), ("b", 3)] {
            queue.push(key, item);
        }
        assert_eq!(queue.pop_of(&"b"), Some(("b", 2)));
        assert_eq!(queue.pop_of(&"c"), None);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [("a", 1), ("b", 3)]);
    }

    proptest! {
        /// Whatever goes in and out: nothing is lost, a key's items keep their order, and between two items of one key
        /// every other key that waited all along has had its turn.
        #[test]
        fn nothing_is_lost_and_nobody_waits_twice(program in prop::collection::vec((0u8..5, prop::bool::ANY), 0..200)) {
            let mut queue = FairQueue::default();
            let mut put = [0u32; 5];
            let mut got = [0u32; 5];
            let mut last: Vec<u8> = Vec::new();
            for (key, push) in program {
                if push {
                    queue.push(key, put[usize::from(key)]);
                    put[usize::from(key)] += 1;
                } else if let Some((key, n)) = queue.pop() {
                    prop_assert_eq!(n, got[usize::from(key)]);
                    got[usize::from(key)] += 1;
                    last.push(key);
                }
                let waiting = put.iter().sum::<u32>() - got.iter().sum::<u32>();
                prop_assert_eq!(queue.len(), usize::try_from(waiting).unwrap());
            }
            let before: Vec<u8> = (0..5).filter(|k| queue.waiting(k) > 0).collect();
            let round: Vec<u8> = (0..before.len()).filter_map(|_| queue.pop()).map(|(k, _)| k).collect();
            let mut sorted = round.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, before, "one round serves each waiting key once: {:?}", round);
        }
    }
}
