//! Ingest as a room: memory store, SQLite, a clock that stands still.

mod cuts;
mod ends;
mod refusals;
mod room;
mod store;
mod taking_over;
