//! What to make of a clip.

use serde::{Deserialize, Serialize};

/// The outputs of one run of the worker, made from one decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order in which a report names them.
    pub outputs: Vec<Output>,
    /// Only this part of the clip; `None` is the whole.
    pub span: Option<Span>,
    /// The clip's claimed duration, or the span's.
    pub duration_ms: u64,
    /// Bits a second for the sound; `None` leaves it out.
    pub audio_bits: Option<u32>,
    /// No output may be longer.
    pub max_output_bytes: u64,
}

/// A part of a clip, in its display time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first picture shown at this time or later is the first.
    pub from_ms: u64,
    /// Pictures at this time or later are left out.
    pub to_ms: u64,
}

/// One thing to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// `source`, `1080p`, `720p`, `360p`, `poster`.
    pub name: String,
    /// How it is made.
    pub kind: OutputKind,
}

/// How an output is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputKind {
    /// The picture's packets as they are but for what is no picture; a fragmented MP4.
    Remux,
    /// H.264 in a fragmented MP4.
    Encode(Encode),
    /// One picture as JPEG.
    Poster {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
    },
}

/// How H.264 is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encode {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// x264's constant rate factor.
    pub crf: u8,
    /// Bits a second that are not passed over a buffer of `buffer_bits`.
    pub max_bits: u32,
    /// Size of the rate control's buffer.
    pub buffer_bits: u32,
}
