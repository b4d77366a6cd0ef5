//! Where a clip's bytes come from and where the outputs' bytes go.

use async_trait::async_trait;
use bytes::Bytes;

/// A clip's bytes at any offset.
#[async_trait]
pub trait Source: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` bytes from `offset`, which lie inside the clip; fewer only when a short answer is cheaper, never none.
    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes>;
}

/// Takes the bytes of the outputs as they come, interleaved.
#[async_trait]
pub trait OutputSink: Send {
    /// The next bytes of the plan's output number `output`.
    async fn write(&mut self, output: usize, bytes: Bytes) -> std::io::Result<()>;
}
