//! Clips: states, envelopes, sealed summaries.
