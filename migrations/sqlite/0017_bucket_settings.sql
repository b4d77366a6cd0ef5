-- How our own buckets are configured, as the watch last read it with the vault's own key; nothing here is anybody's.
CREATE TABLE bucket_settings (
    bucket   TEXT   NOT NULL,                  -- data, staging, keyplane
    setting  TEXT   NOT NULL,                  -- public-access-block, policy, acl and so on
    grade    TEXT   NOT NULL,                  -- fine, finding, not-checkable
    state    TEXT   NOT NULL,                  -- for people; the same words as long as it is the same
    since_at BIGINT NOT NULL,
    read_at  BIGINT NOT NULL,
    PRIMARY KEY (bucket, setting)
);

-- Every change, the first reading too; rows are added, never changed.
CREATE TABLE bucket_setting_changes (
    id       BLOB   NOT NULL PRIMARY KEY,
    bucket   TEXT   NOT NULL,
    setting  TEXT   NOT NULL,
    grade    TEXT   NOT NULL,
    state    TEXT   NOT NULL,
    previous TEXT,                             -- none: the first reading
    at       BIGINT NOT NULL
);
CREATE INDEX bucket_setting_changes_by_time ON bucket_setting_changes (at, id);
