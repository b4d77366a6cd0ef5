-- Times in which no watch looked at a bucket, so that nobody can say what strangers got of it then.
CREATE TABLE watch_gaps (
    id      BLOB   NOT NULL PRIMARY KEY,
    bucket  TEXT   NOT NULL,
    from_at BIGINT NOT NULL,                   -- the last look before
    to_at   BIGINT NOT NULL                    -- the first one after
);
CREATE INDEX watch_gaps_by_end ON watch_gaps (to_at, from_at);
