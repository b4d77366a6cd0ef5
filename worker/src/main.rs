//! The media worker: decodes and encodes one clip in a sandbox of its own.

fn main() {}
