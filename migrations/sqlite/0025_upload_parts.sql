-- whole; partial: a part of a clip, never one itself; final: made of partials.
ALTER TABLE uploads ADD COLUMN concat TEXT NOT NULL DEFAULT 'whole';

-- The partial uploads whose pieces, in this order, are a final upload's bytes.
CREATE TABLE upload_parts (
    part_id   BLOB   NOT NULL PRIMARY KEY,    -- each belongs to one final upload
    upload_id BLOB   NOT NULL REFERENCES uploads (id),
    place     BIGINT NOT NULL
);
CREATE UNIQUE INDEX upload_parts_by_upload ON upload_parts (upload_id, place);
