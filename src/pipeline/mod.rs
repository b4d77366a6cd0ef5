//! Leased jobs: finish an upload, make a link's media, erase; the sweep.
