//! The source's own pictures as top rung: packets as they are, but for what is no picture.

use std::fs::File;

use dashvault_worker_protocol::MadeFile;
use ffmpeg_next::codec::Parameters;
use ffmpeg_next::{Packet, Rational, Rescale as _, Stream};

use crate::failure::Result;
use crate::libav;
use crate::mux::{Muxer, PICTURE_TICKS};
use crate::nal::{self, Framing};
use crate::timeline::Timeline;

/// Copies the packets of one H.264 stream.
pub struct Copy {
    muxer: Muxer,
    framing: Framing,
    time_base: Rational,
    begun: bool,
}

impl Copy {
    /// Opens the muxer.
    pub fn open(pipe: File, stream: &Stream<'_>, max_bytes: u64, sound: Option<&Parameters>) -> Result<Self> {
        let (parameters, framing) = libav::clean_parameters(stream.parameters().clone())?;
        Ok(Self {
            muxer: Muxer::new(pipe, max_bytes, &parameters, sound)?,
            framing,
            time_base: stream.time_base(),
            begun: false,
        })
    }

    /// The next packet of the picture.
    pub fn push(&mut self, packet: &Packet, timeline: &Timeline) -> Result<()> {
        self.begun |= packet.is_key();
        if self.muxer.is_beyond() || !self.begun {
            return Ok(());
        }
        let kept = nal::keep_picture(packet.data().unwrap_or(&[]), self.framing);
        if kept.is_empty() {
            return Ok(());
        }
        let mut kept = Packet::copy(&kept);
        let place = |time| timeline.place(time, self.time_base, PICTURE_TICKS);
        kept.set_pts(packet.pts().map(place));
        kept.set_dts(packet.dts().map(place));
        kept.set_flags(packet.flags());
        kept.set_duration(
            packet
                .duration()
                .max(0)
                .rescale(self.time_base, PICTURE_TICKS)
                .min(i64::from(i32::MAX)),
        );
        self.muxer.picture(kept)
    }

    /// The next packet of sound.
    pub fn sound(&mut self, packet: &Packet) -> Result<()> {
        if self.muxer.is_beyond() {
            return Ok(());
        }
        self.muxer.sound(packet)
    }

    /// No more packets; `None` if the output is of no use.
    pub fn finish(self) -> Result<Option<MadeFile>> {
        self.muxer.finish()
    }
}
