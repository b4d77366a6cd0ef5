//! Signed links: made, listed, revoked by their owner.

use std::collections::{BTreeSet, HashMap};

use dashvault_keys::token::LinkToken;

use super::error::at_most;
use super::{Access, AccessError, LinkSpan, OwnerSession, words};
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{LinkRow, NewJob, NewLink};
use crate::model::{ClipId, ClipState, JobId, JobKind, LinkId, LinkMediaState, OwnerId, Place, UnixMs, cut_to_page};
use crate::vault::{ClipKeys, ClipSummary, LinkAbout};

/// A link never lives longer, and never without end.
const MAX_LIFE_S: i64 = 30 * 24 * 3_600;
/// More readers than any claim has.
const MAX_OPENS: u32 = 1_000;
/// Each has media of its own: this many cuts of one clip may be kept at once.
const MAX_LIVE_OF_CLIP: u32 = 50;
/// Of all clips of one owner.
const MAX_LIVE_OF_OWNER: u32 = 500;
/// A name, or an address of at most 254 characters, fits.
const MAX_RECIPIENT_CHARS: usize = 254;
/// Links of one page at most, ended ones included.
pub const MAX_LINKS_A_PAGE: u32 = 1_000;
/// Less than three frames are not worth a link.
const MIN_SPAN_MS: u64 = 100;
/// How far a player's end of the clip may lie behind the vault's.
const END_TOLERANCE_MS: u64 = 1_000;

/// What an owner wants to share.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkWish {
    /// For whom: 1 to 254 characters, shown to the owner alone.
    pub recipient: String,
    /// 1 second to 30 days.
    pub expires_in_s: u64,
    /// The part of the clip, with or without sound and track.
    pub span: LinkSpan,
    /// 1 to 1,000.
    pub max_opens: u32,
}

/// A new link.
pub struct LinkMade {
    /// The link's id: stands in the URL's path.
    pub id: LinkId,
    /// The secret: stands in the URL's fragment. It is not kept.
    pub token: String,
    /// When the link ends.
    pub expires_at: UnixMs,
    /// Preparing: its media are being made.
    pub state: LinkState,
}

/// What became of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Its media are being made.
    Preparing,
    /// It can be opened and watched.
    Ready,
    /// Its media could not be made.
    Failed,
    /// Its owner revoked it.
    Revoked,
    /// Its time is over, or its clip is in the trash or gone.
    Expired,
    /// It was opened as often as it may be; sessions go on to its end.
    UsedUp,
}

impl LinkState {
    /// The word that the HTTP face uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UsedUp => "used_up",
        }
    }
}

/// A link, for its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// What it shows.
    pub clip: ClipId,
    /// What became of it.
    pub state: LinkState,
    /// For whom; none once the clip is erased.
    pub recipient: Option<String>,
    /// The part; none once the clip is erased.
    pub span: Option<LinkSpan>,
    /// How often it was opened.
    pub opens: u32,
    /// How often it may be opened.
    pub max_opens: u32,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it ends.
    pub expires_at: UnixMs,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
}

/// A page of an owner's links.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkPage {
    /// Newest first.
    pub links: Vec<Link>,
    /// Where the next page begins; none after the last.
    pub next: Option<Place<LinkId>>,
}

impl Access {
    /// Makes a link: row, event and the job that makes its media, in one transaction.
    pub async fn make_link(
        &self,
        session: &OwnerSession,
        clip: ClipId,
        wish: LinkWish,
    ) -> Result<LinkMade, AccessError> {
        let recipient = words::line("recipient", &wish.recipient, MAX_RECIPIENT_CHARS)?;
        let life_ms = check_life(wish.expires_in_s)?;
        check_opens(wish.max_opens)?;
        let inner = &self.inner;
        let owner = session.owner();
        let row = inner.catalog.clip(owner, clip).await?.ok_or(AccessError::NotFound)?;
        let (ClipState::Ready, Some(envelope), Some(summary)) = (row.state, &row.envelope, &row.sealed_summary) else {
            return Err(AccessError::ClipNotReady { state: row.state });
        };
        let owner_keys = inner.vault.owner_keys(owner).await?;
        let keys = inner.vault.clip_keys(&owner_keys, clip, envelope, row.least_revision)?;
        let summary: ClipSummary = keys.open(clip.as_bytes(), summary)?;
        let span = fit_span(wish.span, summary.duration_ms)?;

        let id = LinkId::random();
        let now = inner.clock.now_ms();
        let expires_at = now + life_ms;
        let token = LinkToken::make(*id.as_bytes(), expires_at);
        let text = inner.vault.link_signer()?.sign(&token);
        let about = LinkAbout {
            recipient,
            from_ms: Some(span.from_ms),
            to_ms: Some(span.to_ms),
            audio: span.audio,
            location: span.location,
            download: span.download,
        };
        let mut tx = inner.catalog.begin().await?;
        if !tx.hold_owner(owner).await? || !tx.hold_ready_clip(clip).await? {
            return Err(AccessError::NotFound);
        }
        let live = tx.count_live_links(owner, clip, now).await?;
        at_most(MAX_LIVE_OF_CLIP, "live links of a clip", live.of_clip)?;
        at_most(MAX_LIVE_OF_OWNER, "live links", live.of_owner)?;
        tx.insert_link(&NewLink {
            id,
            tenant: inner.vault.tenant(),
            owner,
            clip,
            secret_hash: &token.secret_hash(),
            sealed_about: &keys.seal(id.as_bytes(), &about),
            max_opens: wish.max_opens,
            created_at: now,
            expires_at,
        })
        .await?;
        tx.queue_job(&NewJob {
            id: JobId::random(),
            tenant: inner.vault.tenant(),
            kind: JobKind::LinkMedia,
            owner,
            clip: Some(clip),
            link: Some(id),
            run_after: now,
        })
        .await?;
        inner
            .audit
            .record(&mut tx, about_link(EventKind::LinkMade, owner, clip, id))
            .await?;
        tx.commit().await?;
        Ok(LinkMade {
            id,
            token: text,
            expires_at,
            state: LinkState::Preparing,
        })
    }

    /// At most `limit` (1 to [`MAX_LINKS_A_PAGE`]) links of an owner, newest first, from the first behind `after`.
    pub async fn links(
        &self,
        session: &OwnerSession,
        after: Option<Place<LinkId>>,
        limit: u32,
    ) -> Result<LinkPage, AccessError> {
        let inner = &self.inner;
        let limit = limit.clamp(1, MAX_LINKS_A_PAGE);
        let after = after.map(|place| (place.at, place.id));
        let mut rows = inner.catalog.links_of(session.owner(), after, limit + 1).await?;
        let next = cut_to_page(&mut rows, limit, |last| Place {
            at: last.created_at,
            id: last.id,
        });
        if rows.is_empty() {
            return Ok(LinkPage {
                links: Vec::new(),
                next,
            });
        }
        let owner_keys = inner.vault.owner_keys(session.owner()).await?;
        let ids: BTreeSet<_> = rows.iter().map(|row| row.clip).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let mut keys = HashMap::new();
        for clip in inner.catalog.clips_by_id(session.owner(), &ids).await? {
            if let Some(envelope) = &clip.envelope {
                let opened = inner
                    .vault
                    .clip_keys(&owner_keys, clip.id, envelope, clip.least_revision)?;
                keys.insert(clip.id, opened);
            }
        }
        let now = inner.clock.now_ms();
        let links = rows.iter().map(|row| listed(row, keys.get(&row.clip), now));
        Ok(LinkPage {
            links: links.collect::<Result<_, _>>()?,
            next,
        })
    }

    /// Revokes a link: its next request is refused, and its media go. A second time changes nothing.
    pub async fn revoke_link(&self, session: &OwnerSession, link: LinkId) -> Result<(), AccessError> {
        let inner = &self.inner;
        let row = inner.catalog.link_any(link).await?;
        let row = row.filter(|row| row.owner == session.owner());
        let row = row.ok_or(AccessError::NotFound)?;
        let mut tx = inner.catalog.begin().await?;
        if tx.revoke_link(row.owner, link, inner.clock.now_ms()).await? {
            let event = about_link(EventKind::LinkRevoked, row.owner, row.clip, link);
            inner.audit.record(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

pub(super) fn about_link(kind: EventKind, owner: OwnerId, clip: ClipId, link: LinkId) -> NewEvent<'static> {
    NewEvent {
        link: Some(link),
        ..NewEvent::of_clip(owner, kind, clip)
    }
}

/// What a sealed row says of the part.
pub(super) fn span_of(about: &LinkAbout) -> LinkSpan {
    LinkSpan {
        from_ms: about.from_ms.unwrap_or(0),
        to_ms: about.to_ms.unwrap_or(0),
        audio: about.audio,
        location: about.location,
        download: about.download,
    }
}

fn listed(row: &LinkRow, keys: Option<&ClipKeys>, now: UnixMs) -> Result<Link, AccessError> {
    let about = keys.map(|keys| keys.open::<LinkAbout>(row.id.as_bytes(), &row.sealed_about));
    let about = about.transpose()?;
    Ok(Link {
        id: row.id,
        clip: row.clip,
        state: state_of(row, now),
        span: about.as_ref().map(span_of),
        recipient: about.map(|about| about.recipient),
        opens: row.opens,
        max_opens: row.max_opens,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    })
}

fn state_of(row: &LinkRow, now: UnixMs) -> LinkState {
    if row.revoked_at.is_some() {
        LinkState::Revoked
    } else if row.expires_at <= now || row.clip_state != ClipState::Ready {
        LinkState::Expired
    } else if row.opens >= row.max_opens {
        LinkState::UsedUp
    } else {
        match row.media_state {
            LinkMediaState::Preparing => LinkState::Preparing,
            LinkMediaState::Ready => LinkState::Ready,
            LinkMediaState::Failed => LinkState::Failed,
            LinkMediaState::Removed => LinkState::Expired,
        }
    }
}

fn check_life(expires_in_s: u64) -> Result<i64, AccessError> {
    let seconds = i64::try_from(expires_in_s).ok();
    seconds
        .filter(|seconds| (1..=MAX_LIFE_S).contains(seconds))
        .map(|seconds| seconds * 1_000)
        .ok_or(AccessError::Invalid {
            field: "expires_in_s",
            reason: "must be 1 second to 30 days",
        })
}

fn check_opens(max_opens: u32) -> Result<(), AccessError> {
    if (1..=MAX_OPENS).contains(&max_opens) {
        return Ok(());
    }
    Err(AccessError::Invalid {
        field: "max_opens",
        reason: "must be 1 to 1000",
    })
}

/// The part, inside the clip. A player's own idea of a clip's end may be some frames later than the vault's: so much is cut
/// off, and more is refused.
fn fit_span(span: LinkSpan, duration_ms: Option<u64>) -> Result<LinkSpan, AccessError> {
    let invalid = |field, reason| Err(AccessError::Invalid { field, reason });
    let duration_ms = duration_ms.unwrap_or(0);
    if span.to_ms > duration_ms.saturating_add(END_TOLERANCE_MS) {
        return invalid("to_ms", "lies after the clip's end");
    }
    let to_ms = span.to_ms.min(duration_ms);
    if to_ms.saturating_sub(span.from_ms) < MIN_SPAN_MS {
        return invalid("from_ms", "must lie at least 100 ms before to_ms, inside the clip");
    }
    Ok(LinkSpan { to_ms, ..span })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_ms: u64, to_ms: u64) -> LinkSpan {
        LinkSpan {
            from_ms,
            to_ms,
            audio: false,
            location: false,
            download: false,
        }
    }

    #[test]
    fn a_part_lies_inside_the_clip() {
        assert_eq!(fit_span(span(0, 8_900), Some(8_900)).unwrap(), span(0, 8_900));
        assert_eq!(fit_span(span(2_000, 9_000), Some(8_900)).unwrap(), span(2_000, 8_900));
        for (from, to) in [
            (0, 10_000),
            (0, u64::MAX),
            (8_900, 8_900),
            (8_850, 8_950),
            (5, 5),
            (9, 3),
            (u64::MAX, 5),
        ] {
            let refused = fit_span(span(from, to), Some(8_900));
            assert!(matches!(refused, Err(AccessError::Invalid { .. })), "{from} to {to}");
        }
        assert!(
            fit_span(span(0, 500), None).is_err(),
            "a clip of unknown length has no parts"
        );
    }

    #[test]
    fn a_link_ends_within_thirty_days_and_a_thousand_openings() {
        assert_eq!(check_life(2_592_000).unwrap(), 2_592_000_000);
        for seconds in [0, 2_592_001, u64::MAX] {
            assert!(check_life(seconds).is_err(), "{seconds}");
        }
        assert!(check_opens(1).is_ok() && check_opens(1_000).is_ok());
        assert!(check_opens(0).is_err() && check_opens(1_001).is_err());
    }
}
