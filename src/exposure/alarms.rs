//! What people must be told of a round: raised in the transaction that writes the verdict, so that neither is there without
//! the other; once for each change, and again each hour for as long as a bucket is open.

use crate::catalog::{CatalogError, NewNotice, NewVerdict, Tx, VerdictRow, VerdictSet};
use crate::model::{Severity, UnixMs, Verdict, moment};
use crate::vault::why_withheld;

use super::judge::Probe;
use super::{Config, UNKNOWN_FOR_MS};

/// Whoever was told that a bucket is open and did not shut it is told again.
const REMINDER_MS: i64 = 3_600_000;
/// Ways in that a notice lists.
const LISTED: usize = 20;

/// Raises what a round is to be told for.
pub(super) async fn raise(tx: &mut Tx, told: &NewVerdict, set: &VerdictSet, now: UnixMs) -> Result<(), CatalogError> {
    for notice in of_verdict(told, set, now).into_iter().chain(of_gate(told, set, now)) {
        tx.raise_notice(&notice, now).await?;
    }
    Ok(())
}

/// Notes a round, and tells of it when it ended a silence.
pub(super) async fn note_round(tx: &mut Tx, config: &Config, is_seeing: bool, now: UnixMs) -> Result<(), CatalogError> {
    let before = tx
        .round_made(&config.watcher, config.interval_ms(), is_seeing, now)
        .await?;
    let Some(before) = before.filter(|row| row.silent_from() < now) else {
        return Ok(());
    };
    let notice = NewNotice {
        kind: "watch-back",
        severity: Severity::Info,
        subject: format!("The watch {} looks again", before.watcher),
        facts: format!(
            "Nobody can say what this watch would have seen from {} to {}: look whether another one looked then.",
            moment(before.round_at),
            moment(now)
        ),
        once_for: None,
    };
    tx.raise_notice(&notice, now).await?;
    Ok(())
}

fn of_verdict(told: &NewVerdict, set: &VerdictSet, now: UnixMs) -> Vec<NewNotice> {
    let bucket = told.bucket.as_str();
    let seen = format!(
        "Bucket: {bucket}\nSeen by the watch: {}\nSince: {}\nWhat was seen: {}",
        told.watcher,
        moment(set.since),
        told.reason
    );
    let notice = |kind, severity, subject: String, facts: String, once_for| NewNotice {
        kind,
        severity,
        subject,
        facts,
        once_for,
    };
    let mut notices = Vec::new();
    match set.verdict {
        Verdict::Exposed => {
            let (hours, since) = ((now - set.since) / REMINDER_MS, set.since);
            let (kind, still) = match hours {
                0 => ("bucket-exposed", "is"),
                _ => ("bucket-still-exposed", "is still"),
            };
            notices.push(notice(
                kind,
                Severity::Page,
                format!("Bucket {bucket} {still} OPEN TO STRANGERS"),
                format!(
                    "{seen}\nWays in:\n{}\n\nShut it now: public access, policy and access lists of the bucket and of its \
                     objects, and what stands before it. What lies there is sealed and nothing was deleted; strangers can \
                     learn how many objects there are, their sizes and their times.",
                    ways(told)
                ),
                Some(format!("exposed:{bucket}:{since}:{hours}")),
            ));
            let written = told.openings.iter().find(|way| way.probe == Probe::Write.as_str());
            if let Some(name) = written.and_then(|way| way.object.as_deref()) {
                notices.push(notice(
                    "stranger-wrote",
                    Severity::Page,
                    format!("Strangers can WRITE to bucket {bucket}"),
                    format!(
                        "{seen}\nThe watch could write {name} without credentials; a watch that has the vault removes it.\n\n\
                         Shut it now, then run `dashvault inventory`: what others wrote lies there as unknown objects. \
                         Nothing they changed is released: every byte is authenticated before it leaves."
                    ),
                    Some(format!("stranger-wrote:{bucket}:{since}")),
                ));
            }
        }
        Verdict::Unknown if now - set.since >= UNKNOWN_FOR_MS => notices.push(notice(
            "bucket-unknown",
            Severity::Page,
            format!("It cannot be told whether bucket {bucket} is open to strangers"),
            format!(
                "{seen}\n\nIt is not known to be private. Look whether the store answers at every address that the watch \
                 asks, from where it runs."
            ),
            Some(format!("unknown:{bucket}:{}", set.since)),
        )),
        Verdict::Private | Verdict::Unknown => {}
    }
    let Some(before) = set.before.as_ref().filter(|_| set.is_change()) else {
        return notices;
    };
    let lasted = format!("From {} to {}", moment(before.since), moment(now));
    match (before.verdict, set.verdict) {
        (Verdict::Exposed, Verdict::Private) => notices.push(notice(
            "bucket-private-again",
            Severity::Warning,
            format!("All clear: bucket {bucket} is private again"),
            format!(
                "{seen}\nIt was open: {lasted}.\n\nFind out why it was open, and what the store's own log tells of strangers \
                 in that time."
            ),
            None,
        )),
        (Verdict::Exposed, Verdict::Unknown) => notices.push(notice(
            "bucket-unknown",
            Severity::Page,
            format!("Bucket {bucket} was open to strangers, and whether it still is cannot be told"),
            format!("{seen}\nIt was seen open: {lasted}. Nobody has seen it shut."),
            None,
        )),
        (Verdict::Unknown, Verdict::Private) if now - before.since >= UNKNOWN_FOR_MS => notices.push(notice(
            "bucket-known-again",
            Severity::Info,
            format!("Bucket {bucket} is private, after a time when that could not be told"),
            format!("{seen}\nIt could not be told: {lasted}."),
            None,
        )),
        _ => {}
    }
    notices
}

/// The write gate goes by the same rows, so what it does from this round on can be told here.
fn of_gate(told: &NewVerdict, set: &VerdictSet, now: UnixMs) -> Option<NewNotice> {
    let bucket = told.bucket.as_str();
    let before = set.before.as_ref();
    let private_at = match set.verdict {
        Verdict::Private => Some(now),
        _ => before.and_then(|row| row.private_at),
    };
    let row = VerdictRow {
        bucket: told.bucket,
        verdict: set.verdict,
        since: set.since,
        checked_at: now,
        private_at,
        reason: String::new(),
    };
    if let Some(why) = why_withheld(Some(&row), now) {
        return Some(NewNotice {
            kind: "writes-withheld",
            severity: Severity::Warning,
            subject: format!("New clips are withheld from bucket {bucket}: {why}"),
            facts: format!(
                "Last proven private: {}\n\nVehicles keep their clips and try again; what is stored can be read, and \
                 nothing is deleted. Clips are taken again after the first round that finds the bucket private. A vault with \
                 --write-gate alert-only takes them all the same.",
                private_at.map_or_else(|| "never".to_owned(), moment)
            ),
            once_for: Some(format!("withheld:{bucket}:{}", private_at.unwrap_or(0))),
        });
    }
    let withheld_before = before.is_some_and(|row| why_withheld(Some(row), now).is_some());
    withheld_before.then(|| NewNotice {
        kind: "writes-go-on",
        severity: Severity::Info,
        subject: format!("New clips are taken into bucket {bucket} again"),
        facts: format!(
            "Last proven private: {}",
            private_at.map_or_else(|| "never".to_owned(), moment)
        ),
        once_for: None,
    })
}

/// One line for each way in and form of address, however many objects were got by it.
fn ways(told: &NewVerdict) -> String {
    let mut ways: Vec<_> = told
        .openings
        .iter()
        .map(|way| format!("- {} by {}", way.probe, way.form))
        .collect();
    ways.sort();
    ways.dedup();
    match ways.len() {
        0 => "- seen by another watch, or not seen shut since".to_owned(),
        more if more > LISTED => format!("{}\n- and {} more", ways[..LISTED].join("\n"), more - LISTED),
        _ => ways.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Opening;
    use crate::model::Bucket;

    const NOW: UnixMs = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn kinds(
        before: Option<(Verdict, UnixMs, Option<UnixMs>)>,
        verdict: Verdict,
    ) -> Vec<(&'static str, Option<String>)> {
        let before = before.map(|(verdict, since, private_at)| VerdictRow {
            bucket: Bucket::Data,
            verdict,
            since,
            checked_at: NOW - 1,
            private_at,
            reason: String::new(),
        });
        let openings = match verdict {
            Verdict::Exposed => vec![Opening {
                form: "path-style".to_owned(),
                probe: "list-v2".to_owned(),
                object: None,
            }],
            _ => Vec::new(),
        };
        let told = NewVerdict {
            bucket: Bucket::Data,
            verdict,
            reason: "as it was seen".to_owned(),
            openings: openings.clone(),
            is_whole: true,
            watcher: "test".to_owned(),
        };
        let same = before.as_ref().filter(|row| row.verdict == verdict);
        let set = VerdictSet {
            verdict,
            previous: before.as_ref().map(|row| row.verdict),
            since: same.map_or(NOW, |row| row.since),
            before,
            new_openings: openings,
        };
        let all = of_verdict(&told, &set, NOW)
            .into_iter()
            .chain(of_gate(&told, &set, NOW));
        all.map(|notice| (notice.kind, notice.once_for)).collect()
    }

    fn words(before: Option<(Verdict, UnixMs, Option<UnixMs>)>, verdict: Verdict) -> Vec<&'static str> {
        kinds(before, verdict).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn each_change_and_each_long_state_has_its_notice() {
        use Verdict::{Exposed, Private, Unknown};
        let recent = Some(NOW - 60_000);
        for (before, verdict, told) in [
            (None, Private, &[][..]),
            (None, Exposed, &["bucket-exposed", "writes-withheld"]),
            (Some((Private, 0, recent)), Private, &[]),
            (
                Some((Private, 0, recent)),
                Exposed,
                &["bucket-exposed", "writes-withheld"],
            ),
            (
                Some((Exposed, NOW - HOUR, recent)),
                Exposed,
                &["bucket-still-exposed", "writes-withheld"],
            ),
            (
                Some((Exposed, NOW - HOUR, recent)),
                Private,
                &["bucket-private-again", "writes-go-on"],
            ),
            (
                Some((Exposed, NOW - HOUR, recent)),
                Unknown,
                &["bucket-unknown", "writes-go-on"],
            ),
            (Some((Private, 0, recent)), Unknown, &[]),
            (Some((Unknown, NOW - UNKNOWN_FOR_MS + 1, recent)), Unknown, &[]),
            (
                Some((Unknown, NOW - UNKNOWN_FOR_MS, recent)),
                Unknown,
                &["bucket-unknown"],
            ),
            (
                Some((Unknown, NOW - UNKNOWN_FOR_MS, recent)),
                Private,
                &["bucket-known-again"],
            ),
            (Some((Unknown, NOW - 60_000, recent)), Private, &[]),
            (
                Some((Unknown, NOW - 25 * HOUR, Some(NOW - 25 * HOUR))),
                Unknown,
                &["bucket-unknown", "writes-withheld"],
            ),
            (
                Some((Unknown, NOW - 25 * HOUR, None)),
                Private,
                &["bucket-known-again", "writes-go-on"],
            ),
        ] {
            assert_eq!(words(before, verdict), told, "{before:?} {verdict:?}");
        }
    }

    #[test]
    fn an_open_bucket_is_told_of_once_an_hour_and_not_once_a_round() {
        let key = |since| {
            kinds(Some((Verdict::Exposed, since, Some(1))), Verdict::Exposed)[0]
                .1
                .clone()
        };
        let (first, same_hour, next) = (NOW - 1, NOW - 1, NOW - 1 - HOUR);
        assert!(key(first).is_some());
        assert_eq!(key(first), key(same_hour));
        assert_ne!(key(first), key(next));
        let withheld = |since| {
            kinds(Some((Verdict::Exposed, since, Some(1))), Verdict::Exposed)[1]
                .1
                .clone()
        };
        assert_eq!(withheld(NOW - 1), withheld(NOW - HOUR));
    }
}
