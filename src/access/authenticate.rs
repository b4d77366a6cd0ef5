//! From the text of a bearer credential to who it is.

use dashvault_keys::token::{DeviceClaims, UnverifiedDeviceToken, bearer_hash, parse_device_token};

use super::owners::{WEB_SESSION_MAX_MS, WEB_SESSION_MS};
use super::{Access, AccessError, DeviceSession, LinkSession, OwnerSession, Principal};
use crate::catalog::{CredentialRow, DeviceRow};
use crate::model::{CredentialKind, DeviceId, UnixMs};

/// The longest of our tokens has some 200 characters; nothing longer is looked at.
const MAX_BEARER_CHARS: usize = 512;
/// How far a vehicle's clock may be off; beyond that it is told the time.
const CLOCK_TOLERANCE_MS: i64 = 10 * 60_000;
/// A web session's end is moved at most once a day, so that most requests write nothing.
const RENEW_STEP_MS: i64 = 24 * 3_600_000;
/// "Last seen" is for people: to within five minutes is enough, and costs a write in five minutes.
const SEEN_STEP_MS: i64 = 5 * 60_000;

impl Access {
    /// Who shows this bearer text: an owner's token or web session, a vehicle's signed token, or a link's session. A link's
    /// session whose link is over is refused as [`AccessError::LinkRevoked`] or [`AccessError::LinkEnded`].
    pub async fn authenticate(&self, bearer: &str) -> Result<Principal, AccessError> {
        if bearer.len() > MAX_BEARER_CHARS {
            return Err(AccessError::Unauthenticated);
        }
        match bearer.split_once('_').map(|(prefix, _)| prefix) {
            Some("dvo") => self
                .owner_session(bearer, CredentialKind::Api)
                .await
                .map(Principal::Owner),
            Some("dvw") => self
                .owner_session(bearer, CredentialKind::Web)
                .await
                .map(Principal::Owner),
            Some("dvl") => self.link_session(bearer).await.map(Principal::Link),
            Some("dvd") => self.device_session(bearer).await.map(Principal::Device),
            _ => Err(AccessError::Unauthenticated),
        }
    }

    async fn owner_session(&self, bearer: &str, kind: CredentialKind) -> Result<OwnerSession, AccessError> {
        let now = self.inner.clock.now_ms();
        let row = self.credential(bearer, kind).await?;
        if row.expires_at.is_some_and(|end| end <= now) {
            return Err(AccessError::Unauthenticated);
        }
        let (expires_at, renewed) = match renewed_end(&row, now) {
            Some(end) if self.renew(&row, end).await => (Some(end), true),
            _ => (row.expires_at, false),
        };
        let web = kind == CredentialKind::Web;
        Ok(OwnerSession::new(row.owner, row.id, web, expires_at, renewed))
    }

    async fn link_session(&self, bearer: &str) -> Result<LinkSession, AccessError> {
        let row = self.credential(bearer, CredentialKind::Link).await?;
        let link = row.link.ok_or(AccessError::Unauthenticated)?;
        self.session_of_link(row.id, link).await
    }

    async fn device_session(&self, bearer: &str) -> Result<DeviceSession, AccessError> {
        let token = parse_device_token(bearer).ok_or(AccessError::Unauthenticated)?;
        let id = DeviceId::from_bytes(token.claims.device);
        let row = self.inner.catalog.active_device(id).await?;
        let Some(row) = row else {
            self.vehicle_decoy_shown(id, token).await;
            return Err(AccessError::Unauthenticated);
        };
        let now = self.inner.clock.now_ms();
        let Some((key, claims)) = signed_by(&row, &token) else {
            self.old_key_used(&row, &token, now).await;
            return Err(AccessError::Unauthenticated);
        };
        check_times(&claims, now)?;
        if let Key::Next = key {
            self.use_next_key(&row, claims.issued_at_ms.min(now)).await?;
        }
        self.note_place(&row, token.place_mark(), claims.issued_at_ms).await;
        self.note_seen(&row, now).await;
        Ok(DeviceSession::new(row.owner, row.id, claims.expires_at_ms))
    }

    /// A token that none of its vehicle's keys signed may be under one that it had: the vehicle signed none with it since. It
    /// is answered as a stranger's, whatever its times.
    async fn old_key_used(&self, row: &DeviceRow, token: &UnverifiedDeviceToken, now: UnixMs) {
        if self.was_told(row, now) {
            return;
        }
        let keys = match self.inner.catalog.old_device_keys(row.id).await {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(%error, "whether a token is under a vehicle's old key cannot be looked up now");
                return;
            }
        };
        let signed = keys.iter().find_map(|old| {
            let key = old.key.as_slice().try_into().ok()?;
            Some((old, token.verify(key)?))
        });
        let Some((old, claims)) = signed else { return };
        if check_times(&claims, now).is_ok() && claims.issued_at_ms > old.since {
            self.copy_seen(row);
        }
    }

    /// The row of a credential that was not given up, of the kind that its prefix says.
    async fn credential(&self, bearer: &str, kind: CredentialKind) -> Result<CredentialRow, AccessError> {
        let hash = bearer_hash(bearer);
        let row = self.inner.catalog.credential_by_hash(&hash).await?;
        if row.is_none() {
            self.decoy_shown(&hash).await;
        }
        row.filter(|row| row.kind == kind && row.revoked_at.is_none())
            .ok_or(AccessError::Unauthenticated)
    }

    /// Moves a web session's end. A catalogue that cannot write now does not sign anybody out.
    async fn renew(&self, row: &CredentialRow, end: UnixMs) -> bool {
        let moved = async {
            let mut tx = self.inner.catalog.begin().await?;
            let moved = tx.extend_credential(row.id, end).await?;
            tx.commit().await.map(|()| moved)
        };
        moved.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a web session could not be prolonged");
            false
        })
    }

    /// Notes that a vehicle spoke. It is information for people: when it cannot be written, the vehicle goes on.
    async fn note_seen(&self, row: &DeviceRow, now: UnixMs) {
        if row.last_seen_at.is_some_and(|seen| now - seen < SEEN_STEP_MS) {
            return;
        }
        let noted = async {
            let mut tx = self.inner.catalog.begin().await?;
            tx.set_device_seen(row.id, now, now - SEEN_STEP_MS).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a vehicle's last-seen time could not be written");
        }
    }
}

/// Which of a vehicle's keys signed a token.
enum Key {
    Current,
    /// Announced: this is its first use.
    Next,
}

fn signed_by(row: &DeviceRow, token: &UnverifiedDeviceToken) -> Option<(Key, DeviceClaims)> {
    let keys = [
        (Key::Current, Some(row.public_key.as_slice())),
        (Key::Next, row.next_key.as_deref()),
    ];
    keys.into_iter().find_map(|(which, key)| {
        let key = key?.try_into().ok()?;
        Some((which, token.verify(key)?))
    })
}

/// The later end that a web session in use gets; none when it was moved within the day, or has reached its longest life.
fn renewed_end(row: &CredentialRow, now: UnixMs) -> Option<UnixMs> {
    let end = (now + WEB_SESSION_MS).min(row.created_at + WEB_SESSION_MAX_MS);
    row.expires_at.filter(|old| end - old >= RENEW_STEP_MS).map(|_| end)
}

/// Judges the times of a token whose signature is right; that it lives a quarter of an hour at most, its form says already.
fn check_times(claims: &DeviceClaims, now: UnixMs) -> Result<(), AccessError> {
    let from = claims.issued_at_ms.saturating_sub(CLOCK_TOLERANCE_MS);
    let to = claims.expires_at_ms.saturating_add(CLOCK_TOLERANCE_MS);
    if (from..to).contains(&now) {
        Ok(())
    } else {
        Err(AccessError::ClockSkew { now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CredentialId, OwnerId};

    const DAY: i64 = 24 * 3_600_000;
    const MINUTE: i64 = 60_000;

    fn web(created_at: UnixMs, expires_at: UnixMs) -> CredentialRow {
        CredentialRow {
            id: CredentialId::random(),
            owner: OwnerId::random(),
            kind: CredentialKind::Web,
            link: None,
            created_at,
            expires_at: Some(expires_at),
            used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_web_session_in_use_slides_a_day_at_a_time_and_ends_after_its_longest_life() {
        let fresh = web(0, WEB_SESSION_MS);
        assert_eq!(renewed_end(&fresh, DAY - 1), None);
        assert_eq!(renewed_end(&fresh, DAY), Some(DAY + WEB_SESSION_MS));
        let old = web(0, WEB_SESSION_MAX_MS - DAY);
        assert_eq!(
            renewed_end(&old, WEB_SESSION_MAX_MS - 2 * DAY),
            Some(WEB_SESSION_MAX_MS)
        );
        let last = web(0, WEB_SESSION_MAX_MS);
        assert_eq!(renewed_end(&last, WEB_SESSION_MAX_MS - 1), None);
    }

    #[test]
    fn an_api_token_has_no_end_to_move() {
        let token = CredentialRow {
            expires_at: None,
            ..web(0, 0)
        };
        assert_eq!(renewed_end(&token, 1_000 * DAY), None);
    }

    #[test]
    fn a_token_lives_a_quarter_of_an_hour_give_or_take_the_clock() {
        let claims = |issued_at_ms, expires_at_ms| DeviceClaims {
            device: [1; 16],
            issued_at_ms,
            expires_at_ms,
            nonce: [2; 16],
        };
        let quarter = claims(0, 15 * MINUTE);
        for now in [-10 * MINUTE, 0, 15 * MINUTE, 25 * MINUTE - 1] {
            assert!(check_times(&quarter, now).is_ok(), "{now}");
        }
        for now in [-10 * MINUTE - 1, 25 * MINUTE] {
            let refused = check_times(&quarter, now);
            assert!(
                matches!(refused, Err(AccessError::ClockSkew { now: n }) if n == now),
                "{now}"
            );
        }
        let edge = claims(i64::MAX - MINUTE, i64::MAX);
        assert!(matches!(check_times(&edge, 0), Err(AccessError::ClockSkew { .. })));
    }
}
