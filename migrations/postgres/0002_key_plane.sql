-- The key plane's mirror: which object holds which record, one row for each record of each object that stands. An object
-- is in the key plane before its rows are here; while it is written it stands in `intents`.
CREATE TABLE mirrors (
    object_id  BYTEA  NOT NULL,
    tenant_id  BYTEA  NOT NULL REFERENCES tenants (id),
    kind       TEXT   NOT NULL,                -- envelope, kek, system, tombstone
    subject_id BYTEA  NOT NULL,                -- clip, KEK, tenant, what is erased
    revision   BIGINT NOT NULL,
    state      TEXT   NOT NULL,                -- newest; old: superseded, its object holds others that are not;
                                               -- ahead: found in the key plane, newer than the row that it mirrors
    packed     BIGINT NOT NULL,                -- records in the object when it was written
    created_at BIGINT NOT NULL,
    PRIMARY KEY (object_id, subject_id)
);
CREATE UNIQUE INDEX mirrors_newest ON mirrors (subject_id, kind) WHERE state = 'newest';
CREATE INDEX mirrors_by_subject ON mirrors (subject_id, kind);
CREATE INDEX mirrors_by_packed ON mirrors (kind, packed) WHERE state = 'newest';
CREATE INDEX mirrors_old ON mirrors (object_id) WHERE state = 'old';
CREATE INDEX mirrors_ahead ON mirrors (kind) WHERE state = 'ahead';

-- Erasures that were ordered: the signed tombstone stands here and in the key plane before anything is destroyed, and the
-- signed receipt afterwards. Rows stay, so that what was erased never comes back.
CREATE TABLE erasures (
    id         BYTEA  NOT NULL PRIMARY KEY,   -- random; an owner's receipt is fetched by it
    tenant_id  BYTEA  NOT NULL REFERENCES tenants (id),
    kind       TEXT   NOT NULL,                -- clip, owner, epoch
    subject_id BYTEA  NOT NULL,
    owner_id   BYTEA ,                         -- of a clip; cleared when the owner is erased
    tombstone  BYTEA  NOT NULL,                -- signed
    ordered_at BIGINT NOT NULL,
    receipt    TEXT,                           -- signed, once nothing is left
    done_at    BIGINT
);
CREATE UNIQUE INDEX erasures_by_subject ON erasures (subject_id, kind);
CREATE INDEX erasures_by_owner ON erasures (owner_id);
