//! An owner's clips: lists, byte ranges, trash, erasure.
