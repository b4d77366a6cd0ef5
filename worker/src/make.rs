//! Makes the outputs of a plan in one pass: every packet is read once and every picture decoded once.

use std::time::{Duration, Instant};

use dashvault_worker_protocol::{Failure, FromWorker, Made, OutputKind, Plan};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Parameters;
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::format::context::Input as Demuxer;
use ffmpeg_next::{Packet, Rational, frame};

use crate::control::{Control, output_pipe};
use crate::copy::Copy;
use crate::failure::Result;
use crate::graph::{Format, Scaler, Upright};
use crate::input::Input;
use crate::libav;
use crate::mux::PICTURE_TICKS;
use crate::poster::Poster;
use crate::rung::{Context, Rung};
use crate::sound::Sound;
use crate::timeline::Timeline;

/// How often the vault hears how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// The poster shows the picture at one second, or the middle of a shorter clip: the first is often black.
const POSTER_MS: u64 = 1_000;
/// Sound may lie so far behind the picture in the file.
const SOUND_LAG_TICKS: i64 = 3 * 90_000;
/// A span is given in whole milliseconds: the picture it was read off may lie a part of one before it.
const SPAN_SLACK_TICKS: i64 = 90;
/// What a picture lasts in a clip that does not say.
const DEFAULT_RATE: Rational = Rational(30, 1);

/// Reads the clip and writes the outputs of `plan` to their pipes.
pub fn make(control: &Control, input: Input, plan: &Plan) -> Result<Made> {
    let demuxer = libav::open(input)?;
    let mut run = Run::open(control, demuxer, plan)?;
    run.read()?;
    run.finish()
}

/// One output under way.
enum Making {
    Copy(Copy),
    /// Waits for the first picture.
    Rung(Option<Rung>),
    Poster(Poster),
}

struct Run<'a> {
    control: &'a Control,
    plan: &'a Plan,
    demuxer: Demuxer,
    picture: usize,
    time_base: Rational,
    rate: Rational,
    timeline: Timeline,
    /// `None` once no output needs another picture.
    decoder: Option<Opened>,
    scaler: Option<Scaler>,
    sound: Option<Sound>,
    sound_parameters: Option<Parameters>,
    making: Vec<Making>,
    /// The outputs that the scaler's pictures go to.
    rungs: Vec<usize>,
    has_audio: bool,
    /// Time of the last picture that was taken.
    last: Option<i64>,
    /// The input was jumped in, and no picture has come yet.
    jumped: bool,
    told: Instant,
}

impl<'a> Run<'a> {
    fn open(control: &'a Control, mut demuxer: Demuxer, plan: &'a Plan) -> Result<Self> {
        let (picture, sound) = libav::chosen(&demuxer)?;
        let stream = demuxer.stream(picture).ok_or(Failure::NoVideo)?;
        let timeline = Timeline::new(&stream, plan.span);
        let (time_base, rotation) = (stream.time_base(), libav::rotation(&stream));
        let details = libav::details(&stream.parameters());
        let rate = [stream.avg_frame_rate(), stream.rate()];
        let rate = rate
            .into_iter()
            .find(|rate| rate.0 > 0 && rate.1 > 0)
            .unwrap_or(DEFAULT_RATE);
        let upright = Upright {
            rotation,
            interlaced: !details.progressive,
        };
        let sound = match (plan.audio_bits, sound.and_then(|index| demuxer.stream(index))) {
            // A clip whose sound cannot be opened is shown silent.
            (Some(bits), Some(stream)) => Sound::open(&stream, bits).ok(),
            _ => None,
        };
        let sound_parameters = sound.as_ref().map(Sound::parameters);
        let wanted = POSTER_MS.min(plan.duration_ms / 2) as i64 * 90;
        let (mut making, mut rungs, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for (index, output) in plan.outputs.iter().enumerate() {
            making.push(match output.kind {
                OutputKind::Remux => {
                    let sound = sound_parameters.as_ref();
                    Making::Copy(Copy::open(output_pipe(index), &stream, plan.max_output_bytes, sound)?)
                }
                OutputKind::Encode(encode) => {
                    rungs.push(index);
                    sizes.push((encode.width, encode.height));
                    Making::Rung(None)
                }
                OutputKind::Poster { width, height } => {
                    let pipe = output_pipe(index);
                    Making::Poster(Poster::new(
                        pipe,
                        plan.max_output_bytes,
                        (width, height),
                        upright,
                        wanted,
                    ))
                }
            });
        }
        let decoder = Some(libav::decoder(&stream)?);
        let kept: Vec<_> = [Some(picture), sound.as_ref().map(Sound::stream)]
            .into_iter()
            .flatten()
            .collect();
        libav::discard_others(&mut demuxer, &kept);
        Ok(Self {
            control,
            plan,
            demuxer,
            picture,
            time_base,
            rate,
            timeline,
            decoder,
            scaler: (!sizes.is_empty()).then(|| Scaler::new(upright, sizes, Format::Video)),
            sound,
            sound_parameters,
            making,
            rungs,
            has_audio: false,
            last: None,
            jumped: false,
            told: Instant::now(),
        })
    }

    /// Everything up to the end of the clip or of the span.
    fn read(&mut self) -> Result<()> {
        if let Some(target) = self.timeline.jump() {
            // A file that cannot be jumped in is read from its start.
            self.jumped = self.demuxer.seek(target, ..target).is_ok();
        }
        while let Some(packet) = libav::next_packet(&mut self.demuxer) {
            if packet.stream() == self.picture {
                if self.is_behind(&packet) {
                    break;
                }
                self.picture_packet(&packet)?;
            } else if let Some(sound) = self.sound.as_mut().filter(|sound| sound.stream() == packet.stream()) {
                sound.push(&packet, &self.timeline)?;
                self.sound_ready()?;
            }
        }
        Ok(())
    }

    /// Whether nothing of the span can follow: picture and sound have both passed its end.
    fn is_behind(&self, packet: &Packet) -> bool {
        let Some(end) = self.timeline.end(PICTURE_TICKS) else {
            return false;
        };
        let Some(time) = packet.dts().or(packet.pts()) else {
            return false;
        };
        let time = self.timeline.place(time, self.time_base, PICTURE_TICKS);
        let heard = self.sound.as_ref().is_none_or(|sound| sound.reaches(end * 48 / 90));
        (time >= end && heard && self.decoder.is_none()) || time >= end + SOUND_LAG_TICKS
    }

    fn picture_packet(&mut self, packet: &Packet) -> Result<()> {
        for making in &mut self.making {
            if let Making::Copy(copy) = making {
                copy.push(packet, &self.timeline)?;
            }
        }
        if let Some(decoder) = &mut self.decoder {
            // A broken packet is a missing picture.
            let _ = decoder.send_packet(packet);
            self.decoded()?;
        } else if let Some(time) = packet.pts() {
            self.tell(self.timeline.place(time, self.time_base, PICTURE_TICKS))?;
        }
        Ok(())
    }

    fn decoded(&mut self) -> Result<()> {
        let mut picture = frame::Video::empty();
        while let Some(decoder) = &mut self.decoder {
            if decoder.receive_frame(&mut picture).is_err() {
                break;
            }
            self.picture(&mut picture)?;
        }
        Ok(())
    }

    fn picture(&mut self, picture: &mut frame::Video) -> Result<()> {
        let step = 90_000 * i64::from(self.rate.1) / i64::from(self.rate.0).max(1);
        let place = |time| self.timeline.place(time, self.time_base, PICTURE_TICKS);
        let next = self.last.map_or(0, |last| last + step);
        let time = picture.timestamp().map_or(next, place);
        if std::mem::take(&mut self.jumped) && time > step {
            // The jump went too far; nothing has been written yet.
            self.restart()?;
            return Ok(());
        }
        if self.plan.span.is_some() && time < -SPAN_SLACK_TICKS {
            return Ok(());
        }
        if self.timeline.is_past(time, PICTURE_TICKS) {
            if self.plan.span.is_none() {
                return Err(Failure::OverLimits("pictures after more than six hours".to_owned()).into());
            }
            self.decoder = None;
            return Ok(());
        }
        // The first is shown from the start, wherever between two pictures the span begins.
        let time = self.last.map_or(0, |last| time.max(last + 1));
        self.last = Some(time);
        picture.set_pts(Some(time));
        self.open_rungs(picture, step)?;
        let mut wanted = !self.rungs.is_empty();
        for making in &mut self.making {
            if let Making::Poster(poster) = making {
                poster.push(picture)?;
                wanted |= !poster.is_final();
            }
        }
        // Last, for the scaler takes the picture away.
        self.scale(picture)?;
        if !wanted {
            self.decoder = None;
        }
        self.tell(time)
    }

    fn restart(&mut self) -> Result<()> {
        self.demuxer.seek(i64::MIN + 1, ..)?;
        if let Some(decoder) = &mut self.decoder {
            decoder.flush();
        }
        // Sound of the later part has been heard already: begin anew.
        let stream = self
            .sound
            .as_ref()
            .and_then(|sound| self.demuxer.stream(sound.stream()));
        if let (Some(stream), Some(bits)) = (stream, self.plan.audio_bits) {
            self.sound = Some(Sound::open(&stream, bits)?);
        }
        Ok(())
    }

    /// The encoders are opened with the first picture, whose colours they take.
    fn open_rungs(&mut self, first: &frame::Video, step: i64) -> Result<()> {
        let context = Context {
            max_bytes: self.plan.max_output_bytes,
            sound: self.sound_parameters.as_ref(),
            rate: Some(self.rate),
            last_duration: step,
            end: self.timeline.end(PICTURE_TICKS),
        };
        for (index, output) in self.plan.outputs.iter().enumerate() {
            if let (Making::Rung(rung @ None), OutputKind::Encode(encode)) = (&mut self.making[index], &output.kind) {
                *rung = Some(Rung::open(output_pipe(index), encode, first, &context)?);
            }
        }
        Ok(())
    }

    fn scale(&mut self, picture: &frame::Video) -> Result<()> {
        let (making, rungs) = (&mut self.making, &self.rungs);
        match &mut self.scaler {
            Some(scaler) => scaler.push(picture, |index, scaled| encode(making, rungs[index], scaled)),
            None => Ok(()),
        }
    }

    /// Hands on the sound that is ready, once there is a muxer that takes it.
    fn sound_ready(&mut self) -> Result<()> {
        if self.last.is_none() && !self.rungs.is_empty() {
            return Ok(());
        }
        for packet in self.sound.as_mut().map(Sound::take).unwrap_or_default() {
            self.has_audio = true;
            for making in &mut self.making {
                match making {
                    Making::Copy(copy) => copy.sound(&packet)?,
                    Making::Rung(Some(rung)) => rung.sound(&packet)?,
                    Making::Rung(None) | Making::Poster(_) => {}
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, time: i64) -> Result<()> {
        if self.told.elapsed() < PROGRESS_INTERVAL {
            return Ok(());
        }
        self.told = Instant::now();
        let whole = self.plan.duration_ms.max(1);
        let done = u64::try_from(time).unwrap_or(0) / 90 * 1_000 / whole;
        let told = self.control.send(&FromWorker::Progress(done.min(1_000) as u16));
        Ok(told.map_err(|error| Failure::Internal(error.to_string()))?)
    }

    fn finish(mut self) -> Result<Made> {
        if let Some(decoder) = &mut self.decoder {
            let _ = decoder.send_eof();
            self.decoded()?;
        }
        if let Some(scaler) = &mut self.scaler {
            let (making, rungs) = (&mut self.making, &self.rungs);
            scaler.end(|index, scaled| encode(making, rungs[index], scaled))?;
        }
        if let Some(sound) = &mut self.sound {
            sound.end(&self.timeline)?;
        }
        self.sound_ready()?;
        if self.last.is_none() {
            return Err(Failure::Invalid("nothing in it can be shown".to_owned()).into());
        }
        let files = self.making.into_iter().map(|making| match making {
            Making::Copy(copy) => copy.finish(),
            Making::Rung(Some(rung)) => rung.finish(),
            Making::Rung(None) => Ok(None),
            Making::Poster(poster) => poster.finish(),
        });
        Ok(Made {
            files: files.collect::<Result<_>>()?,
            has_audio: self.has_audio,
        })
    }
}

fn encode(making: &mut [Making], index: usize, picture: &mut ffmpeg::frame::Video) -> Result<()> {
    match &mut making[index] {
        Making::Rung(Some(rung)) => rung.push(picture),
        _ => Ok(()),
    }
}
