//! Who may bring bytes at the same time: so many in all, and a few of each sender.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::Principal;

/// Who sends: a vehicle's id, or an owner's for the apps.
pub(super) type Sender = [u8; 16];

/// The turns of this process.
pub(super) struct Turns {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only senders that hold one.
    each: HashMap<Sender, usize>,
}

/// A turn; given back when dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    sender: Sender,
}

/// Whose turns these are.
pub(super) fn sender(who: &Principal) -> Sender {
    match who {
        Principal::Owner(session) => *session.owner().as_bytes(),
        Principal::Device(session) => *session.device().as_bytes(),
        // It may send nothing, and was turned away before.
        Principal::Link(_) => [0; 16],
    }
}

impl Turns {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Mutex::default(),
        }
    }

    /// A turn, none when all are taken or the sender has as many as it may.
    pub fn take(&self, sender: Sender, most: usize) -> Option<Turn<'_>> {
        let mut taken = self.lock();
        let own = taken.each.get(&sender).copied().unwrap_or_default();
        if taken.all >= self.most || own >= most {
            return None;
        }
        taken.all += 1;
        taken.each.insert(sender, own + 1);
        Some(Turn { turns: self, sender })
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.most.saturating_sub(self.lock().all)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Whole after every statement.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.lock();
        taken.all -= 1;
        let own = taken.each.get(&self.sender).copied().unwrap_or_default();
        match own {
            0 | 1 => taken.each.remove(&self.sender),
            more => taken.each.insert(self.sender, more - 1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_has_a_few_turns_and_takes_none_of_the_others() {
        let turns = Turns::new(5);
        let held: Vec<_> = (0..2).map(|_| turns.take([1; 16], 2).expect("a turn")).collect();
        assert!(turns.take([1; 16], 2).is_none());
        let other = turns.take([2; 16], 2).expect("another's turn");
        assert_eq!(turns.left(), 2);
        drop(held);
        assert!(turns.take([1; 16], 2).is_some());
        drop(other);
        assert_eq!(turns.left(), 5);
        assert!(turns.lock().each.is_empty(), "who holds none is forgotten");
    }

    #[test]
    fn all_together_have_a_limit() {
        let turns = Turns::new(2);
        let held: Vec<_> = (0..2).map(|n| turns.take([n; 16], 2).expect("a turn")).collect();
        assert!(turns.take([9; 16], 2).is_none());
        drop(held);
        assert!(turns.take([9; 16], 2).is_some());
    }
}
