-- Events wait longer for their rest than routine clips; cleared when the upload is finished or over.
ALTER TABLE uploads ADD COLUMN is_event BIGINT NOT NULL DEFAULT 0;
-- What a repeated creation finds its upload by: HMAC, under the index key, of owner, vehicle and what the vehicle says the
-- clip is. One made of the clip's SHA-256 is cleared when the upload is finished: from there clips.sha256_index finds it.
ALTER TABLE uploads ADD COLUMN begun_index BYTEA;
ALTER TABLE uploads ADD COLUMN begun_by_name BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX uploads_by_begun ON uploads (begun_index);
CREATE INDEX clips_by_sha256 ON clips (sha256_index);
