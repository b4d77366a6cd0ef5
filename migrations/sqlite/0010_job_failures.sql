-- Attempts that came back with a failure since the last step that was kept; `attempts` counts those that never came back too.
ALTER TABLE jobs ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
