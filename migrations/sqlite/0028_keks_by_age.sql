-- A rotation walks over every key in the order in which they were made, which is the order in which they lie: a batch reads
-- and writes few pages, where the order of their random ids would touch another page for each.
CREATE INDEX keks_by_age ON keks (tenant_id, created_at, id);
