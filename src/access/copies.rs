//! Sees that a vehicle's key is used by two machines: a copy of it is about.
//!
//! A token names the start of the machine that made it, as a mark that tells nothing else. A vehicle that starts anew shows
//! another mark and never again the one before, whatever addresses it has on the way; two machines show theirs in turn. So
//! what is looked for is a mark that comes back after a newer one, on a token made after the newer one's first. A key that
//! the vehicle had before and is used again tells the same, however many have followed it. No address is looked at, and none is kept.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::device_keys::event;
use super::{Access, AccessError};
use crate::audit::EventKind;
use crate::catalog::{DeviceRow, NewNotice};
use crate::model::{DeviceId, Severity, UnixMs};

/// Bytes that are kept of a mark.
const MARK_BYTES: usize = 8;
/// Starts that are remembered: with as many machines less one on one key, every turn of one of them is seen.
const MAX_MARKS: usize = 4;
/// A copy that goes on is told again after this.
const TOLD_AGAIN_MS: i64 = 24 * 3_600_000;
/// Alarms that are being written at once; the first one says it.
const WRITERS: usize = 4;
/// The mark of tokens that name no place.
const NO_PLACE: [u8; MARK_BYTES] = [0; MARK_BYTES];

/// The places of those that write alarms down.
pub(super) struct Alarms {
    writers: Arc<Semaphore>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            writers: Arc::new(Semaphore::new(WRITERS)),
        }
    }
}

/// What a mark says beside those that came before.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The vehicle is where it was, or its request was long on the way.
    Nothing,
    /// It started anew; what is to be remembered then.
    Moved(Vec<u8>),
    /// One that was left came back.
    Copied,
}

impl Access {
    /// Judges where a token was made; one that does not say so is from a client that is older than the marks.
    pub(super) async fn note_place(&self, row: &DeviceRow, place: Option<[u8; MARK_BYTES]>, issued_at: UnixMs) {
        if place.is_none() && row.places.is_none() {
            return;
        }
        let mark = place.unwrap_or(NO_PLACE);
        match judge(row.places.as_deref(), row.place_since, &mark, issued_at) {
            Seen::Nothing => {}
            Seen::Copied => self.copy_seen(row),
            Seen::Moved(places) => {
                let noted = async {
                    let mut tx = self.inner.catalog.begin().await?;
                    tx.set_device_places(row.id, row.places.as_deref(), &places, issued_at)
                        .await?;
                    tx.commit().await
                };
                if let Err(error) = noted.await {
                    tracing::warn!(%error, "where a vehicle speaks from could not be written");
                }
            }
        }
    }

    /// Whether a vehicle's owner was told of a copy within the day.
    pub(super) fn was_told(&self, row: &DeviceRow, now: UnixMs) -> bool {
        row.copied_at.is_some_and(|told| now - told < TOLD_AGAIN_MS)
    }

    /// Tells of it beside the request, which is answered as any other.
    pub(super) fn copy_seen(&self, row: &DeviceRow) {
        let now = self.inner.clock.now_ms();
        if self.was_told(row, now) {
            return;
        }
        let Ok(writer) = self.inner.copy_alarms.writers.clone().try_acquire_owned() else {
            return;
        };
        tracing::warn!(device = %row.id, "a vehicle's key is used from two places at once: there is a copy of it");
        let (access, row) = (self.clone(), row.clone());
        tokio::spawn(async move {
            if let Err(error) = access.record_copy(&row, now).await {
                tracing::error!(%error, device = %row.id, "the use of a copied key could not be written down");
            }
            drop(writer);
        });
    }

    async fn record_copy(&self, row: &DeviceRow, now: UnixMs) -> Result<(), AccessError> {
        let inner = &self.inner;
        let named = self.named(row).await;
        let mut tx = inner.catalog.begin().await?;
        if tx.note_copied_key(row.id, now, now - TOLD_AGAIN_MS).await? {
            let event = event(row.owner, EventKind::DeviceKeyCopied, named.as_ref());
            inner.audit.record(&mut tx, event).await?;
            tx.raise_notice(&copied(row.id), now).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn judge(places: Option<&[u8]>, since: Option<UnixMs>, mark: &[u8; MARK_BYTES], issued_at: UnixMs) -> Seen {
    let known = places.unwrap_or_default();
    match known.chunks(MARK_BYTES).position(|one| one == mark) {
        Some(0) => Seen::Nothing,
        Some(_) if since.is_some_and(|since| issued_at > since) => Seen::Copied,
        Some(_) => Seen::Nothing,
        None => {
            let mut places = mark.to_vec();
            places.extend(known.iter().take((MAX_MARKS - 1) * MARK_BYTES));
            Seen::Moved(places)
        }
    }
}

fn copied(device: DeviceId) -> NewNotice {
    NewNotice {
        kind: "vehicle-key-copied",
        severity: Severity::Warning,
        subject: "A vehicle's key is used from two places at once".to_owned(),
        facts: format!(
            "Vehicle: {device}\n\nTwo machines sign with the key of one vehicle, so somebody has a copy of it. Its owner sees it \
             among what happened. Until the vehicle is revoked and paired anew, whoever has the copy can add clips to that \
             owner's; none can be read with it."
        ),
        once_for: Some(format!("vehicle-key-copied:{device}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of tokens in this order, each by its start and the time it was made at.
    fn seen(tokens: &[(u8, UnixMs)]) -> Vec<bool> {
        let (mut places, mut since) = (None::<Vec<u8>>, None);
        let mut copied = Vec::new();
        for (start, issued_at) in tokens {
            let seen = judge(places.as_deref(), since, &[*start; MARK_BYTES], *issued_at);
            copied.push(seen == Seen::Copied);
            if let Seen::Moved(now) = seen {
                (places, since) = (Some(now), Some(*issued_at));
            }
        }
        copied
    }

    #[test]
    fn starts_that_follow_one_another_are_no_copy() {
        let starts: Vec<_> = (0..100).flat_map(|n: u8| [(n, i64::from(n)); 3]).collect();
        assert!(!seen(&starts).contains(&true));
    }

    #[test]
    fn a_start_that_comes_back_is_a_copy() {
        assert_eq!(seen(&[(1, 10), (2, 20), (1, 30)]), [false, false, true]);
        assert!(seen(&[(1, 10), (2, 20), (2, 25), (3, 30), (1, 40)])[4]);
        // Four machines in turn: each but the one that was seen last is a return.
        let turns: Vec<_> = (0..8).map(|n: u8| (n % 4, i64::from(n))).collect();
        assert_eq!(seen(&turns), [false, false, false, false, true, true, true, false]);
    }

    #[test]
    fn a_request_that_was_long_on_the_way_is_none() {
        assert_eq!(seen(&[(1, 10), (2, 20), (1, 19), (1, 20)]), [false; 4]);
    }
}
