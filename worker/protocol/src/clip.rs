//! What a probe found out about a clip.

use serde::{Deserialize, Serialize};

/// What is in a clip. All of it is the sender's claim, read by a process that may have been taken over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// libav's name of the codec, for example `h264`.
    pub codec: String,
    /// As decoded, before rotation.
    pub width: u32,
    /// As decoded, before rotation.
    pub height: u32,
    /// Degrees to turn clockwise for display: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Mean pictures in 1,000 s.
    pub frames_per_1000s: u64,
    /// libav's name of the pixel format, for example `yuv420p`.
    pub pixel_format: String,
    /// Pictures are whole, not interlaced fields.
    pub progressive: bool,
    /// Sum of the packets; 0 when it was not counted.
    pub bytes: u64,
    /// Packets of the stream; 0 when they were not counted.
    pub packets: u64,
    /// The longest way from one key frame to the next; `None` when it was not counted.
    pub longest_gop_ms: Option<u64>,
    /// Decode times only grow, and the first packet is a key frame.
    pub orderly: bool,
}

/// The sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// libav's name of the codec.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// Bits a second; 0 when unknown.
    pub bit_rate: u64,
}
