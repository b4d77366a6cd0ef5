//! The report for people, in the order in which a supervisory authority asks.

use std::fmt::Write as _;

use super::{Exposure, Report, Shown, Walk};
use crate::model::UnixMs;

/// Objects that the text names; the JSON names them all.
const MOST_LISTED: usize = 200;

/// What a controller has to add, for the vault does not know it.
const OPEN: &str = "*to be filled in by the controller*";

pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = fill(&mut text, report);
    text
}

fn fill(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(text, "# Report of exposure\n")?;
    writeln!(
        text,
        "Window: {} to {}. Made {} by dashvault {}.\n",
        time(report.from_ms),
        time(report.to_ms),
        time(report.made_ms),
        report.service
    )?;
    if report.is_cut {
        writeln!(
            text,
            "**There is more than one report holds: make several of shorter windows.**\n"
        )?;
    }
    summary(text, report)?;
    for (number, one) in (1..).zip(&report.exposures) {
        exposure(text, number, one)?;
    }
    writeln!(text, "## What could not be told\n")?;
    if report.not_told.is_empty() {
        writeln!(
            text,
            "Nothing: a watch looked at every bucket through the whole window, and each of its verdicts was private or exposed.\n"
        )?;
    }
    for one in &report.not_told {
        let to = one.to_ms.map_or_else(|| "the window's end".to_owned(), time);
        let bucket = one.bucket;
        writeln!(
            text,
            "- not told: {bucket}: {} to {to}: {}",
            time(one.from_ms),
            one.reason
        )?;
    }
    writeln!(text, "\n## Signed statements\n")?;
    let told = &report.attestations;
    match (told.first_seq, told.last_seq, &told.head) {
        (Some(first), Some(last), Some(head)) => writeln!(
            text,
            "Statements {first} to {last} were made in the window; the last has the SHA-256 `{head}`. `dashvault exposure \
             attestations` gives them away, `dashvault exposure verify` checks them without the vault.\n"
        )?,
        _ => writeln!(text, "None was made in the window.\n")?,
    }
    notifications(text, report)
}

fn summary(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(text, "## In short\n")?;
    if report.exposures.is_empty() {
        let but = match report.not_told.len() {
            0 => String::new(),
            times => format!(" There are {times} times in which it could not be told: see below."),
        };
        return writeln!(text, "The watch saw no bucket open to strangers in the window.{but}\n");
    }
    writeln!(
        text,
        "| Bucket | may have been open from | seen open from | shut | objects | clips | owners | ciphertext |"
    )?;
    writeln!(text, "|---|---|---|---|---:|---:|---:|---|")?;
    for one in &report.exposures {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            one.bucket,
            one.last_private_ms.map_or_else(|| "unknown".to_owned(), time),
            time(one.first_seen_open_ms),
            one.closed_ms.map_or_else(|| "still open".to_owned(), time),
            one.reached.objects,
            one.reached.clips,
            one.reached.owners,
            shown(one.ciphertext.shown)
        )?;
    }
    writeln!(text)
}

const fn shown(shown: Shown) -> &'static str {
    match shown {
        Shown::Ciphertext => "all, as shown by a whole walk",
        Shown::NotAllCiphertext => "**NOT ALL: something there may be plaintext**",
        Shown::NotYet => "not shown yet: no whole walk since",
    }
}

fn exposure(text: &mut String, number: usize, one: &Exposure) -> std::fmt::Result {
    writeln!(text, "## Exposure {number}: the {} bucket\n", one.bucket)?;
    writeln!(text, "Ways in, each from the first to the last sight of it:\n")?;
    for way in &one.ways {
        let object = way
            .object
            .as_deref()
            .map_or_else(String::new, |name| format!(" of `{name}`"));
        writeln!(
            text,
            "- {} by {}{object}: {} to {}, {} (seen by {})",
            way.probe,
            way.form,
            time(way.first_seen_ms),
            time(way.last_seen_ms),
            way.shut_ms
                .map_or_else(|| "still open".to_owned(), |at| format!("shut {}", time(at))),
            way.watcher
        )?;
    }
    what_was_there(text, one)?;
    proof(text, one)?;
    writeln!(text, "### Objects\n")?;
    let named = &one.reached.named;
    for object in named.iter().take(MOST_LISTED) {
        let size = object
            .size_bytes
            .map_or_else(String::new, |size| format!(", {size} bytes"));
        writeln!(
            text,
            "- `{}`: {}{size}, written {}",
            object.object,
            object.kind,
            time(object.written_ms)
        )?;
    }
    match one.reached.objects as usize {
        all if all > MOST_LISTED.min(named.len()) => writeln!(
            text,
            "- and {} more: the JSON of this report names {}",
            all - MOST_LISTED.min(named.len()),
            if one.reached.is_cut {
                "the first of them"
            } else {
                "them all"
            }
        )?,
        0 => writeln!(text, "None.")?,
        _ => {}
    }
    writeln!(text)
}

fn what_was_there(text: &mut String, one: &Exposure) -> std::fmt::Result {
    let there = &one.reached;
    writeln!(text, "\n### What a stranger could learn\n")?;
    writeln!(
        text,
        "At most: that there are {} objects of {} bytes together, their random names, sizes and times of writing, and their sealed \
         bytes. Names tell of no owner, vehicle or time.\n",
        there.objects, there.bytes
    )?;
    if let (Some(first), Some(last)) = (there.first_written_ms, there.last_written_ms) {
        writeln!(text, "- written {} to {}", time(first), time(last))?;
    }
    let classes: Vec<_> = there
        .size_classes
        .iter()
        .map(|(size, n)| format!("{n} from {size}"))
        .collect();
    if !classes.is_empty() {
        writeln!(text, "- by size in bytes: {}", classes.join(", "))?;
    }
    let suites: Vec<_> = there
        .by_suite
        .iter()
        .map(|(suite, n)| format!("{n} of {suite}"))
        .collect();
    if !suites.is_empty() {
        writeln!(text, "- by kind: {}", suites.join(", "))?;
    }
    let epochs: Vec<_> = one.key_epochs.iter().map(u32::to_string).collect();
    writeln!(
        text,
        "- root key epochs: {}",
        if epochs.is_empty() {
            "none known".to_owned()
        } else {
            epochs.join(", ")
        }
    )?;
    if let Some(uploads) = there.uploads {
        writeln!(
            text,
            "- uploads under way, whose pieces went when they ended: {uploads}"
        )?;
    }
    writeln!(
        text,
        "- objects that were published within an hour after the end, and may have lain there, sealed, before it: {}",
        there.just_after
    )?;
    writeln!(
        text,
        "- clips and owners erased since the beginning, not counted above: {}\n",
        there.erased_since
    )
}

fn proof(text: &mut String, one: &Exposure) -> std::fmt::Result {
    writeln!(text, "### What shows that it was ciphertext\n")?;
    writeln!(text, "Verdict: {}.\n", shown(one.ciphertext.shown))?;
    for walk in &one.ciphertext.walks {
        proof_of(text, walk)?;
    }
    for found in &one.ciphertext.findings {
        writeln!(
            text,
            "- finding `{}`: {}{}; first seen {}, last seen {}, {}",
            found.object,
            found.finding,
            if found.is_not_ciphertext {
                " (**not shown to be ciphertext**)"
            } else {
                ""
            },
            time(found.first_seen_ms),
            time(found.last_seen_ms),
            found
                .gone_ms
                .map_or_else(|| "still there".to_owned(), |at| format!("gone {}", time(at)))
        )?;
    }
    writeln!(text)
}

fn proof_of(text: &mut String, walk: &Walk) -> std::fmt::Result {
    let forms: Vec<_> = walk.forms.iter().map(|(form, n)| format!("{n} of {form}")).collect();
    writeln!(
        text,
        "- walk {} to {}: {} objects ({}), {} findings, of them {} that may be plaintext; {} objects of {} clips were opened by \
         their keys and were what was sealed, but for the findings",
        time(walk.began_ms),
        time(walk.ended_ms),
        walk.objects,
        forms.join(", "),
        walk.findings,
        walk.not_sealed,
        walk.objects_opened,
        walk.clips_opened
    )
}

/// The points of both regulations: what the vault knows, and what it cannot.
fn notifications(text: &mut String, report: &Report) -> std::fmt::Result {
    let all = |of: fn(&Exposure) -> u64| report.exposures.iter().map(of).sum::<u64>();
    let (owners, clips, objects) = (
        all(|one| one.reached.owners),
        all(|one| one.reached.clips),
        all(|one| one.reached.objects),
    );
    let worst = report.exposures.iter().map(|one| one.ciphertext.shown);
    let is_shown = worst.clone().all(|shown| shown == Shown::Ciphertext);
    let consequence = match is_shown {
        true => "all objects were AES-256-GCM ciphertext with keys held apart from the bucket; see the proofs above",
        false => "not shown to be ciphertext throughout; see the findings above",
    };
    writeln!(text, "## For a notification\n")?;
    writeln!(
        text,
        "Counts are sums over the exposures above: who was in two is counted twice.\n"
    )?;
    writeln!(
        text,
        "| GDPR article 33(3) | Japan, APPI enforcement rules, article 8 | Facts |"
    )?;
    writeln!(text, "|---|---|---|")?;
    writeln!(
        text,
        "| (a) nature of the breach | (1) overview | {} times a bucket was open, as above |",
        report.exposures.len()
    )?;
    writeln!(
        text,
        "| (a) categories of data | (2) items of personal data | sealed clips and their sealed metadata; nothing in the clear but sizes and times |"
    )?;
    writeln!(
        text,
        "| (a) data subjects, approximately | (3) number of principals | {owners} owners; persons in the footage: {OPEN} |"
    )?;
    writeln!(
        text,
        "| (a) records, approximately | | {clips} clips, {objects} objects |"
    )?;
    writeln!(text, "| (b) contact | | {OPEN} |")?;
    writeln!(text, "| | (4) cause | the ways in above; why they were open: {OPEN} |")?;
    writeln!(
        text,
        "| (c) likely consequences | (5) secondary damage | {consequence} |"
    )?;
    writeln!(
        text,
        "| (d) measures | (6) response to principals, (7) publication, (8) prevention | shut as above; writes were withheld meanwhile unless configured otherwise; the rest: {OPEN} |"
    )
}

fn time(ms: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| ms.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}
