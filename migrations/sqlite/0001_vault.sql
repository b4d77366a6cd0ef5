-- The catalogue's first shape. Clear columns are random ids and references, tenants, states, counters, suites,
-- padded sizes, commitments, offsets and server times (unix milliseconds); every column named sealed_* is ciphertext.

CREATE TABLE tenants (
    id          BLOB   NOT NULL PRIMARY KEY,
    created_at  BIGINT NOT NULL
);

-- One revision of the system record a root epoch; the record is wrapped by the root key.
CREATE TABLE system_records (
    tenant_id   BLOB   NOT NULL REFERENCES tenants (id),
    epoch       BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    record      BLOB   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, epoch)
);

CREATE TABLE owners (
    id             BLOB   NOT NULL PRIMARY KEY,
    tenant_id      BLOB   NOT NULL REFERENCES tenants (id),
    state          TEXT   NOT NULL,            -- active, erasing, erased
    email_index    BLOB,                       -- HMAC under the index key of index_epoch
    index_epoch    BIGINT NOT NULL,
    sealed_profile BLOB,                       -- field key: e-mail, name
    created_at     BIGINT NOT NULL,
    erased_at      BIGINT
);
CREATE UNIQUE INDEX owners_by_email ON owners (tenant_id, email_index);

-- An owner's key-encryption keys; `record` is a whole DCVK record.
CREATE TABLE keks (
    id          BLOB   NOT NULL PRIMARY KEY,
    tenant_id   BLOB   NOT NULL REFERENCES tenants (id),
    owner_id    BLOB   NOT NULL REFERENCES owners (id),
    version     BIGINT NOT NULL,
    state       TEXT   NOT NULL,               -- active, retired
    epoch       BIGINT NOT NULL,               -- root epoch of the wrap
    record      BLOB   NOT NULL,
    revision    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX keks_by_owner ON keks (owner_id, version);

CREATE TABLE pairing_codes (
    id           BLOB   NOT NULL PRIMARY KEY,
    tenant_id    BLOB   NOT NULL REFERENCES tenants (id),
    owner_id     BLOB   NOT NULL REFERENCES owners (id),
    finder       TEXT   NOT NULL,              -- the code's first characters: a wrong guess counts against the code it meant
    code_hash    BLOB   NOT NULL,              -- HMAC of the whole code
    sealed_about BLOB   NOT NULL,              -- field key: label, VIN, plate
    tries_left   BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT
);
CREATE UNIQUE INDEX pairing_codes_by_finder ON pairing_codes (tenant_id, finder);

CREATE TABLE devices (
    id           BLOB   NOT NULL PRIMARY KEY,
    tenant_id    BLOB   NOT NULL REFERENCES tenants (id),
    owner_id     BLOB   NOT NULL REFERENCES owners (id),
    state        TEXT   NOT NULL,              -- active, revoked
    public_key   BLOB   NOT NULL,
    sealed_about BLOB   NOT NULL,              -- field key: label, VIN, plate
    vin_index    BLOB,                         -- HMAC inside one owner
    paired_at    BIGINT NOT NULL,
    last_seen_at BIGINT,
    revoked_at   BIGINT
);
CREATE INDEX devices_by_owner ON devices (owner_id);

-- Owners' API tokens, web sessions, one-time sign-in links, and links' viewing sessions. Only hashes are kept.
CREATE TABLE credentials (
    id          BLOB   NOT NULL PRIMARY KEY,
    tenant_id   BLOB   NOT NULL REFERENCES tenants (id),
    owner_id    BLOB   NOT NULL REFERENCES owners (id),
    kind        TEXT   NOT NULL,               -- api, web, sign_in, link
    link_id     BLOB,
    secret_hash BLOB   NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    used_at     BIGINT,
    revoked_at  BIGINT
);
CREATE UNIQUE INDEX credentials_by_hash ON credentials (secret_hash);
CREATE INDEX credentials_by_owner ON credentials (owner_id);
CREATE INDEX credentials_by_link ON credentials (link_id);

CREATE TABLE clips (
    id             BLOB   NOT NULL PRIMARY KEY,
    tenant_id      BLOB   NOT NULL REFERENCES tenants (id),
    owner_id       BLOB   NOT NULL REFERENCES owners (id),
    device_id      BLOB,
    state          TEXT   NOT NULL,            -- uploading, queued, transcoding, ready, failed, trashed, erasing
    state_before   TEXT,                       -- what restore goes back to
    progress       BIGINT NOT NULL,            -- per mille of the current work
    incomplete     BIGINT NOT NULL,            -- 1 when less than what was claimed could be decoded
    error_code     TEXT,
    kek_version    BIGINT,
    envelope       BLOB,                   -- a whole DCVE record: wrapped DEK and manifest; overwritten at erasure
    sealed_summary BLOB,                       -- DEK: fixed size; recorded time, duration, device, kind, flags
    sealed_details BLOB,                       -- DEK: SHA-256, exact length, file name, place, times
    sha256_index   BLOB,                       -- HMAC inside one owner and vehicle
    held           BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    trashed_at     BIGINT,
    erase_at       BIGINT
);
CREATE INDEX clips_by_owner ON clips (owner_id, state, created_at);
CREATE INDEX clips_by_change ON clips (owner_id, updated_at);
CREATE INDEX clips_to_erase ON clips (erase_at);

-- Published sealed objects. Kind, rendition, exact length and hash are in sealed_about.
CREATE TABLE objects (
    id           BLOB   NOT NULL PRIMARY KEY,
    tenant_id    BLOB   NOT NULL REFERENCES tenants (id),
    clip_id      BLOB   NOT NULL REFERENCES clips (id),
    link_id      BLOB,                         -- set for a link's own media
    suite        BIGINT NOT NULL,
    log2_segment BIGINT NOT NULL,
    padded_size  BIGINT NOT NULL,              -- padded plaintext bytes
    size_bytes   BIGINT NOT NULL,              -- whole object
    commitment   BLOB   NOT NULL,
    sealed_about BLOB   NOT NULL,              -- DEK: kind, rendition, exact length, SHA-256, picture size, codec
    created_at   BIGINT NOT NULL
);
CREATE INDEX objects_by_clip ON objects (clip_id, link_id);
CREATE INDEX objects_by_link ON objects (link_id);

-- Uploads under way, and tombstones of ended ones. `length` and `received` are cleared when the clip is published.
CREATE TABLE uploads (
    id              BLOB   NOT NULL PRIMARY KEY,   -- also the clip's id
    tenant_id       BLOB   NOT NULL REFERENCES tenants (id),
    owner_id        BLOB   NOT NULL REFERENCES owners (id),
    device_id       BLOB,
    state           TEXT   NOT NULL,           -- open, complete, finished, ended (owner's), expired
    epoch           BIGINT NOT NULL,           -- raised by every newer request: a fence
    received        BIGINT NOT NULL,           -- durable offset
    length          BIGINT,
    sealed_metadata BLOB,                      -- HPKE to the ingest key
    expires_at      BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX uploads_by_state ON uploads (state, expires_at);

-- Each process that receives makes an upload key of its own and seals it to the ingest key.
CREATE TABLE upload_keys (
    id         BLOB   NOT NULL PRIMARY KEY,
    upload_id  BLOB   NOT NULL REFERENCES uploads (id),
    sealed_key BLOB   NOT NULL
);
CREATE INDEX upload_keys_by_upload ON upload_keys (upload_id);

CREATE TABLE pieces (
    id         BLOB   NOT NULL PRIMARY KEY,    -- object id in the staging location
    upload_id  BLOB   NOT NULL REFERENCES uploads (id),
    key_id     BLOB   NOT NULL REFERENCES upload_keys (id),
    start_at   BIGINT NOT NULL,
    length     BIGINT NOT NULL,
    commitment BLOB   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX pieces_by_upload ON pieces (upload_id, start_at);

CREATE TABLE jobs (
    id          BLOB   NOT NULL PRIMARY KEY,
    tenant_id   BLOB   NOT NULL REFERENCES tenants (id),
    kind        TEXT   NOT NULL,               -- finish, link_media, erase_clip, erase_owner
    owner_id    BLOB   NOT NULL,
    clip_id     BLOB,
    link_id     BLOB,
    state       TEXT   NOT NULL,               -- queued, running, done, failed
    attempts    BIGINT NOT NULL,
    lease_id    BLOB,                          -- random a lease: stands in the WHERE of every write
    lease_until BIGINT,
    run_after   BIGINT NOT NULL,
    progress    BIGINT NOT NULL,
    error_code  TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, run_after);
CREATE INDEX jobs_by_clip ON jobs (clip_id);

-- Objects that are being written. A row stands before the first byte and leaves in the transaction that publishes.
CREATE TABLE intents (
    object_id    BLOB   NOT NULL PRIMARY KEY,
    tenant_id    BLOB   NOT NULL REFERENCES tenants (id),
    location     TEXT   NOT NULL,              -- data, staging
    holder_id    BLOB   NOT NULL,              -- the job's or the upload's id
    multipart_id TEXT,
    lease_until  BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX intents_by_lease ON intents (lease_until);
CREATE INDEX intents_by_holder ON intents (holder_id);

CREATE TABLE links (
    id           BLOB   NOT NULL PRIMARY KEY,
    tenant_id    BLOB   NOT NULL REFERENCES tenants (id),
    owner_id     BLOB   NOT NULL REFERENCES owners (id),
    clip_id      BLOB   NOT NULL REFERENCES clips (id),
    secret_hash  BLOB   NOT NULL,              -- SHA-256 of the token's random bytes
    sealed_about BLOB   NOT NULL,              -- DEK: recipient, span, audio, location, download
    media_state  TEXT   NOT NULL,              -- preparing, ready, failed, removed
    error_code   TEXT,
    opens        BIGINT NOT NULL,
    max_opens    BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    revoked_at   BIGINT
);
CREATE INDEX links_by_owner ON links (owner_id, created_at);
CREATE INDEX links_by_clip ON links (clip_id);
CREATE INDEX links_by_end ON links (media_state, expires_at);

-- What happened, append-only but for a viewing's last time.
CREATE TABLE events (
    id          BLOB   NOT NULL PRIMARY KEY,
    tenant_id   BLOB   NOT NULL REFERENCES tenants (id),
    owner_id    BLOB   NOT NULL REFERENCES owners (id),
    kind        TEXT   NOT NULL,
    clip_id     BLOB,
    link_id     BLOB,
    viewing     BLOB,                          -- session, clip and kind of media, while the viewing may go on
    sealed_text BLOB,                          -- field key
    at          BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    count       BIGINT NOT NULL
);
CREATE INDEX events_by_owner ON events (owner_id, at);
CREATE UNIQUE INDEX events_by_viewing ON events (viewing);
