//! What somebody must be told: the queue that room `post` delivers from, and how a notice gets into it.
//!
//! Whoever finds something raises a notice in the transaction that writes the finding, so that neither is there without the
//! other. Who is told, and by what way, is not the finder's business.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{NoticeId, Severity, UnixMs};

/// Notices that wait at the same time. Whoever reads them is a person; a thousand are past reading, and a finder that
/// raises more is at fault. At the bound the oldest of the least severity goes, a page never.
pub const MOST_WAITING: u64 = 1_000;
/// The same key raises one notice in this time.
pub const ONCE_MS: UnixMs = 24 * 3_600 * 1_000;
/// Characters of a subject: one line on a telephone, and in a header.
const MOST_SUBJECT: usize = 200;
/// Characters of the facts: a screen or two.
const MOST_FACTS: usize = 8_192;

/// A notice to raise. None of its texts holds an owner's data, a token or a key.
#[derive(Debug, Clone)]
pub struct NewNotice {
    /// A stable word, such as `bucket-exposed`: receivers sort by it.
    pub kind: &'static str,
    /// Who is to be woken.
    pub severity: Severity,
    /// What happened, in one line.
    pub subject: String,
    /// What is known and what to do, in lines.
    pub facts: String,
    /// The same key raises no second notice while the first is younger than a day. What ended and began anew is something
    /// new: then the key holds when it began.
    pub once_for: Option<String>,
}

/// A row of `notices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    pub id: NoticeId,
    pub kind: String,
    pub severity: Severity,
    pub subject: String,
    pub facts: String,
    /// Times that its kind was raised again when the queue was full of pages.
    pub repeats: u32,
    pub raised_at: UnixMs,
    /// When its last delivery ended; none while it waits.
    pub settled_at: Option<UnixMs>,
}

/// How the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoticeNumbers {
    /// Notices that some sink has not got.
    pub waiting: u64,
    /// When the oldest of them was raised.
    pub oldest_at: Option<UnixMs>,
    /// Deliveries that failed at least once and are tried again.
    pub failing: u64,
    /// Deliveries that were made, ever.
    pub sent: u64,
    /// Deliveries that were given up, ever.
    pub dead: u64,
    /// Notices that went because the queue was full, ever.
    pub dropped: u64,
}

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, severity, subject, facts, repeats, raised_at, settled_at FROM notices ",
            $rest
        )
    };
}

impl Catalog {
    /// Raises a notice in a transaction of its own; see [`Tx::raise_notice`].
    pub async fn raise_notice(&self, notice: &NewNotice, now: UnixMs) -> Result<bool, CatalogError> {
        let mut tx = self.begin().await?;
        let raised = tx.raise_notice(notice, now).await?;
        tx.commit().await?;
        Ok(raised)
    }

    /// At most `limit` notices, newest first.
    pub async fn newest_notices(&self, limit: u32) -> Result<Vec<NoticeRow>, CatalogError> {
        let rows = sqlx::query(select!("ORDER BY raised_at DESC, id DESC LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }

    /// How the queue is.
    pub async fn notice_numbers(&self) -> Result<NoticeNumbers, CatalogError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM notices WHERE settled_at IS NULL) AS waiting, \
             (SELECT MIN(raised_at) FROM notices WHERE settled_at IS NULL) AS oldest_at, \
             (SELECT COUNT(*) FROM deliveries WHERE state = 'waiting' AND failure IS NOT NULL) AS failing, \
             COALESCE((SELECT total FROM notice_totals WHERE outcome = 'sent'), 0) AS sent, \
             COALESCE((SELECT total FROM notice_totals WHERE outcome = 'dead'), 0) AS dead, \
             COALESCE((SELECT total FROM notice_totals WHERE outcome = 'dropped'), 0) AS dropped",
        )
        .fetch_one(self.readers())
        .await?;
        let row = Row::new("notices", &row);
        Ok(NoticeNumbers {
            waiting: row.size("waiting")?,
            oldest_at: row.maybe_int("oldest_at")?,
            failing: row.size("failing")?,
            sent: row.size("sent")?,
            dead: row.size("dead")?,
            dropped: row.size("dropped")?,
        })
    }
}

impl Tx {
    /// Puts a notice into the queue; false when its key was raised within the last day, or when the queue is full of what is
    /// worse.
    pub async fn raise_notice(&mut self, notice: &NewNotice, now: UnixMs) -> Result<bool, CatalogError> {
        if let Some(key) = &notice.once_for
            && !self.mark_raised(key, now).await?
        {
            return Ok(false);
        }
        if self.waiting_notices().await? >= MOST_WAITING && !self.make_room(notice.severity).await? {
            if notice.severity != Severity::Page {
                self.count_outcome("dropped", 1).await?;
                self.unmark(notice.once_for.as_deref()).await?;
                return Ok(false);
            }
            if self.repeat_page(notice.kind).await? {
                return Ok(true);
            }
            // The first page of its kind: there are as many more of them as there are kinds.
        }
        sqlx::query(
            "INSERT INTO notices (id, kind, severity, subject, facts, repeats, raised_at) VALUES ($1, $2, $3, $4, $5, 0, $6)",
        )
        .bind(NoticeId::random().as_bytes().to_vec())
        .bind(notice.kind)
        .bind(notice.severity.as_str())
        .bind(one_line(&notice.subject))
        .bind(lines(&notice.facts))
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(true)
    }

    /// Removes notices raised before a time, with their deliveries, and marks that say nothing any more; how many notices
    /// they were, at most `limit`.
    pub async fn remove_old_notices(&mut self, before: UnixMs, now: UnixMs, limit: u32) -> Result<u64, CatalogError> {
        sqlx::query("DELETE FROM notice_marks WHERE raised_at <= $1")
            .bind(now - ONCE_MS)
            .execute(self.connection())
            .await?;
        let old = sqlx::query("SELECT id FROM notices WHERE raised_at < $1 ORDER BY raised_at, id LIMIT $2")
            .bind(before)
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await?;
        for row in &old {
            self.remove_notice(Row::new("notices", row).id("id")?).await?;
        }
        Ok(old.len() as u64)
    }

    /// Adds to a count that outlives its rows.
    pub(super) async fn count_outcome(&mut self, outcome: &'static str, by: u64) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO notice_totals (outcome, total) VALUES ($1, $2) \
             ON CONFLICT (outcome) DO UPDATE SET total = notice_totals.total + excluded.total",
        )
        .bind(outcome)
        .bind(i64::try_from(by).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// One notice, read in this transaction.
    pub(super) async fn notice(&mut self, id: NoticeId) -> Result<Option<NoticeRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Whether a key may raise now; it is marked if so.
    async fn mark_raised(&mut self, key: &str, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "INSERT INTO notice_marks (once_for, raised_at) VALUES ($1, $2) \
             ON CONFLICT (once_for) DO UPDATE SET raised_at = excluded.raised_at WHERE notice_marks.raised_at <= $3",
        )
        .bind(one_line(key))
        .bind(now)
        .bind(now - ONCE_MS)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// What was not kept may be raised again at once.
    async fn unmark(&mut self, key: Option<&str>) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM notice_marks WHERE once_for = $1")
            .bind(key.map(one_line))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn waiting_notices(&mut self) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS waiting FROM notices WHERE settled_at IS NULL")
            .fetch_one(self.connection())
            .await?;
        Row::new("notices", &row).size("waiting")
    }

    /// Drops the oldest waiting notice of the least severity that is not above the newcomer's; false when there is none.
    async fn make_room(&mut self, newcomer: Severity) -> Result<bool, CatalogError> {
        for severity in [Severity::Info, Severity::Warning] {
            if severity == Severity::Warning && newcomer == Severity::Info {
                continue;
            }
            let oldest = sqlx::query(
                "SELECT id FROM notices WHERE settled_at IS NULL AND severity = $1 ORDER BY raised_at, id LIMIT 1",
            )
            .bind(severity.as_str())
            .fetch_optional(self.connection())
            .await?;
            if let Some(row) = oldest {
                self.remove_notice(Row::new("notices", &row).id("id")?).await?;
                self.count_outcome("dropped", 1).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts a page on the newest one of its kind that waits; false when none does.
    async fn repeat_page(&mut self, kind: &'static str) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE notices SET repeats = repeats + 1 WHERE id = (SELECT id FROM notices \
             WHERE settled_at IS NULL AND severity = 'page' AND kind = $1 ORDER BY raised_at DESC, id DESC LIMIT 1)",
        )
        .bind(kind)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn remove_notice(&mut self, id: NoticeId) -> Result<(), CatalogError> {
        for text in [
            "DELETE FROM deliveries WHERE notice_id = $1",
            "DELETE FROM notices WHERE id = $1",
        ] {
            sqlx::query(text)
                .bind(id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }
}

/// A text that stands in one line and in a mail's header: no control characters.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MOST_SUBJECT).collect()
}

/// Lines without other control characters.
fn lines(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    plain.take(MOST_FACTS).collect()
}

fn read(row: &AnyRow) -> Result<NoticeRow, CatalogError> {
    let row = Row::new("notices", row);
    Ok(NoticeRow {
        id: row.id("id")?,
        kind: row.text("kind")?,
        severity: row.state("severity")?,
        subject: row.text("subject")?,
        facts: row.text("facts")?,
        repeats: row.count("repeats")?,
        raised_at: row.int("raised_at")?,
        settled_at: row.maybe_int("settled_at")?,
    })
}
