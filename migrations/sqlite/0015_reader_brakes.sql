-- What each reader has used of an hour's allowance: one row for a reader and a kind of reading, gone once the allowance is whole again.
CREATE TABLE reader_brakes (
    credential_id BLOB   NOT NULL,             -- a session, a token or a link's session
    reach         TEXT   NOT NULL,             -- media or still
    whole_at      BIGINT NOT NULL,             -- when the allowance is whole again
    granted       BIGINT NOT NULL,             -- whether the last who asked got what they asked for
    PRIMARY KEY (credential_id, reach)
);
CREATE INDEX reader_brakes_by_time ON reader_brakes (whole_at);
