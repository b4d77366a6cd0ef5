//! What is known of all buckets together, in the few words that owners and probes of readiness get: no bucket, no address and
//! no way in is named here.

use std::sync::Arc;

use super::{ExposureError, UNKNOWN_FOR_MS};
use crate::catalog::{Catalog, VerdictRow, WatcherRow};
use crate::model::{Bucket, Clock, UnixMs, Verdict};
use crate::vault::Vault;

/// Reads it. Cheap to clone.
#[derive(Clone)]
pub struct Known {
    catalog: Catalog,
    vault: Vault,
    clock: Arc<dyn Clock>,
}

/// How all buckets together stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The worst of them. Private only if every one was found so in a round that is not long ago.
    pub verdict: Verdict,
    /// Since when one is open, where one is.
    pub open_since: Option<UnixMs>,
    /// Since then none has been without a proof; none while one never had any.
    pub private_at: Option<UnixMs>,
    /// Whether new clips are refused for it.
    pub is_withholding: bool,
    /// When this was looked up.
    pub at: UnixMs,
}

impl Known {
    /// Reads from the catalogue; the vault tells what its gate makes of it.
    pub fn new(catalog: Catalog, vault: Vault, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, vault, clock }
    }

    /// How the buckets stand now.
    pub async fn standing(&self) -> Result<Standing, ExposureError> {
        let (rows, watchers) = (self.catalog.verdicts().await?, self.catalog.watchers().await?);
        let is_withholding = self.vault.withholds_clips().await?;
        Ok(standing(&rows, &watchers, is_withholding, self.clock.now_ms()))
    }
}

/// How long a look tells something of the time after it. A watch that fell silent proves nothing any more, however well it all
/// was when it last looked.
pub(super) fn look_lasts_ms(watchers: &[WatcherRow]) -> i64 {
    let lasts = watchers.iter().map(|one| one.silent_from() - one.round_at).min();
    lasts.unwrap_or(UNKNOWN_FOR_MS)
}

fn standing(rows: &[VerdictRow], watchers: &[WatcherRow], is_withholding: bool, now: UnixMs) -> Standing {
    let lasts = look_lasts_ms(watchers);
    let of = |bucket: &Bucket| rows.iter().find(|row| row.bucket == *bucket);
    let is_private =
        |row: &VerdictRow| row.verdict == Verdict::Private && (0..lasts).contains(&(now - row.checked_at).max(0));
    let open = rows.iter().filter(|row| row.verdict == Verdict::Exposed);
    let open_since = open.map(|row| row.since).min();
    let is_all_private = Bucket::ALL.iter().all(|bucket| of(bucket).is_some_and(is_private));
    let proofs: Option<Vec<_>> = Bucket::ALL.iter().map(|bucket| of(bucket)?.private_at).collect();
    Standing {
        verdict: match (open_since, is_all_private) {
            (Some(_), _) => Verdict::Exposed,
            (None, true) => Verdict::Private,
            (None, false) => Verdict::Unknown,
        },
        open_since,
        private_at: proofs.and_then(|at| at.into_iter().min()),
        is_withholding,
        at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_800_000_000_000;
    const MINUTE: i64 = 60_000;

    fn row(bucket: Bucket, verdict: Verdict, minutes: i64) -> VerdictRow {
        VerdictRow {
            bucket,
            verdict,
            since: NOW - 90 * MINUTE,
            checked_at: NOW - minutes * MINUTE,
            private_at: (verdict == Verdict::Private).then_some(NOW - minutes * MINUTE),
            reason: String::new(),
        }
    }

    fn watcher(interval_ms: i64) -> WatcherRow {
        WatcherRow {
            watcher: "serve".to_owned(),
            interval_ms,
            rounds: 9,
            round_at: NOW,
            seeing_at: None,
        }
    }

    fn all(data: VerdictRow, others: i64) -> Vec<VerdictRow> {
        vec![
            data,
            row(Bucket::Staging, Verdict::Private, others),
            row(Bucket::KeyPlane, Verdict::Private, others),
        ]
    }

    #[test]
    fn all_are_private_only_if_each_is_and_the_oldest_proof_counts() {
        use Verdict::{Exposed, Private, Unknown};
        let told = |rows: &[VerdictRow]| standing(rows, &[watcher(MINUTE)], false, NOW);
        let private = told(&all(row(Bucket::Data, Private, 2), 1));
        assert_eq!((private.verdict, private.private_at), (Private, Some(NOW - 2 * MINUTE)));
        let unknown = told(&all(row(Bucket::Data, Unknown, 0), 1));
        assert_eq!((unknown.verdict, unknown.private_at), (Unknown, None));
        let open = told(&all(row(Bucket::Data, Exposed, 0), 1));
        assert_eq!((open.verdict, open.open_since), (Exposed, Some(NOW - 90 * MINUTE)));
        let fewer = told(&all(row(Bucket::Data, Private, 0), 0)[..2]);
        assert_eq!(fewer.verdict, Unknown, "nobody looked at the third");
        assert_eq!(told(&[]).verdict, Unknown);
    }

    #[test]
    fn a_verdict_of_a_watch_that_fell_silent_is_not_shown_as_private() {
        let told = |minutes, watchers: &[WatcherRow]| {
            standing(
                &all(row(Bucket::Data, Verdict::Private, minutes), minutes),
                watchers,
                false,
                NOW,
            )
            .verdict
        };
        assert_eq!(told(5, &[watcher(MINUTE)]), Verdict::Private);
        assert_eq!(told(6, &[watcher(MINUTE)]), Verdict::Unknown);
        assert_eq!(
            told(6, &[watcher(60 * MINUTE)]),
            Verdict::Private,
            "it looks once an hour"
        );
        assert_eq!(told(6, &[watcher(60 * MINUTE), watcher(MINUTE)]), Verdict::Unknown);
        assert_eq!(told(11, &[]), Verdict::Unknown, "nobody says how often it looks");
        let open = all(row(Bucket::Data, Verdict::Exposed, 900), 900);
        let open = standing(&open, &[watcher(MINUTE)], false, NOW);
        assert_eq!(open.verdict, Verdict::Exposed, "silence shuts nothing");
    }
}
