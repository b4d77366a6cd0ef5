//! Uploads under way, and tombstones of ended ones.
