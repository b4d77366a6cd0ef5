-- Proof over time that what lies in our buckets is ciphertext, and that nobody strange got at it.

-- Who walks through the buckets now, by lease: one row.
CREATE TABLE inventory_turns (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder_id  BLOB   NOT NULL,
    held_until BIGINT NOT NULL
);

-- One walk through one bucket: first what lies there, then what the rows name, then a sample that is opened.
CREATE TABLE inventory_runs (
    id             BLOB   NOT NULL PRIMARY KEY,
    bucket         TEXT   NOT NULL,
    stage          TEXT   NOT NULL,            -- objects, rows, sample, done
    cursor_at      TEXT,                       -- what was looked at last in this stage
    objects        BIGINT NOT NULL,            -- looked at
    bytes          BIGINT NOT NULL,            -- that they have together
    rows_checked   BIGINT NOT NULL,            -- rows whose objects were asked for
    findings       BIGINT NOT NULL,
    not_sealed     BIGINT NOT NULL,            -- of them, those that may be plaintext
    clips_opened   BIGINT NOT NULL,
    objects_opened BIGINT NOT NULL,
    forms          TEXT   NOT NULL,            -- how many of each format, version and suite
    began_at       BIGINT NOT NULL,
    moved_at       BIGINT NOT NULL,
    ended_at       BIGINT                      -- none while it goes on
);
CREATE INDEX inventory_runs_by_end ON inventory_runs (bucket, ended_at);
-- Whoever begins a second walk through a bucket loses.
CREATE UNIQUE INDEX inventory_runs_open ON inventory_runs (bucket) WHERE ended_at IS NULL;

-- What a walk found, from the first to the last walk that did.
CREATE TABLE inventory_findings (
    id       BLOB   NOT NULL PRIMARY KEY,
    bucket   TEXT   NOT NULL,
    flaw     TEXT   NOT NULL,
    name     TEXT   NOT NULL,                  -- ours as it is; of a foreign one the SHA-256, for it may tell of somebody
    clip_id  BLOB,                             -- of what was opened
    run_id   BLOB   NOT NULL,                  -- the last walk that found it
    began_at BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL,
    ended_at BIGINT                            -- the first walk that did not
);
CREATE UNIQUE INDEX inventory_findings_open ON inventory_findings (bucket, flaw, name) WHERE ended_at IS NULL;
CREATE INDEX inventory_findings_by_end ON inventory_findings (ended_at, began_at);

-- Signed statements, each chained to the one before; rows are added, never changed.
CREATE TABLE attestations (
    seq     BIGINT NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    sha256  BLOB   NOT NULL,                   -- of the statement: what the next one names
    changes BIGINT NOT NULL,                   -- changes of verdicts that it knows of
    line    TEXT   NOT NULL                    -- statement and signature, as they are given away
);

-- Times in which a bucket was not proven private after it had been seen open.
CREATE TABLE exposure_spans (
    id                BLOB   NOT NULL PRIMARY KEY,
    bucket            TEXT   NOT NULL,
    private_before_at BIGINT,                  -- when it was last proven private before; none: never
    opened_at         BIGINT NOT NULL,         -- first seen open
    closed_at         BIGINT                   -- first proven private again; none: not yet
);
CREATE INDEX exposure_spans_by_end ON exposure_spans (bucket, closed_at);
INSERT INTO exposure_spans (id, bucket, opened_at, closed_at)
    SELECT id, bucket, at, (SELECT MIN(later.at) FROM verdict_changes later WHERE later.bucket = verdict_changes.bucket
        AND later.verdict = 'private' AND later.at >= verdict_changes.at)
    FROM verdict_changes WHERE verdict = 'exposed';

ALTER TABLE bucket_verdicts ADD COLUMN rounds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE bucket_verdicts ADD COLUMN changes BIGINT NOT NULL DEFAULT 0;
