//! What the outside sees of clips, as JSON.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::model::{ClipId, ClipState, DeviceId, LinkId, OwnerId, UnixMs, moment};

/// A page of an owner's clips.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClipPage {
    /// Newest first, by recorded time, or received time where that is unknown.
    pub clips: Vec<ClipView>,
    /// Brings the next page; none after the last.
    pub next_cursor: Option<String>,
}

/// A clip as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ClipView {
    /// The clip.
    #[schema(value_type = String)]
    pub id: ClipId,
    /// Where it is.
    #[schema(value_type = String)]
    pub state: ClipState,
    /// How far the current work is, 0 to 1: bytes received while uploading, then the making of renditions.
    pub progress: f64,
    /// Less could be decoded than was claimed.
    pub incomplete: bool,
    /// When the camera recorded it; none when it did not say so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recorded_at: Option<Time>,
    /// When its upload was begun.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Time,
    /// Length of the picture.
    pub duration_ms: Option<u64>,
    /// Bytes of the original.
    pub bytes: Option<u64>,
    /// SHA-256 of the original, lower-case hexadecimal.
    pub sha256: Option<String>,
    /// The vehicle that sent it.
    #[schema(value_type = Option<String>)]
    pub device_id: Option<DeviceId>,
    /// The name the sender gave it.
    pub filename: Option<String>,
    /// Which camera took it, in the sender's word.
    pub camera: Option<String>,
    /// Why it was kept, in the sender's word: `event`, `routine` and such.
    pub kind: Option<String>,
    /// What can be played, the largest first.
    pub renditions: Vec<RenditionView>,
    /// It has sound.
    pub has_audio: bool,
    /// It has places.
    pub has_track: bool,
    /// Why it could not be made playable.
    pub error: Option<ClipError>,
    /// When it is erased, if it lies in the trash.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub erase_at: Option<Time>,
    /// It may be neither trashed nor erased.
    pub held: bool,
}

/// A playable form of a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RenditionView {
    /// Stands in the routes `renditions/{name}.mp4` and `hls/{name}.m3u8`.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// RFC 6381, or a short name of the codec.
    pub codec: String,
    /// Bytes of its fragments.
    pub bytes: u64,
}

/// Why a clip could not be made playable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClipError {
    /// A stable word.
    pub code: String,
    /// For people.
    pub detail: Option<String>,
}

/// What an insurer sees of a link.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedView {
    /// The link.
    #[schema(value_type = String)]
    pub link_id: LinkId,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// Whether the owner lets the viewer keep a copy.
    pub download: bool,
    /// What it shows.
    pub clip: SharedClip,
    /// Whether that can be watched yet.
    pub media: SharedMedia,
}

/// The span that a link shows.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedClip {
    /// Length of the span.
    pub duration_ms: Option<u64>,
    /// Begin of the span in the clip.
    pub from_ms: u64,
    /// End of the span in the clip.
    pub to_ms: u64,
    /// When the recording of the clip began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recorded_at: Option<Time>,
    /// SHA-256 of the whole original, which the viewer does not get.
    pub sha256_of_original: Option<String>,
    /// What can be played.
    pub renditions: Vec<RenditionView>,
}

/// How far the cut of a link is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedMedia {
    /// Where it is.
    pub state: SharedMediaState,
    /// 0 to 1.
    pub progress: f64,
}

/// Where the cut of a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SharedMediaState {
    /// A job makes it.
    Preparing,
    /// It can be watched.
    Ready,
    /// It could not be made.
    Failed,
}

/// The owner's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeView {
    /// The owner.
    #[schema(value_type = String)]
    pub owner_id: OwnerId,
    /// The owner's address.
    pub email: String,
    /// The owner's name.
    pub name: Option<String>,
    /// Clips, the trash included.
    pub clips: u64,
    /// Bytes of all sealed objects.
    pub storage_bytes: u64,
}

/// A time; in JSON an RFC 3339 text in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub UnixMs);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&moment(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds() {
        let text = |ms| serde_json::to_string(&Time(ms)).unwrap();
        assert_eq!(text(0), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(text(1_790_000_000_123), "\"2026-09-21T14:13:20.123Z\"");
        assert!(text(i64::MAX).starts_with("\"9999-12-3"));
    }
}
