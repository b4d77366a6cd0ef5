-- Four of the id's random bytes, set when the row is made: count, sum of updated_at and sum of marks together tell whether
-- an owner's clips are the same ones as before, even when one went and another came with the same times.
ALTER TABLE clips ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;
DROP INDEX clips_by_change;
CREATE INDEX clips_by_change ON clips (owner_id, updated_at, mark);
