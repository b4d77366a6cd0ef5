//! The outside face of the real program: who may call what, problems, ranges, sessions, limits, what is never told.

mod authority;
mod decoys;
mod draft;
mod gate;
mod listener;
mod policy;
mod problems;
mod quotas;
mod ranges;
mod sessions;
mod silence;
mod sold;
mod streams;
mod vehicles;
mod world;
