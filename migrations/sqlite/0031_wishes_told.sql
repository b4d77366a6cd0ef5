-- When the vehicle first heard of the wish, with its policy; by the service's clock.
ALTER TABLE wishes ADD COLUMN told_at BIGINT;
