//! One encoded rendition: x264 with a key frame every two seconds, into a fragmented MP4.

use std::fs::File;

use dashvault_worker_protocol::{Encode, Failure, MadeFile};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::{Flags, Parameters};
use ffmpeg_next::{Dictionary, Packet, Rational, color, frame, picture};

use crate::failure::Result;
use crate::libav;
use crate::mux::{Muxer, PICTURE_TICKS};
use crate::nal::{self, Framing};

/// A fragment, a segment and a seek are as long: two seconds, on the same grid in every rendition, so that a player can change between them.
const GOP_TICKS: i64 = 2 * 90_000;
/// x264 counts pictures between key frames; ours are told by time.
const NO_KEY_FRAMES_OF_ITS_OWN: &str = "100000";

/// What a rung needs to know beside its size.
pub struct Context<'a> {
    /// No output may be longer.
    pub max_bytes: u64,
    /// The sound, if there is any.
    pub sound: Option<&'a Parameters>,
    /// Pictures a second; a hint for rate control.
    pub rate: Option<Rational>,
    /// Ticks for which the last picture is shown, but not beyond the end.
    pub last_duration: i64,
    /// Of the span, in ticks.
    pub end: Option<i64>,
}

/// Encodes pictures of one size.
pub struct Rung {
    encoder: ffmpeg::encoder::video::Encoder,
    muxer: Muxer,
    next_key: i64,
    last_duration: i64,
    end: Option<i64>,
}

impl Rung {
    /// Opens encoder and muxer; the colours are those of the first picture.
    pub fn open(pipe: File, encode: &Encode, first: &frame::Video, context: &Context<'_>) -> Result<Self> {
        let codec = ffmpeg::encoder::find_by_name("libx264");
        let codec = codec.ok_or_else(|| Failure::Internal("no H.264 encoder".to_owned()))?;
        let mut encoder = ffmpeg::codec::Context::new_with_codec(codec).encoder().video()?;
        encoder.set_width(encode.width);
        encoder.set_height(encode.height);
        encoder.set_format(ffmpeg::format::Pixel::YUV420P);
        encoder.set_time_base(PICTURE_TICKS);
        encoder.set_frame_rate(context.rate);
        encoder.set_aspect_ratio(Rational(1, 1));
        encoder.set_flags(Flags::GLOBAL_HEADER);
        let colours = Colours::of(first);
        encoder.set_color_range(color::Range::MPEG);
        encoder.set_colorspace(colours.space);
        encoder.set_color_primaries(colours.primaries);
        encoder.set_color_transfer_characteristic(colours.transfer);
        let mut options = Dictionary::new();
        for (name, value) in [
            ("preset", "veryfast"),
            ("profile", "high"),
            ("g", NO_KEY_FRAMES_OF_ITS_OWN),
            ("sc_threshold", "0"),
            ("forced-idr", "1"),
            // Pictures in the order they are shown: then every reader finds the first at 0, without an edit list, and a span is as long as it
            // was asked for. It costs a tenth of the bytes.
            ("bf", "0"),
            ("a53cc", "0"),
            ("crf", &encode.crf.to_string()),
            ("maxrate", &encode.max_bits.to_string()),
            ("bufsize", &encode.buffer_bits.to_string()),
            ("threads", &(libav::threads() * 3 / 2).to_string()),
        ] {
            options.set(name, value);
        }
        let encoder = encoder.open_as_with(codec, options)?;
        // The configuration as x264 gives it holds its own SEI message.
        let (parameters, _) = libav::clean_parameters(Parameters::from(&encoder))?;
        Ok(Self {
            muxer: Muxer::new(pipe, context.max_bytes, &parameters, context.sound)?,
            encoder,
            next_key: 0,
            last_duration: context.last_duration,
            end: context.end,
        })
    }

    /// The next picture, with its time in [`PICTURE_TICKS`].
    pub fn push(&mut self, picture: &mut frame::Video) -> Result<()> {
        if self.muxer.is_beyond() {
            return Ok(());
        }
        let time = picture.pts().unwrap_or(0);
        // What the picture was in the source means nothing here.
        picture.set_kind(if time >= self.next_key {
            picture::Type::I
        } else {
            picture::Type::None
        });
        if time >= self.next_key {
            self.next_key = (time / GOP_TICKS + 1) * GOP_TICKS;
        }
        self.encoder.send_frame(picture)?;
        self.encoded()
    }

    /// The next packet of sound.
    pub fn sound(&mut self, packet: &Packet) -> Result<()> {
        if self.muxer.is_beyond() {
            return Ok(());
        }
        self.muxer.sound(packet)
    }

    /// No more pictures; `None` if the output is of no use.
    pub fn finish(mut self) -> Result<Option<MadeFile>> {
        self.encoder.send_eof()?;
        self.encoded()?;
        self.muxer.finish()
    }

    fn encoded(&mut self) -> Result<()> {
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            // x264 writes its settings into an SEI message.
            let mut kept = Packet::copy(&nal::keep_picture(packet.data().unwrap_or(&[]), Framing::StartCodes));
            kept.set_pts(packet.pts());
            kept.set_dts(packet.dts());
            kept.set_flags(packet.flags());
            let left = self.end.zip(packet.pts()).map_or(i64::MAX, |(end, pts)| end - pts);
            kept.set_duration(self.last_duration.min(left.max(1)));
            self.muxer.picture(kept)?;
        }
        Ok(())
    }
}

struct Colours {
    space: color::Space,
    primaries: color::Primaries,
    transfer: color::TransferCharacteristic,
}

impl Colours {
    /// As the picture says, or as players guess from the size of a picture that says nothing; written down, so that a smaller rendition is not guessed to be
    /// something else.
    fn of(picture: &frame::Video) -> Self {
        let is_large = picture.width() >= 1_280 || picture.height() > 576;
        let space = match picture.color_space() {
            color::Space::Unspecified | color::Space::RGB | color::Space::Reserved if is_large => color::Space::BT709,
            color::Space::Unspecified | color::Space::RGB | color::Space::Reserved => color::Space::SMPTE170M,
            space => space,
        };
        let primaries = match picture.color_primaries() {
            color::Primaries::Unspecified if is_large => color::Primaries::BT709,
            color::Primaries::Unspecified => color::Primaries::SMPTE170M,
            primaries => primaries,
        };
        let transfer = match picture.color_transfer_characteristic() {
            color::TransferCharacteristic::Unspecified if is_large => color::TransferCharacteristic::BT709,
            color::TransferCharacteristic::Unspecified => color::TransferCharacteristic::SMPTE170M,
            transfer => transfer,
        };
        Self {
            space,
            primaries,
            transfer,
        }
    }
}
