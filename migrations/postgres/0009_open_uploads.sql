-- How many uploads an owner has open is asked at every creation: not by walking everybody's.
CREATE INDEX uploads_by_owner ON uploads (owner_id, state, device_id);
