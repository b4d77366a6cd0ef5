//! Supervises the media worker and plans what to make of a clip.
