//! Who reads a clip, and who is refused: one event a viewing, written before a byte leaves.
//!
//! A viewing is many requests. Its first one writes an event; further ones move the event's last time, at most once a
//! minute; after half an hour without one it has ended, and the next is a viewing of its own. What was written within the
//! minute is remembered in this process, so that a player's range requests cost no row.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Audit, AuditError, EventKind, seal_text};
use crate::catalog::{NewEventRow, ViewingExtended};
use crate::model::{ClipId, CredentialId, EventId, LinkId, MediaKind, OwnerId, UnixMs};

/// How often a viewing's row is moved while it goes on.
const STEP_MS: i64 = 60_000;
/// A viewing that paused for longer has ended: a player that was left open and taken up again is seen anew.
const PAUSE_MS: i64 = 30 * 60_000;
/// Viewings remembered at once, about 100 bytes each. Past that a read costs a row write, and no event is lost.
const MAX_REMEMBERED: usize = 10_000;

/// One principal that reads one kind of media of one clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewing {
    /// The clip's owner, whose activity shows it.
    pub owner: OwnerId,
    /// The session or token that reads.
    pub credential: CredentialId,
    /// What is read.
    pub clip: ClipId,
    /// The link it is read through.
    pub link: Option<LinkId>,
    /// What is shown.
    pub media: MediaKind,
}

/// The holder of a link's secret who comes when the link is over. Coming again and again is one event, as a viewing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The link's owner, whose activity shows it.
    pub owner: OwnerId,
    /// What the link would have shown.
    pub clip: ClipId,
    /// The link.
    pub link: LinkId,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a link was refused to the holder of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// Its owner revoked it.
    Revoked,
    /// Its time is over, or its clip is not there to be shown.
    Ended,
    /// It was opened as often as it may be.
    UsedUp,
}

/// Who reads (or is refused) what: the session's, link's or owner's id, the clip's or whatever else keeps two lines apart, and
/// the kind of media (or the reason).
type Key = [u8; 33];

/// What this process wrote within the last minute.
#[derive(Default)]
pub(super) struct Written {
    at: Mutex<HashMap<Key, UnixMs>>,
}

impl Written {
    /// Whether the row was written less than a minute before `now`.
    fn is_fresh(&self, key: &Key, now: UnixMs) -> bool {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.get(key).is_some_and(|at| (0..STEP_MS).contains(&(now - at)))
    }

    fn remember(&self, key: Key, now: UnixMs) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.len() >= MAX_REMEMBERED {
            at.retain(|_, at| (0..STEP_MS).contains(&(now - *at)));
        }
        if at.len() < MAX_REMEMBERED {
            at.insert(key, now);
        }
    }
}

struct Line {
    key: Key,
    owner: OwnerId,
    kind: EventKind,
    clip: Option<ClipId>,
    link: Option<LinkId>,
    text: &'static str,
}

impl Audit {
    /// Records a read. Call it before a byte leaves, and let nothing leave when it fails.
    pub async fn viewing(&self, viewing: &Viewing) -> Result<(), AuditError> {
        let (kind, text) = match viewing.media {
            MediaKind::Video => (1, "The video"),
            MediaKind::Original => (2, "The original file"),
            MediaKind::Poster => (3, "A still picture"),
            MediaKind::Track => (4, "The track"),
        };
        self.extend(Line {
            key: key(viewing.credential.as_bytes(), viewing.clip.as_bytes(), kind),
            owner: viewing.owner,
            kind: match viewing.link {
                Some(_) => EventKind::LinkViewed,
                None => EventKind::ClipViewed,
            },
            clip: Some(viewing.clip),
            link: viewing.link,
            text,
        })
        .await
    }

    /// Records that the holder of a link came when it was over.
    pub async fn refusal(&self, refusal: &Refusal) -> Result<(), AuditError> {
        let (kind, text) = match refusal.reason {
            RefusalReason::Revoked => (0x81, "It was revoked"),
            RefusalReason::Ended => (0x82, "It had ended"),
            RefusalReason::UsedUp => (0x83, "It was used up"),
        };
        self.extend(Line {
            key: key(refusal.link.as_bytes(), refusal.clip.as_bytes(), kind),
            owner: refusal.owner,
            kind: EventKind::LinkRefused,
            clip: Some(refusal.clip),
            link: Some(refusal.link),
            text,
        })
        .await
    }

    /// Records that an owner's keys were used after their time, in the outage of the root key's provider that began at
    /// `since`; one event an outage. Call it before a byte leaves, and let nothing leave when it fails.
    pub async fn keys_kept(&self, owner: OwnerId, since: UnixMs) -> Result<(), AuditError> {
        let mut outage = [0; 16];
        outage[..8].copy_from_slice(&since.to_be_bytes());
        self.extend(Line {
            key: key(owner.as_bytes(), &outage, 0xc1),
            owner,
            kind: EventKind::KeysKept,
            clip: None,
            link: None,
            text: "The key service did not answer; your clips were shown with keys that were still in memory",
        })
        .await
    }

    /// Records that a session or token opened very many clips and has to wait; one event as long as it goes on.
    pub async fn reads_braked(&self, owner: OwnerId, credential: CredentialId) -> Result<(), AuditError> {
        self.extend(Line {
            key: key(credential.as_bytes(), owner.as_bytes(), 0xc2),
            owner,
            kind: EventKind::ReadsBraked,
            clip: None,
            link: None,
            text: "One sign-in or token opened very many clips within an hour; further ones have to wait",
        })
        .await
    }

    async fn extend(&self, line: Line) -> Result<(), AuditError> {
        let inner = &self.inner;
        let now = inner.vault.clock().now_ms();
        if inner.written.is_fresh(&line.key, now) {
            return Ok(());
        }
        let mut tx = inner.catalog.begin().await?;
        let extended = tx.extend_viewing(&line.key, now, now - PAUSE_MS, STEP_MS).await?;
        tx.commit().await?;
        if extended == ViewingExtended::Ended {
            let keys = inner.vault.owner_keys(line.owner).await?;
            let id = EventId::random();
            let mut tx = inner.catalog.begin().await?;
            tx.insert_event(&NewEventRow {
                id,
                tenant: inner.vault.tenant(),
                owner: line.owner,
                kind: line.kind,
                clip: line.clip,
                link: line.link,
                viewing: Some(line.key),
                sealed_text: Some(seal_text(&keys, id, line.text.to_owned())),
                at: now,
            })
            .await?;
            tx.commit().await?;
        }
        inner.written.remember(line.key, now);
        Ok(())
    }
}

fn key(who: &[u8; 16], what: &[u8; 16], kind: u8) -> Key {
    let mut key = [0; 33];
    key[..16].copy_from_slice(who);
    key[16..32].copy_from_slice(what);
    key[32] = kind;
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Key {
        let mut key = [0; 33];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn a_write_is_fresh_for_a_minute_and_not_after_a_clock_that_ran_back() {
        let written = Written::default();
        written.remember(numbered(1), 1_000);
        assert!(written.is_fresh(&numbered(1), 1_000) && written.is_fresh(&numbered(1), 60_999));
        assert!(!written.is_fresh(&numbered(1), 61_000));
        assert!(!written.is_fresh(&numbered(1), 999));
        assert!(!written.is_fresh(&numbered(2), 1_000));
    }

    #[test]
    fn the_memory_is_bounded_and_makes_room_for_what_is_new() {
        let written = Written::default();
        for n in 0..MAX_REMEMBERED + 5 {
            written.remember(numbered(n), 0);
        }
        assert_eq!(written.at.lock().unwrap().len(), MAX_REMEMBERED);
        assert!(
            !written.is_fresh(&numbered(MAX_REMEMBERED), 0),
            "the last ones found no room"
        );
        written.remember(numbered(0), STEP_MS);
        assert!(written.is_fresh(&numbered(0), STEP_MS), "the old ones made room");
        assert_eq!(written.at.lock().unwrap().len(), 1);
    }
}
