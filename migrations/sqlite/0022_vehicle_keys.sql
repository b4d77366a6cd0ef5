-- A vehicle's keys follow one another: the one that it announced, which takes public_key's place at its first use, and the one
-- before, which opens nothing and whose use tells of a copy.
ALTER TABLE devices ADD COLUMN next_key BLOB;
ALTER TABLE devices ADD COLUMN key_announced_at BIGINT;
ALTER TABLE devices ADD COLUMN previous_key BLOB;
ALTER TABLE devices ADD COLUMN key_since BIGINT;   -- by the vehicle's clock: its first token under public_key
CREATE INDEX devices_by_key ON devices (public_key);
CREATE INDEX devices_by_next_key ON devices (next_key);
CREATE INDEX devices_by_previous_key ON devices (previous_key);
-- From which starts of which machine its tokens came: hashes of 8 bytes, the newest first. No address is kept.
ALTER TABLE devices ADD COLUMN places BLOB;
ALTER TABLE devices ADD COLUMN place_since BIGINT; -- by the vehicle's clock: the first token of the newest
ALTER TABLE devices ADD COLUMN copied_at BIGINT;   -- when its owner was last told that there is a copy
