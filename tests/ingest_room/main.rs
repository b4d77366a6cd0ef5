//! Ingest as a room: memory store, SQLite (PostgreSQL where rows are fought over), a clock that stands still.

mod again;
mod concat;
mod contention;
mod cuts;
mod ends;
mod lengths;
mod quotas;
mod refusals;
mod room;
mod shedding;
mod store;
mod taking_over;
