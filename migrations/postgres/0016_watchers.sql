-- Who watches our own buckets, and when each last did: a watch that ends says nothing, so that somebody else must notice.
CREATE TABLE watchers (
    watcher     TEXT   NOT NULL PRIMARY KEY,   -- a word for the place from which it looks
    interval_ms BIGINT NOT NULL,               -- from one round to the next, as it was told to
    rounds      BIGINT NOT NULL,               -- ever
    round_at    BIGINT NOT NULL,               -- the last round; before the first one, since when it is expected
    seeing_at   BIGINT                         -- the last round that could tell anything of some bucket; none: never
);
