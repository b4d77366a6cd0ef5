-- What an owner may keep, where it is something else than what everybody may; 0 for nothing more at all.
ALTER TABLE owners ADD COLUMN most_bytes BIGINT;
ALTER TABLE owners ADD COLUMN most_clips BIGINT;
-- The same of each of the owner's vehicles.
ALTER TABLE owners ADD COLUMN most_bytes_each BIGINT;
ALTER TABLE owners ADD COLUMN most_clips_each BIGINT;
-- What an owner keeps is summed up at each creation: from these alone, without a look at the rows.
CREATE INDEX objects_by_size ON objects (clip_id, size_bytes);
CREATE INDEX clips_by_device ON clips (owner_id, device_id, state, id);
