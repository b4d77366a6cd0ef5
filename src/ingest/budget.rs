//! What the pieces under way may hold in memory: a little for each upload, and one budget for the whole process.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a piece may hold without asking. An upload has at most two pieces, one that fills and one that is being stored,
/// a segment of plaintext, and the chunks between request and writer: 256 KiB together.
pub(super) const OWN_BYTES: usize = 64 << 10;

/// The process's budget.
#[derive(Clone)]
pub(super) struct Budget {
    shared: Arc<Semaphore>,
}

/// What one piece may hold.
pub(super) struct Share {
    bytes: usize,
    granted: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self {
            shared: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub fn share(&self) -> Share {
        Share {
            bytes: OWN_BYTES,
            granted: None,
            budget: self.clone(),
        }
    }
}

impl Share {
    /// Asks for `wanted` bytes of the `most` that the piece will ever hold; how many it may hold now. Fewer than wanted
    /// when the process's budget is used up.
    pub fn reach(&mut self, wanted: usize, most: usize) -> usize {
        while self.bytes < wanted.min(most) {
            let next = (self.bytes * 2).min(most);
            let more = u32::try_from(next - self.bytes).unwrap_or(u32::MAX);
            let Ok(permit) = Arc::clone(&self.budget.shared).try_acquire_many_owned(more) else {
                break;
            };
            match &mut self.granted {
                Some(granted) => granted.merge(permit),
                none => *none = Some(permit),
            }
            self.bytes = next;
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4 << 20;

    #[test]
    fn a_share_grows_to_the_most_and_no_further() {
        let budget = Budget::new(64 << 20);
        let mut share = budget.share();
        assert_eq!(share.reach(3 << 20, MOST), MOST);
        assert_eq!(share.reach(9 << 20, MOST), MOST);
        assert_eq!(budget.shared.available_permits(), (60 << 20) + OWN_BYTES);
    }

    #[test]
    fn without_a_budget_a_piece_still_has_its_own() {
        let mut share = Budget::new(0).share();
        assert_eq!(share.reach(MOST, MOST), OWN_BYTES);
    }

    #[test]
    fn what_a_piece_held_comes_back_to_the_budget() {
        let budget = Budget::new(8 << 20);
        let (mut first, mut second, mut third) = (budget.share(), budget.share(), budget.share());
        assert_eq!(first.reach(MOST, MOST), MOST);
        assert_eq!(second.reach(MOST, MOST), MOST);
        assert!(third.reach(MOST, MOST) < MOST, "two pieces fill 8 MiB");
        drop((first, third));
        assert_eq!(budget.share().reach(MOST, MOST), MOST);
        drop(second);
        assert_eq!(budget.shared.available_permits(), 8 << 20);
    }

    #[test]
    fn small_pieces_need_no_budget() {
        let budget = Budget::new(0);
        assert!(budget.share().reach(1000, MOST) >= 1000);
    }
}
