-- Every key that a vehicle had, or announced and never used, for as long as the vehicle's row: none of them opens anything or
-- pairs another vehicle, and a token under one that was made after `since` tells of a copy. It takes the place of
-- devices.previous_key and devices.key_since, which are read no more.
CREATE TABLE device_old_keys (
    device_id BYTEA  NOT NULL REFERENCES devices (id),
    key       BYTEA  NOT NULL,
    since     BIGINT NOT NULL,    -- by the service's clock at the latest: from then on its vehicle signs with another
    PRIMARY KEY (device_id, key)
);
CREATE INDEX device_old_keys_by_key ON device_old_keys (key);
INSERT INTO device_old_keys (device_id, key, since)
    SELECT id, previous_key, coalesce(key_since, paired_at) FROM devices WHERE previous_key IS NOT NULL;
-- New places that a vehicle spoke from within the hour that began at place_moves_since, by the service's clock.
ALTER TABLE devices ADD COLUMN place_moves BIGINT;
ALTER TABLE devices ADD COLUMN place_moves_since BIGINT;
