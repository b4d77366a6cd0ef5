//! What a probe found out about a clip.

use serde::{Deserialize, Serialize};

/// What is in a clip. All of it is the sender's claim, read by a process that may have been taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// libav's short name of the container.
    pub format: String,
    /// Bytes of the whole file.
    pub size_bytes: u64,
    /// As claimed by the container; 0 when it says nothing.
    pub duration_ms: u64,
    /// The stream that a player would choose.
    pub video: Video,
    /// The stream that a player would choose.
    pub audio: Option<Audio>,
}

/// The picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// libav's name of the codec, for example `h264`.
    pub codec: String,
    /// libav's number of the profile, for H.264 `profile_idc` with its constraint flags.
    pub profile: i32,
    /// libav's name of the pixel format, for example `yuv420p`.
    pub pixel_format: String,
    /// As decoded, before rotation.
    pub width: u32,
    /// As decoded, before rotation.
    pub height: u32,
    /// Width and height of one pixel, as a proportion; (1, 1) when the file says nothing.
    pub pixel_aspect: (u32, u32),
    /// Degrees to turn clockwise for display: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Mean pictures in 1,000 s; 0 when unknown.
    pub frames_per_1000s: u64,
    /// Pictures are whole, not interlaced fields.
    pub progressive: bool,
    /// What was learned from the packets; `None` when they were not looked at.
    pub packets: Option<Packets>,
}

/// The picture's packets, as the file lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// How many.
    pub count: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// The longest way from one key frame to the next or to the end.
    pub longest_gop_ms: u64,
    /// The first is a key frame, decode times only grow, and none is marked not to be shown.
    pub orderly: bool,
}

/// The sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// libav's name of the codec.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// Bits a second; 0 when unknown.
    pub bit_rate: u64,
}
