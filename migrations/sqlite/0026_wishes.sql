-- What owners ask their vehicles for: the full clip of which the small rendition came. Ids and the times of the wish alone; what
-- the clip shows, where and when is sealed with the clip.
CREATE TABLE wishes (
    clip_id     BLOB   NOT NULL PRIMARY KEY REFERENCES clips (id),    -- the one that came
    owner_id    BLOB   NOT NULL REFERENCES owners (id),
    device_id   BLOB   NOT NULL REFERENCES devices (id),
    state       TEXT   NOT NULL,               -- open, come, missing
    answer_id   BLOB,                          -- the clip that came for it
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    answered_at BIGINT
);
CREATE INDEX wishes_by_device ON wishes (device_id, state);
CREATE INDEX wishes_by_answer ON wishes (answer_id);
