//! Changes to an owner's vehicles and quotas, one after the other.
//!
//! All of them are written down in one record, the owner's wrapped key: whoever changes one while another is changed begins
//! anew. A fleet that pairs on one morning would meet itself so often that the last are refused. So changes of one owner stand
//! in line in this process, and only another node's are met.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::{Access, AccessError};
use crate::model::OwnerId;
use crate::vault::VaultError;

/// Lines: owners share them by their ids, which are random, so that they cost the same memory however many there are.
const LINES: usize = 64;
/// The longest that one stands in line; a change takes some ten milliseconds.
const LONGEST: Duration = Duration::from_secs(20);
/// How often a change is begun while another node's come first. Of two nodes that go on changing one owner's vehicles, each
/// is first half of the time.
const TURNS: usize = 16;

/// The lines of one process.
pub(super) struct Line {
    lines: [Mutex<()>; LINES],
}

impl Default for Line {
    fn default() -> Self {
        Self {
            lines: std::array::from_fn(|_| Mutex::new(())),
        }
    }
}

impl Line {
    /// Waits for one's turn, held until the change is made.
    async fn stand(&self, owner: OwnerId) -> Result<MutexGuard<'_, ()>, AccessError> {
        let line = &self.lines[usize::from(owner.as_bytes()[0]) % LINES];
        let turn = timeout(LONGEST, line.lock()).await;
        turn.map_err(|_| AccessError::Vault(VaultError::Superseded))
    }
}

impl Access {
    /// Makes a change to an owner's vehicles or quotas when those before it are made, and again as long as another node's came first.
    pub(super) async fn in_line<T, F>(&self, owner: OwnerId, change: impl Fn() -> F) -> Result<T, AccessError>
    where
        F: Future<Output = Result<T, AccessError>>,
    {
        let _turn = self.inner.line.stand(owner).await?;
        for _ in 1..TURNS {
            match change().await {
                Err(AccessError::Vault(VaultError::Superseded)) => {}
                done => return done,
            }
        }
        change().await
    }
}
