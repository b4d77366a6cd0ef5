//! What the pieces under way may hold in memory: a little for each upload, and one budget for the whole process.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a buffer may hold without asking. An upload has at most two buffers, one that fills and one that is being stored
/// with its sealed copy, and the chunks between request and writer: 256 KiB together.
pub(super) const OWN_BYTES: usize = 64 << 10;

/// The process's budget. Each byte of a buffer counts twice: as it came, and sealed.
#[derive(Clone)]
pub(super) struct Budget {
    shared: Arc<Semaphore>,
}

/// Bytes of one piece as they arrive.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    granted: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self {
            shared: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub fn buffer(&self) -> Buffer {
        Buffer {
            bytes: Vec::new(),
            granted: None,
            budget: self.clone(),
        }
    }
}

impl Buffer {
    /// Takes as many bytes off the front of `more` as there may be in one piece of `limit` bytes; how many. Fewer than that
    /// when the process's budget is used up: then the piece has to end here.
    pub fn take(&mut self, more: &[u8], limit: usize) -> usize {
        let wanted = more.len().min(limit.saturating_sub(self.bytes.len()));
        let room = self.make_room(self.bytes.len() + wanted, limit);
        let taken = wanted.min(room);
        self.bytes.extend_from_slice(&more[..taken]);
        taken
    }

    /// Grows to hold `total` bytes if the budget allows it; how many more there is room for now.
    fn make_room(&mut self, total: usize, limit: usize) -> usize {
        let mut capacity = self.bytes.capacity().max(OWN_BYTES.min(limit));
        while capacity < total {
            let next = (capacity * 2).min(limit);
            let more = u32::try_from(2 * (next - capacity)).unwrap_or(u32::MAX);
            let Ok(permit) = Arc::clone(&self.budget.shared).try_acquire_many_owned(more) else {
                break;
            };
            match &mut self.granted {
                Some(granted) => granted.merge(permit),
                none => *none = Some(permit),
            }
            capacity = next;
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        capacity - self.bytes.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 4 << 20;

    #[test]
    fn a_buffer_fills_to_the_limit_and_no_further() {
        let budget = Budget::new(64 << 20);
        let mut buffer = budget.buffer();
        let chunk = vec![7; 3 << 20];
        assert_eq!(buffer.take(&chunk, PIECE), 3 << 20);
        assert_eq!(buffer.take(&chunk, PIECE), 1 << 20);
        assert_eq!(buffer.take(&chunk, PIECE), 0);
        assert_eq!((buffer.len(), buffer.bytes.capacity()), (PIECE, PIECE));
    }

    #[test]
    fn without_a_budget_an_upload_still_has_its_own() {
        let budget = Budget::new(0);
        let mut buffer = budget.buffer();
        assert_eq!(buffer.take(&vec![7; PIECE], PIECE), OWN_BYTES);
        assert_eq!(buffer.take(&[7], PIECE), 0);
    }

    #[test]
    fn what_a_buffer_held_comes_back_to_the_budget() {
        let budget = Budget::new(16 << 20);
        let (mut first, mut second) = (budget.buffer(), budget.buffer());
        let chunk = vec![7; PIECE];
        assert_eq!(first.take(&chunk, PIECE), PIECE);
        assert_eq!(second.take(&chunk, PIECE), PIECE);
        let mut third = budget.buffer();
        assert!(
            third.take(&chunk, PIECE) < PIECE,
            "two pieces and their sealed copies fill 16 MiB"
        );
        drop((first, third));
        assert_eq!(budget.buffer().take(&chunk, PIECE), PIECE);
        drop(second);
        assert_eq!(budget.shared.available_permits(), 16 << 20);
    }

    #[test]
    fn small_pieces_need_no_budget() {
        let budget = Budget::new(0);
        let mut buffer = budget.buffer();
        assert_eq!(buffer.take(&[7; 1000], 1000), 1000);
        assert_eq!(buffer.bytes(), [7; 1000]);
    }
}
