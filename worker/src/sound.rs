//! The sound: always decoded and encoded anew as AAC at 48 kHz, which every browser plays and which washes a hostile stream.

use dashvault_worker_protocol::Failure;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::codec::{Flags, Parameters};
use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::{ChannelLayout, Dictionary, Packet, Rational, Rescale as _, Stream, frame};

use crate::failure::Result;
use crate::libav;
use crate::mux::SOUND_TICKS;
use crate::timeline::Timeline;

const RATE: u32 = 48_000;
/// Samples in one packet of AAC.
const PACKET_SAMPLES: u32 = 1_024;

/// Packets that wait for the first picture: 100 s of them.
const MAX_READY: usize = 4_700;

/// Decoder, resampler and encoder.
pub struct Sound {
    stream: usize,
    time_base: Rational,
    decoder: Opened,
    graph: Option<(Graph, Shape)>,
    encoder: ffmpeg::encoder::audio::Encoder,
    /// The end of the last frame that was taken, in samples of the output.
    reach: i64,
    /// A resampler was made before.
    begun: bool,
    /// Packets that are ready.
    ready: Vec<Packet>,
}

/// What a resampler is made for.
#[derive(PartialEq, Eq, Clone)]
struct Shape {
    rate: u32,
    format: Sample,
    layout: ChannelLayout,
}

impl Sound {
    /// Opens the decoder of `stream` and an encoder of `bits` a second.
    pub fn open(stream: &Stream<'_>, bits: u32) -> Result<Self> {
        let channels = libav::details(&stream.parameters()).channels;
        let layout = if channels == 1 {
            ChannelLayout::MONO
        } else {
            ChannelLayout::STEREO
        };
        let codec =
            ffmpeg::encoder::find_by_name("aac").ok_or_else(|| Failure::Internal("no AAC encoder".to_owned()))?;
        let mut encoder = ffmpeg::codec::Context::new_with_codec(codec).encoder().audio()?;
        encoder.set_rate(RATE as i32);
        encoder.set_channel_layout(layout);
        encoder.set_channels(layout.channels());
        encoder.set_format(Sample::F32(Type::Planar));
        encoder.set_bit_rate(bits as usize);
        encoder.set_time_base(SOUND_TICKS);
        encoder.set_flags(Flags::GLOBAL_HEADER | Flags::BITEXACT);
        Ok(Self {
            stream: stream.index(),
            time_base: stream.time_base(),
            decoder: libav::decoder(stream)?,
            graph: None,
            encoder: encoder.open_as_with(codec, Dictionary::new())?,
            reach: 0,
            begun: false,
            ready: Vec::new(),
        })
    }

    /// The number of the stream.
    pub fn stream(&self) -> usize {
        self.stream
    }

    /// What the muxers must know.
    pub fn parameters(&self) -> Parameters {
        Parameters::from(&self.encoder)
    }

    /// Whether sound was heard up to `ticks` of the output.
    pub fn reaches(&self, ticks: i64) -> bool {
        self.reach >= ticks
    }

    /// Takes a packet of the clip; what comes of it is then [`ready`](Self::take).
    pub fn push(&mut self, packet: &Packet, timeline: &Timeline) -> Result<()> {
        // A broken packet is silence: aresample fills the gap.
        let _ = self.decoder.send_packet(packet);
        self.decoded(timeline)
    }

    /// No more packets.
    pub fn end(&mut self, timeline: &Timeline) -> Result<()> {
        let _ = self.decoder.send_eof();
        self.decoded(timeline)?;
        if let Some((mut graph, _)) = self.graph.take() {
            flush(&mut graph)?;
            self.resampled(&mut graph)?;
        }
        self.encoder.send_eof()?;
        self.encoded();
        Ok(())
    }

    /// The packets that came of it, with times in [`SOUND_TICKS`].
    pub fn take(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.ready)
    }

    fn decoded(&mut self, timeline: &Timeline) -> Result<()> {
        let mut frame = frame::Audio::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            let samples = (frame.samples() as i64).rescale(Rational(1, frame.rate().max(1) as i32), SOUND_TICKS);
            let begin = frame
                .timestamp()
                .map(|time| timeline.place(time, self.time_base, SOUND_TICKS));
            let begin = begin.unwrap_or(self.reach);
            let outside = begin + samples <= 0 || timeline.is_past(begin, SOUND_TICKS);
            if outside {
                self.reach = self.reach.max(begin);
                continue;
            }
            self.reach = begin + samples;
            let shape = Shape {
                rate: frame.rate(),
                format: frame.format(),
                layout: match frame.channel_layout() {
                    layout if layout.is_empty() => ChannelLayout::default(frame.channels().into()),
                    layout => layout,
                },
            };
            frame.set_channel_layout(shape.layout);
            frame.set_pts(Some(begin.rescale(SOUND_TICKS, Rational(1, shape.rate.max(1) as i32))));
            let mut graph = match self.graph.take() {
                Some((graph, made_for)) if made_for == shape => graph,
                old => {
                    // A stream that changes under way, as broadcast ones do: what the old resampler holds comes first.
                    if let Some((mut old, _)) = old {
                        flush(&mut old)?;
                        self.resampled(&mut old)?;
                    }
                    let graph = self.resampler(&shape, timeline)?;
                    self.begun = true;
                    graph
                }
            };
            source(&mut graph)?.source().add(&frame)?;
            self.resampled(&mut graph)?;
            self.graph = Some((graph, shape));
        }
        Ok(())
    }

    fn resampler(&self, shape: &Shape, timeline: &Timeline) -> Result<Graph> {
        let mut graph = Graph::new();
        let arguments = format!(
            "time_base=1/{rate}:sample_rate={rate}:sample_fmt={}:channel_layout=0x{:x}",
            shape.format.name(),
            shape.layout.bits(),
            rate = shape.rate
        );
        graph.add(&named("abuffer")?, "in", &arguments)?;
        graph.add(&named("abuffersink")?, "out", "")?;
        let layout = if self.encoder.channel_layout() == ChannelLayout::MONO {
            "mono"
        } else {
            "stereo"
        };
        // Gaps become silence and what overlaps is trimmed, so that sound and picture stay together; sound before the first picture is cut.
        let first = if self.begun { "" } else { ":first_pts=0" };
        let end = timeline
            .end(SOUND_TICKS)
            .map_or(String::new(), |end| format!(",atrim=end_pts={end}"));
        let spec = format!(
            "atrim=start_pts=0,aresample={RATE}:async=1000:min_hard_comp=0.1{first},aformat=sample_fmts=fltp:sample_rates={RATE}:channel_layouts={layout}{end},asetnsamples=n={PACKET_SAMPLES}:p=0"
        );
        graph.output("in", 0)?.input("out", 0)?.parse(&spec)?;
        graph.validate()?;
        Ok(graph)
    }

    fn resampled(&mut self, graph: &mut Graph) -> Result<()> {
        let mut frame = frame::Audio::empty();
        loop {
            let mut sink = sink(graph)?;
            if sink.sink().frame(&mut frame).is_err() {
                return Ok(());
            }
            self.encoder.send_frame(&frame)?;
            self.encoded();
        }
    }

    fn encoded(&mut self) {
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            // The encoder's run-up lies before 0; without an edit list it would be heard.
            if packet.pts().is_some_and(|pts| pts >= 0) && self.ready.len() < MAX_READY {
                self.ready.push(std::mem::replace(&mut packet, Packet::empty()));
            }
        }
    }
}

fn named(name: &str) -> Result<filter::Filter> {
    Ok(filter::find(name).ok_or_else(|| Failure::Internal(format!("no filter {name}")))?)
}

fn source(graph: &mut Graph) -> Result<filter::Context> {
    Ok(graph
        .get("in")
        .ok_or_else(|| Failure::Internal("no source".to_owned()))?)
}

fn sink(graph: &mut Graph) -> Result<filter::Context> {
    Ok(graph
        .get("out")
        .ok_or_else(|| Failure::Internal("no sink".to_owned()))?)
}

fn flush(graph: &mut Graph) -> Result<()> {
    Ok(source(graph)?.source().flush()?)
}
