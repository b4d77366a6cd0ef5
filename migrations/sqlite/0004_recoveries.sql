-- Times that this catalogue was rebuilt from the buckets; while one is not finished nothing is served from it.
CREATE TABLE recoveries (
    id          BLOB   NOT NULL PRIMARY KEY,
    began_at    BIGINT NOT NULL,
    finished_at BIGINT
);
