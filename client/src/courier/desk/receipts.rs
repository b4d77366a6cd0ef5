//! What becomes of clips that were sent: receipts, what a verified one allows, and what the vault refused.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Desk, UNWELCOME, Whence, reason};
use crate::ask::Setback;
use crate::connection::now_ms;
use crate::courier::{News, Tell};
use crate::journal::{Entry, State};
use crate::memory::Memory;
use crate::receipt::Delivered;
use crate::{Client, ClientError, Uploaded};

/// Between two questions for a receipt: sealing takes a moment, a busy vault longer.
const RECEIPT_FIRST: Duration = Duration::from_millis(250);
const RECEIPT_LONGEST: Duration = Duration::from_secs(60);
/// A clip that could not be removed from its folder is tried again, but not at each look.
const REMOVAL: Duration = Duration::from_secs(60);

impl Desk {
    /// Asks for the receipts of what was sent.
    pub(super) async fn collect_receipts(&mut self, client: &Client, tell: &Tell<'_>) -> Result<(), ClientError> {
        let now = Instant::now();
        let is_due = |entry: &&Entry| {
            matches!(entry.state, State::Sent { .. }) && self.polls.get(&entry.path).is_none_or(|(due, _)| *due <= now)
        };
        let due: Vec<Entry> = self.journal.entries().filter(is_due).cloned().collect();
        for mut entry in due {
            let (State::Sent { url }, Some(digest)) = (&entry.state, entry.digest()) else {
                continue;
            };
            let Some(url) = client.connection().resolve(url) else {
                // Another vault than the one it was sent to.
                entry.state = State::Waiting;
                self.journal.put(entry)?;
                continue;
            };
            let delivered = Delivered {
                url: &url,
                bytes: entry.stamp.bytes,
                digest: &digest,
            };
            match delivered.receipt(client).await {
                Ok(Some(receipt)) => {
                    let clip_id = delivered.clip_id().to_owned();
                    self.deliver(entry, clip_id, receipt, client, tell)?;
                }
                Ok(None) => {
                    // The vault is there and at it: only silence counts towards giving up.
                    self.gained_at = Instant::now();
                    self.poll_later(&entry.path, Duration::ZERO);
                }
                Err(Setback::Later(after, error)) => {
                    self.poll_later(&entry.path, after);
                    if self.gives_up(after) {
                        return Err(error);
                    }
                    if matches!(error, ClientError::Unreachable(_)) {
                        break;
                    }
                }
                Err(Setback::Final(error @ ClientError::Unwelcome { .. })) => {
                    if matches!(self.clips, Whence::Files(_)) {
                        return Err(error);
                    }
                    self.poll_later(&entry.path, UNWELCOME);
                }
                Err(Setback::Unaffordable) => {}
                // The vault has no such clip, arrived at other bytes, or signs for something else: nobody erases it here.
                Err(Setback::Lost(error) | Setback::Final(error)) => {
                    if !matches!(error, ClientError::Receipt { .. } | ClientError::Protocol { .. }) {
                        Memory::of(
                            client.device(),
                            entry.sha256.as_deref().unwrap_or_default(),
                            entry.stamp.bytes,
                        )
                        .forget();
                    }
                    self.refuse(&entry.path, &error, client, tell)?;
                }
            }
        }
        Ok(())
    }

    fn poll_later(&mut self, path: &Path, after: Duration) {
        let (due, pause) = self
            .polls
            .entry(path.to_owned())
            .or_insert((Instant::now(), RECEIPT_FIRST));
        *due = Instant::now() + (*pause).max(after);
        *pause = (*pause * 3 / 2).min(RECEIPT_LONGEST);
    }

    /// The receipt is on stable storage before anything else of the clip is given up.
    fn deliver(
        &mut self,
        mut entry: Entry,
        clip_id: String,
        receipt: String,
        client: &Client,
        tell: &Tell<'_>,
    ) -> Result<(), ClientError> {
        let sha256 = entry.sha256.clone().unwrap_or_default();
        entry.state = State::Delivered {
            clip_id: clip_id.clone(),
            receipt: receipt.clone(),
            at_ms: client.vault_ms().unwrap_or_else(now_ms),
        };
        self.journal.put(entry.clone())?;
        Memory::of(client.device(), &sha256, entry.stamp.bytes).forget();
        self.polls.remove(&entry.path);
        tell(News::Delivered(Uploaded {
            file: entry.path.clone(),
            clip_id,
            bytes: entry.stamp.bytes,
            sha256,
            receipt: Some(receipt),
        }));
        if self.options.delete {
            self.delete(&entry, tell)?;
        }
        Ok(())
    }

    /// A card that is locked.
    pub(in crate::courier) fn rest_after_removal(&mut self, path: &Path) -> Duration {
        let rest = self.rests.entry(path.to_owned()).or_default();
        let pause = rest.pauses.next(REMOVAL);
        rest.until = Some(Instant::now() + pause);
        pause
    }

    /// A clip that the vault does not take, or that is none.
    pub(super) fn refuse(
        &mut self,
        path: &Path,
        error: &ClientError,
        client: &Client,
        tell: &Tell<'_>,
    ) -> Result<(), ClientError> {
        let reason = reason(error);
        if let Some(mut entry) = self.journal.get(path).cloned() {
            entry.state = State::Refused {
                reason: reason.clone(),
                at_ms: client.vault_ms().unwrap_or_else(now_ms),
            };
            // What was read from the card may have been wrong: it is read again.
            entry.sha256 = None;
            self.journal.put(entry)?;
        }
        if let Whence::Files(files) = &mut self.clips {
            files.leave(path);
        }
        tell(News::Refused {
            file: path.to_owned(),
            reason,
        });
        Ok(())
    }
}
