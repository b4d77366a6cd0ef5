//! The library's suite: lists, views, reads, trash and erasure, what a link shows. SQLite and a store in memory.

mod clips;
mod house;
mod lists;
mod reads;
mod real;
mod removals;
mod rendition;
