-- What somebody must be told, until every sink has it. No owner's data, no token and no key stands in any column.
CREATE TABLE notices (
    id         BYTEA  NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,                -- a stable word, such as bucket-exposed
    severity   TEXT   NOT NULL,                -- page, warning, info
    subject    TEXT   NOT NULL,                -- one line
    facts      TEXT   NOT NULL,
    repeats    BIGINT NOT NULL,                -- times that the same kind was raised when the queue was full of pages
    raised_at  BIGINT NOT NULL,
    settled_at BIGINT                          -- when its last delivery ended
);
CREATE INDEX notices_by_time ON notices (raised_at, id);
CREATE INDEX notices_waiting ON notices (severity, raised_at) WHERE settled_at IS NULL;

-- What was raised a short while ago and is not raised again at once.
CREATE TABLE notice_marks (
    once_for  TEXT   NOT NULL PRIMARY KEY,
    raised_at BIGINT NOT NULL
);

-- One notice on its way to one sink, by lease.
CREATE TABLE deliveries (
    id          BYTEA  NOT NULL PRIMARY KEY,
    notice_id   BYTEA  NOT NULL REFERENCES notices (id),
    sink        TEXT   NOT NULL,               -- log, webhook, email
    state       TEXT   NOT NULL,               -- waiting, sent, dead
    attempts    BIGINT NOT NULL,
    run_after   BIGINT NOT NULL,
    lease_id    BYTEA,
    lease_until BIGINT,
    failure     TEXT,                          -- why the last attempt failed: a word, never an answer's text
    ended_at    BIGINT
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (notice_id, sink);
CREATE INDEX deliveries_waiting ON deliveries (sink, run_after) WHERE state = 'waiting';

-- Counts that outlive the rows they count: sent, dead, dropped.
CREATE TABLE notice_totals (
    outcome TEXT   NOT NULL PRIMARY KEY,
    total   BIGINT NOT NULL
);
