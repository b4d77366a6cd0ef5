-- What strangers get of our own buckets, as the watch saw it; a bucket is the word of its place: data, staging, keyplane.
-- Nothing here is anybody's: buckets belong to the deployment, so these rows name no tenant.
CREATE TABLE bucket_verdicts (
    bucket     TEXT   NOT NULL PRIMARY KEY,
    verdict    TEXT   NOT NULL,                -- private, exposed, unknown
    since_at   BIGINT NOT NULL,                -- of this verdict
    checked_at BIGINT NOT NULL,                -- the last round
    private_at BIGINT,                         -- when it was last proven private; none: never
    reason     TEXT   NOT NULL                 -- for people
);

-- Every change of a verdict, the first one too; rows are added, never changed.
CREATE TABLE verdict_changes (
    id         BYTEA  NOT NULL PRIMARY KEY,
    bucket     TEXT   NOT NULL,
    verdict    TEXT   NOT NULL,
    previous   TEXT,                           -- none: the first
    at         BIGINT NOT NULL,
    reason     TEXT   NOT NULL
);
CREATE INDEX verdict_changes_by_time ON verdict_changes (at, id);

-- Ways in that were found open, each from its first to its last seeing.
CREATE TABLE exposures (
    id         BYTEA  NOT NULL PRIMARY KEY,
    bucket     TEXT   NOT NULL,
    form       TEXT   NOT NULL,                -- of address: path-style, virtual-host, website, configured, folder
    probe      TEXT   NOT NULL,                -- what a stranger did
    object     TEXT,                           -- path of the object that was got, if it was one
    watcher    TEXT   NOT NULL,                -- who saw it: nobody else's rounds end it, for they look from elsewhere
    began_at   BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    ended_at   BIGINT                          -- the first round that found it shut
);
CREATE INDEX exposures_by_end ON exposures (ended_at, began_at);
CREATE INDEX exposures_by_bucket ON exposures (bucket, ended_at);

-- Sealed objects that hold nothing and belong to the vault itself, so that there is always something to ask for.
CREATE TABLE canaries (
    bucket     TEXT   NOT NULL PRIMARY KEY,
    object_id  BYTEA  NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Objects that the watch tried to write as a stranger: noted before the try, forgotten when it was refused.
CREATE TABLE probe_writes (
    name       BYTEA  NOT NULL PRIMARY KEY,    -- the id that the object's name is made of
    bucket     TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    removed_at BIGINT                          -- none: it may still lie there
);
CREATE INDEX probe_writes_left ON probe_writes (removed_at);
