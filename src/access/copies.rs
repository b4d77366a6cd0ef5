//! Sees that a vehicle's key is used by two machines: a copy of it is about.
//!
//! A token names the start of the machine that made it, as a mark that tells nothing else. A vehicle that starts anew shows
//! another mark and never again the one before, whatever addresses it has on the way; two machines show theirs in turn. So
//! what is looked for is a mark that comes back after a newer one, on a token made after the newer one's first; and more
//! marks in an hour than a vehicle has starts. A key that
//! the vehicle had before and is used again tells the same, however many have followed it. No address is looked at, and none is kept.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::device_keys::event;
use super::{Access, AccessError};
use crate::audit::EventKind;
use crate::catalog::{DevicePlaces, DeviceRow, NewNotice};
use crate::model::{DeviceId, Severity, UnixMs};

/// Bytes that are kept of a mark.
const MARK_BYTES: usize = 8;
/// Starts that are remembered: as many as a copy can show in three hours without being seen. The vehicle's own is forgotten
/// only if it is silent for so long and does not start anew.
const MAX_MARKS: usize = 32;
/// Starts in an hour that are taken for one vehicle's: a round with a stop every six minutes. More of them tell of somebody
/// who makes them up; they are not written down, which bounds the writes, too.
const MAX_MOVES: i64 = 10;
const MOVES_MS: i64 = 3_600_000;
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
    Moved(DevicePlaces),
    /// One that was left came back, or they are too many.
    Copied,
}

impl Access {
    /// Judges where a token was made; one that does not say so is from a client that is older than the marks.
    pub(super) async fn note_place(&self, row: &DeviceRow, place: Option<[u8; MARK_BYTES]>, issued_at: UnixMs) {
        if place.is_none() && row.places.is_none() {
            return;
        }
        let mark = place.unwrap_or(NO_PLACE);
        match judge(known(row).as_ref(), &mark, issued_at, self.inner.clock.now_ms()) {
            Seen::Nothing => {}
            Seen::Copied => self.copy_seen(row),
            Seen::Moved(places) => {
                let noted = async {
                    let mut tx = self.inner.catalog.begin().await?;
                    tx.set_device_places(row.id, row.places.as_deref(), &places).await?;
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

/// What was seen of a vehicle's tokens before.
fn known(row: &DeviceRow) -> Option<DevicePlaces> {
    Some(DevicePlaces {
        marks: row.places.clone()?,
        since: row.place_since.unwrap_or(UnixMs::MIN),
        moves: row.place_moves.unwrap_or(0),
        moves_since: row.place_moves_since.unwrap_or(UnixMs::MIN),
    })
}

fn judge(known: Option<&DevicePlaces>, mark: &[u8; MARK_BYTES], issued_at: UnixMs, now: UnixMs) -> Seen {
    let marks = known.map_or(&[][..], |known| known.marks.as_slice());
    match marks.chunks(MARK_BYTES).position(|one| one == mark) {
        Some(0) => return Seen::Nothing,
        Some(_) if known.is_some_and(|known| issued_at > known.since) => return Seen::Copied,
        Some(_) => return Seen::Nothing,
        None => {}
    }
    // A clock that was put back begins a new hour.
    let hour = known.filter(|known| (0..MOVES_MS).contains(&now.saturating_sub(known.moves_since)));
    let (moves, moves_since) = hour.map_or((0, now), |known| (known.moves, known.moves_since));
    if moves >= MAX_MOVES {
        return Seen::Copied;
    }
    let mut newest = mark.to_vec();
    newest.extend(marks.iter().take((MAX_MARKS - 1) * MARK_BYTES));
    Seen::Moved(DevicePlaces {
        marks: newest,
        // From ahead of the clock it would hide what comes back until then.
        since: issued_at.min(now),
        moves: moves + 1,
        moves_since,
    })
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

    const MINUTE: i64 = 60_000;

    /// What is seen of tokens in this order: the start of each, the time it was made at and the time it came at.
    fn seen(tokens: impl IntoIterator<Item = (u8, UnixMs, UnixMs)>) -> Vec<bool> {
        let mut known = None;
        let mut copied = Vec::new();
        for (start, issued_at, now) in tokens {
            let seen = judge(known.as_ref(), &[start; MARK_BYTES], issued_at, now);
            copied.push(seen == Seen::Copied);
            if let Seen::Moved(places) = seen {
                assert!(places.marks.len() <= MAX_MARKS * MARK_BYTES);
                known = Some(places);
            }
        }
        copied
    }

    /// The same for tokens that come as soon as they are made.
    fn at_once(tokens: &[(u8, UnixMs)]) -> Vec<bool> {
        seen(tokens.iter().map(|(start, at)| (*start, *at, *at)))
    }

    #[test]
    fn starts_that_follow_one_another_are_no_copy() {
        let starts: Vec<_> = (0..200).flat_map(|n: u8| [(n, i64::from(n) * 6 * MINUTE); 3]).collect();
        assert!(!at_once(&starts).contains(&true));
    }

    #[test]
    fn a_start_that_comes_back_is_a_copy() {
        assert_eq!(at_once(&[(1, 10), (2, 20), (1, 30)]), [false, false, true]);
        assert!(at_once(&[(1, 10), (2, 20), (2, 25), (3, 30), (1, 40)])[4]);
        // Four machines in turn: each but the one that was seen last is a return.
        let turns: Vec<_> = (0..8).map(|n: u8| (n % 4, i64::from(n))).collect();
        assert_eq!(at_once(&turns), [false, false, false, false, true, true, true, false]);
    }

    #[test]
    fn a_start_that_comes_back_after_many_others_is_a_copy() {
        assert!(at_once(&[(1, 10), (2, 20), (3, 30), (4, 40), (5, 50), (1, 60)])[5]);
        // As slowly as is taken for starts of a vehicle, for three hours.
        let others = (1..30).map(|n: u8| (n, i64::from(n) * 6 * MINUTE));
        let mut tokens: Vec<_> = [(0, 0)].into_iter().chain(others).collect();
        assert!(!at_once(&tokens).contains(&true));
        tokens.push((0, 180 * MINUTE));
        assert_eq!(at_once(&tokens).last(), Some(&true));
    }

    #[test]
    fn more_starts_in_an_hour_than_a_vehicle_has_are_a_copy_and_are_not_written_down() {
        let starts: Vec<_> = (0..20).map(|n: u8| (n, i64::from(n) * MINUTE)).collect();
        let copied = at_once(&starts);
        let most = usize::try_from(MAX_MOVES).unwrap();
        assert!(!copied[..most].contains(&true));
        assert!(!copied[most..].contains(&false));
        // Nor do a day's starts count for the next hour, wherever the service's clock was put.
        for now in [60 * MINUTE, -MINUTE] {
            let mut later: Vec<_> = starts[..most].iter().map(|(start, at)| (*start, *at, *at)).collect();
            later.push((99, 60 * MINUTE, now));
            assert_eq!(seen(later).last(), Some(&false));
        }
    }

    #[test]
    fn a_token_from_ahead_of_the_clock_puts_no_alarm_off() {
        assert_eq!(seen([(1, 10, 10), (2, 600, 15), (1, 20, 20)]), [false, false, true]);
    }

    #[test]
    fn a_request_that_was_long_on_the_way_is_none() {
        assert_eq!(at_once(&[(1, 10), (2, 20), (1, 19), (1, 20)]), [false; 4]);
    }
}
