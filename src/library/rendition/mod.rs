//! How a rendition, one sealed fragmented MP4, is served: as HLS over byte ranges and as an ordinary MP4.

mod boxes;
mod plain;
mod playlist;
mod samples;
#[cfg(test)]
mod tests;

pub(super) use plain::{PLAIN_VERSION, PlainHeader};
pub(super) use playlist::{PLAYLIST_VERSION, main_playlist, media_playlist, stream_inf};
