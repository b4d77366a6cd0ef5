//! Trash, the way back, holds, and erasure.

use super::view::ClipView;
use super::{Library, LibraryError, TRASH_MS};
use crate::access::OwnerSession;
use crate::audit::NewEvent;
use crate::catalog::{ClipRow, NewJob, Tx};
use crate::model::{ClipId, ClipState, EventKind, JobId, JobKind};

impl Library {
    /// Puts a clip into the trash for seven days; its links are dead at once. A clip that lies there already stays as it
    /// is. None when it is not there or another's; [`LibraryError::Held`], and [`LibraryError::WrongState`] while its bytes
    /// still arrive (its upload can be ended).
    pub async fn trash(&self, session: &OwnerSession, clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        let now = self.inner.vault.clock().now_ms();
        let mut tx = self.inner.catalog.begin().await?;
        if tx.trash_clip(session.owner(), clip, now, now + TRASH_MS).await? {
            tx.revoke_links_of_clip(clip, now).await?;
            self.record(&mut tx, session, EventKind::ClipTrashed, clip).await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
            match self.owned(session, clip).await? {
                None => return Ok(None),
                Some(row) if row.held => return Err(LibraryError::Held { clip }),
                Some(row) if row.state == ClipState::Trashed => {}
                Some(row) => return Err(wrong_state(&row)),
            }
        }
        self.clip(session, clip).await
    }

    /// Takes a clip out of the trash; [`LibraryError::WrongState`] when it is not in it, or its time there is over.
    pub async fn restore(&self, session: &OwnerSession, clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        let mut tx = self.inner.catalog.begin().await?;
        // Once the transaction has begun: on SQLite that may take seconds, and the last of them may be the clip's own.
        let now = self.inner.vault.clock().now_ms();
        if tx.restore_clip(session.owner(), clip, now).await? {
            self.record(&mut tx, session, EventKind::ClipRestored, clip).await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
            match self.owned(session, clip).await? {
                None => return Ok(None),
                Some(row) => return Err(wrong_state(&row)),
            }
        }
        self.clip(session, clip).await
    }

    /// Destroys a clip's wrapped key now and queues the removal of its objects; the job's end is the event. A second time
    /// changes nothing.
    pub async fn erase_now(&self, session: &OwnerSession, clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        let now = self.inner.vault.clock().now_ms();
        let Some(row) = self.owned(session, clip).await? else {
            return Ok(None);
        };
        if row.held {
            return Err(LibraryError::Held { clip });
        }
        // The sweep takes the way back and leaves the key to the job; "now" does not wait for it.
        if row.state != ClipState::Erasing || row.envelope.is_some() {
            let buried = self.inner.vault.bury_clip(row.owner, clip).await?;
            let mut tx = self.inner.catalog.begin().await?;
            // Jobs before clips, as every job locks them.
            tx.queue_erasure(&NewJob {
                id: JobId::random(),
                tenant: row.tenant,
                kind: JobKind::EraseClip,
                owner: row.owner,
                clip: Some(clip),
                link: None,
                run_after: now,
            })
            .await?;
            // Uploads before clips before links, wherever two of them are locked.
            tx.erase_upload(clip, now).await?;
            if !tx.erase_clip_keys(clip, now).await? {
                tx.rollback().await?;
                if let Some(buried) = buried {
                    self.inner.vault.take_back(buried).await?;
                }
                return match self.owned(session, clip).await? {
                    Some(row) if row.held => Err(LibraryError::Held { clip }),
                    _ => Ok(None),
                };
            }
            tx.revoke_links_of_clip(clip, now).await?;
            if let Some(buried) = &buried {
                self.inner.vault.record_burial(&mut tx, buried).await?;
            }
            tx.commit().await?;
            self.inner.catalog.checkpoint().await?;
        }
        self.clip(session, clip).await
    }

    /// Holds a clip for the operator, as for a dispute, or lets it go: a held clip can be neither trashed nor erased. Its
    /// owner sees both. False when there is no such clip, or it has no keys yet or no more.
    pub async fn hold(&self, clip: ClipId, held: bool) -> Result<bool, LibraryError> {
        let Some(row) = self.inner.catalog.clip_any(clip).await? else {
            return Ok(false);
        };
        if row.held == held {
            return Ok(true);
        }
        if !self.inner.vault.hold_clip(clip, held).await? {
            return Ok(false);
        }
        let kind = if held {
            EventKind::ClipHeld
        } else {
            EventKind::ClipReleased
        };
        let mut tx = self.inner.catalog.begin().await?;
        self.inner
            .audit
            .record(&mut tx, NewEvent::of_clip(row.owner, kind, clip))
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn owned(&self, session: &OwnerSession, clip: ClipId) -> Result<Option<ClipRow>, LibraryError> {
        Ok(self.inner.catalog.clip(session.owner(), clip).await?)
    }

    async fn record(
        &self,
        tx: &mut Tx,
        session: &OwnerSession,
        kind: EventKind,
        clip: ClipId,
    ) -> Result<(), LibraryError> {
        let event = NewEvent::of_clip(session.owner(), kind, clip);
        Ok(self.inner.audit.record(tx, event).await?)
    }
}

fn wrong_state(row: &ClipRow) -> LibraryError {
    LibraryError::WrongState {
        clip: row.id,
        state: row.state,
    }
}
