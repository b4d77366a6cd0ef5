//! Writes one rendition: a fragmented MP4 with one fragment a GOP, into a pipe, with a limit and without a word about where it comes from.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashvault_worker_protocol::MadeFile;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Parameters;
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::{Dictionary, Packet, Rational};

use crate::failure::Result;

/// Of the pictures' times: 90,000 divides into every common frame rate.
pub const PICTURE_TICKS: Rational = Rational(1, 90_000);
/// Of the sound's times.
pub const SOUND_TICKS: Rational = Rational(1, 48_000);
/// Key frames may be nearer than the 2 s they are meant to be apart; fragments are not cut so small.
const MIN_FRAGMENT_MICROSECONDS: &str = "1500000";
/// What the muxer collects before it is written to the pipe.
const IO_BUFFER_BYTES: usize = 64 << 10;

/// What passed through a pipe.
#[derive(Default)]
pub struct Count {
    bytes: AtomicU64,
    beyond: AtomicBool,
}

impl Count {
    /// More was to be written than the limit; what was beyond it was thrown away.
    pub fn is_beyond(&self) -> bool {
        self.beyond.load(Ordering::Relaxed)
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A pipe that takes no more than a limit.
pub struct Limited {
    pipe: File,
    limit: u64,
    count: Arc<Count>,
}

impl Limited {
    /// Writes to `pipe`; the count is shared.
    pub fn new(pipe: File, limit: u64) -> (Self, Arc<Count>) {
        let count = Arc::new(Count::default());
        let limited = Self {
            pipe,
            limit,
            count: Arc::clone(&count),
        };
        (limited, count)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.count.is_beyond() || self.count.bytes() + bytes.len() as u64 > self.limit {
            // Not an error: the other renditions go on.
            self.count.beyond.store(true, Ordering::Relaxed);
            return Ok(bytes.len());
        }
        let written = self.pipe.write(bytes)?;
        self.count.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes pictures and sound as they come.
pub struct Muxer {
    output: Output,
    count: Arc<Count>,
    frames: u64,
    /// Decode time of the last picture, in [`PICTURE_TICKS`].
    last: Option<i64>,
    /// The tracks' own ticks, as the container chose them.
    ticks: [Rational; 2],
}

const PICTURE: usize = 0;
const SOUND: usize = 1;

impl Muxer {
    /// Writes `ftyp` and `moov`.
    pub fn new(pipe: File, limit: u64, picture: &Parameters, sound: Option<&Parameters>) -> Result<Self> {
        let (limited, count) = Limited::new(pipe, limit);
        let io = StreamIo::from_write_with_capacity(limited, IO_BUFFER_BYTES)?;
        let mut output = ffmpeg::format::output_to_stream(io, None, Some("mp4"))?;
        for (parameters, ticks) in [(Some(picture), PICTURE_TICKS), (sound, SOUND_TICKS)] {
            let Some(parameters) = parameters else { continue };
            let mut stream = output.add_stream(ffmpeg::encoder::find(parameters.id()))?;
            stream.set_parameters(parameters.clone());
            stream.set_time_base(ticks);
        }
        let mut options = Dictionary::new();
        // Negative offsets let the first picture be shown at 0 without an edit list, which an empty moov could not carry.
        // "Discontinuous" keeps the times as they are given: else every track would be moved to begin at 0.
        let flags = "+empty_moov+default_base_moof+frag_keyframe+negative_cts_offsets+frag_discont+skip_trailer";
        options.set("movflags", flags);
        options.set("min_frag_duration", MIN_FRAGMENT_MICROSECONDS);
        options.set("video_track_timescale", "90000");
        // Decode times below 0 are moved by the flag above; libav would move sound and picture together.
        options.set("avoid_negative_ts", "disabled");
        // No name and version of a library, no time of creation.
        options.set("fflags", "+bitexact");
        output.write_header_with(options)?;
        let tick = |index| output.stream(index).map_or(PICTURE_TICKS, |stream| stream.time_base());
        Ok(Self {
            ticks: [tick(PICTURE), tick(SOUND)],
            output,
            count,
            frames: 0,
            last: None,
        })
    }

    /// Whether it grew beyond its limit: then what was written is of no use.
    pub fn is_beyond(&self) -> bool {
        self.count.is_beyond()
    }

    /// The next picture in decoding order, with times in [`PICTURE_TICKS`].
    pub fn picture(&mut self, mut packet: Packet) -> Result<()> {
        // Clips whose clock runs backward are shown in the order they were recorded.
        let floor = self.last.map_or(i64::MIN, |last| last + 1);
        let decode = packet.dts().or(packet.pts()).unwrap_or(floor.max(0)).max(floor);
        packet.set_dts(Some(decode));
        packet.set_pts(Some(packet.pts().unwrap_or(decode).max(decode)));
        self.last = Some(decode);
        self.frames += 1;
        packet.rescale_ts(PICTURE_TICKS, self.ticks[PICTURE]);
        self.write(packet, PICTURE)
    }

    /// The next packet of sound, with times in [`SOUND_TICKS`].
    pub fn sound(&mut self, packet: &Packet) -> Result<()> {
        let mut packet = packet.clone();
        packet.rescale_ts(SOUND_TICKS, self.ticks[SOUND]);
        self.write(packet, SOUND)
    }

    fn write(&mut self, mut packet: Packet, stream: usize) -> Result<()> {
        packet.set_stream(stream);
        packet.set_position(-1);
        Ok(packet.write_interleaved(&mut self.output)?)
    }

    /// Ends the file; `None` if it grew beyond its limit or has no picture.
    pub fn finish(mut self) -> Result<Option<MadeFile>> {
        self.output.write_trailer()?;
        // Dropping it writes what it still holds.
        drop(self.output);
        let made = MadeFile {
            bytes: self.count.bytes(),
            frames: self.frames,
        };
        Ok((!self.count.is_beyond() && self.frames > 0).then_some(made))
    }
}
