//! The pipeline's room: real vault and catalogue, a store in memory that fails on demand, a fake transcoder.

mod crashes;
mod erase;
mod erase_owner;
mod fake;
mod faults;
mod finish;
mod links;
mod queue;
mod room;
