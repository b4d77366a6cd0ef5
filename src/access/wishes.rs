//! Wishes: an owner asks a vehicle for the rest of a clip, the vehicle hears of it with its policy and answers when it came.
//!
//! What the vault knows of what lies on a vehicle is the small rendition that came: the wish names that clip, and the vehicle
//! knows which file it was. So a wish is ids and times, and nothing of place or time has to be sealed or opened for it.

use super::error::at_most;
use super::{Access, AccessError, DeviceSession, OwnerSession};
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{NewWish, WishRow};
use crate::model::{ClipId, DeviceState, UnixMs, WishState};

/// As long as a vehicle keeps an event that does not go: what is older was driven over by newer clips.
const LIFE_MS: i64 = 31 * 24 * 3_600 * 1_000;
/// Each goes before everything else of the vehicle: more at once would be no order any more.
const MAX_OPEN_OF_DEVICE: u32 = 32;

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The clip of which there is more on the vehicle.
    pub clip: ClipId,
    /// None: nobody answered in time.
    pub state: Option<WishState>,
    /// The clip that came for it, unless it was erased since.
    pub answer: Option<ClipId>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it ends by itself.
    pub expires_at: UnixMs,
    /// When the vehicle first heard of it.
    pub told_at: Option<UnixMs>,
    /// When the vehicle answered.
    pub answered_at: Option<UnixMs>,
}

impl Access {
    /// Asks the vehicle that sent this clip for the rest of it. While such a wish is open, another is the same.
    pub async fn make_wish(&self, session: &OwnerSession, clip: ClipId) -> Result<Wish, AccessError> {
        let inner = &self.inner;
        let owner = session.owner();
        let row = inner.catalog.clip(owner, clip).await?.ok_or(AccessError::NotFound)?;
        let from_none = AccessError::Invalid {
            field: "clip",
            reason: "no vehicle that could be asked has sent it",
        };
        let device = row.device.ok_or(from_none)?;
        let vehicle = inner.catalog.device(owner, device).await?;
        if vehicle.is_none_or(|vehicle| vehicle.state == DeviceState::Revoked) {
            return Err(AccessError::Invalid {
                field: "clip",
                reason: "the vehicle that sent it was revoked",
            });
        }
        let now = inner.clock.now_ms();
        let mut tx = inner.catalog.begin().await?;
        // Two at once count each other.
        if !tx.hold_owner(owner).await? {
            return Err(AccessError::NotFound);
        }
        let open = tx.count_open_wishes(device, clip, now).await?;
        at_most(MAX_OPEN_OF_DEVICE, "open wishes of a vehicle", open)?;
        let wish = NewWish {
            clip,
            owner,
            device,
            created_at: now,
            expires_at: now + LIFE_MS,
        };
        if tx.insert_wish(&wish).await? {
            let event = NewEvent::of_clip(owner, EventKind::WishMade, clip);
            inner.audit.record(&mut tx, event).await?;
        }
        tx.commit().await?;
        let made = inner.catalog.wish(owner, clip).await?;
        made.map(|row| wish_of(row, now))
            .ok_or(AccessError::ClipNotReady { state: row.state })
    }

    /// The wish with this clip.
    pub async fn wish(&self, session: &OwnerSession, clip: ClipId) -> Result<Option<Wish>, AccessError> {
        let now = self.inner.clock.now_ms();
        let row = self.inner.catalog.wish(session.owner(), clip).await?;
        Ok(row.map(|row| wish_of(row, now)))
    }

    /// Takes a wish back.
    pub async fn take_wish_back(&self, session: &OwnerSession, clip: ClipId) -> Result<(), AccessError> {
        let mut tx = self.inner.catalog.begin().await?;
        if !tx.remove_wish(session.owner(), clip).await? {
            return Err(AccessError::NotFound);
        }
        let event = NewEvent::of_clip(session.owner(), EventKind::WishTakenBack, clip);
        self.inner.audit.record(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    /// What a vehicle is asked for: clips that it has sent, and of which its owner wants the rest; the first wish first. The owner
    /// sees that the vehicle has heard of them.
    pub async fn wishes_of_vehicle(&self, session: &DeviceSession) -> Result<Vec<ClipId>, AccessError> {
        let inner = &self.inner;
        let (device, now) = (session.device(), inner.clock.now_ms());
        let open = inner.catalog.wishes_of(device, now, MAX_OPEN_OF_DEVICE).await?;
        if open.iter().any(|wish| !wish.is_told) {
            let mut tx = inner.catalog.begin().await?;
            for wish in open.iter().filter(|wish| !wish.is_told) {
                tx.note_wish_told(device, wish.clip, now).await?;
            }
            tx.commit().await?;
        }
        Ok(open.into_iter().map(|wish| wish.clip).collect())
    }

    /// A vehicle's answer: the clip that came for the wish, or none when it does not hold what was asked for. A second time
    /// there is no such wish any more.
    pub async fn answer_wish(
        &self,
        session: &DeviceSession,
        clip: ClipId,
        answer: Option<ClipId>,
    ) -> Result<(), AccessError> {
        let mut tx = self.inner.catalog.begin().await?;
        let now = self.inner.clock.now_ms();
        if !tx.answer_wish(session.device(), clip, answer, now).await? {
            return Err(AccessError::NotFound);
        }
        // It is about what the owner can look at now: the clip that came, or else the one that is all there is.
        let event = match answer {
            Some(came) => NewEvent::of_clip(session.owner(), EventKind::WishCome, came),
            None => NewEvent::of_clip(session.owner(), EventKind::WishMissing, clip),
        };
        self.inner.audit.record(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }
}

fn wish_of(row: WishRow, now: UnixMs) -> Wish {
    let is_over = row.state == WishState::Open && row.expires_at <= now;
    Wish {
        clip: row.clip,
        state: (!is_over).then_some(row.state),
        answer: row.answer,
        created_at: row.created_at,
        expires_at: row.expires_at,
        told_at: row.told_at,
        answered_at: row.answered_at,
    }
}
