-- Credentials that open nothing and were planted where only somebody who should not look finds them: their use is an alarm.
CREATE TABLE decoys (
    id            BLOB   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    trap_hash     BLOB   NOT NULL UNIQUE,      -- SHA-256 of what is shown when it is used; never the secret
    public_key    BLOB,                        -- a vehicle's
    place         TEXT   NOT NULL,             -- where it was planted, in the operator's words
    created_at    BIGINT NOT NULL,
    first_used_at BIGINT,
    last_used_at  BIGINT,
    uses          BIGINT NOT NULL
);
