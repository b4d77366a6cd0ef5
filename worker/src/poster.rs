//! One picture of the clip as JPEG.

use std::fs::File;
use std::io::Write as _;

use dashvault_worker_protocol::{Failure, MadeFile};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Flags;
use ffmpeg_next::{Dictionary, Packet, Rational, color, frame};

use crate::failure::Result;
use crate::graph::{Format, Scaler, Upright};
use crate::mux::Limited;

/// libav's scale runs from 1 (best) to 31; 4 looks like the video itself.
const QUALITY: i32 = 4;
/// FF_QP2LAMBDA: the factor between that scale and the field that takes it.
const LAMBDA: i32 = 118;

/// Waits for the picture that is wanted.
pub struct Poster {
    pipe: File,
    max_bytes: u64,
    width: u32,
    height: u32,
    upright: Upright,
    /// The first picture at this time or later is the one.
    wanted: i64,
    jpeg: Option<Vec<u8>>,
    is_final: bool,
}

impl Poster {
    /// A poster of the given size from about `wanted` ticks into the output.
    pub fn new(pipe: File, max_bytes: u64, (width, height): (u32, u32), upright: Upright, wanted: i64) -> Self {
        Self {
            pipe,
            max_bytes,
            width,
            height,
            upright,
            wanted,
            jpeg: None,
            is_final: false,
        }
    }

    /// Whether it has what it waits for.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// The next picture of the clip. The very first is taken too, for a clip that ends before the one that is wanted.
    pub fn push(&mut self, picture: &frame::Video) -> Result<()> {
        let time = picture.pts().unwrap_or(0);
        if self.is_final || (self.jpeg.is_some() && time < self.wanted) {
            return Ok(());
        }
        self.is_final = time >= self.wanted;
        let mut scaler = Scaler::new(self.upright, vec![(self.width, self.height)], Format::Still);
        let mut found = None;
        scaler.push(&picture.clone(), |_, still| {
            found = Some(encode(still)?);
            Ok(())
        })?;
        scaler.end(|_, still| {
            found = Some(encode(still)?);
            Ok(())
        })?;
        self.jpeg = found.or(self.jpeg.take());
        Ok(())
    }

    /// Writes it; `None` if there was no picture, or it is longer than the source.
    pub fn finish(self) -> Result<Option<MadeFile>> {
        let Some(jpeg) = self.jpeg else { return Ok(None) };
        let (mut limited, count) = Limited::new(self.pipe, self.max_bytes);
        let written = limited.write_all(&jpeg);
        written.map_err(|error| Failure::Internal(error.to_string()))?;
        Ok((!count.is_beyond()).then_some(MadeFile {
            bytes: count.bytes(),
            frames: 1,
        }))
    }
}

fn encode(still: &frame::Video) -> Result<Vec<u8>> {
    let codec = ffmpeg::encoder::find_by_name("mjpeg");
    let codec = codec.ok_or_else(|| Failure::Internal("no JPEG encoder".to_owned()))?;
    let mut encoder = ffmpeg::codec::Context::new_with_codec(codec).encoder().video()?;
    encoder.set_width(still.width());
    encoder.set_height(still.height());
    encoder.set_format(ffmpeg::format::Pixel::YUVJ420P);
    encoder.set_color_range(color::Range::JPEG);
    encoder.set_time_base(Rational(1, 25));
    encoder.set_global_quality(QUALITY * LAMBDA);
    // Bit-exact: no comment that names the library.
    encoder.set_flags(Flags::QSCALE | Flags::BITEXACT);
    let mut encoder = encoder.open_as_with(codec, Dictionary::new())?;
    encoder.send_frame(still)?;
    encoder.send_eof()?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet)?;
    Ok(packet.data().unwrap_or(&[]).to_vec())
}
