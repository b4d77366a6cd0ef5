//! What to make of a clip: a pure function of what the probe found.
//!
//! No rendition may be larger than the source. x264's rate control passes at most `max_bits` a second on average and at most `buffer_bits` more, so both are
//! derived from the source's own size; whoever comes out too large all the same is dropped by the worker.

use super::{Encode, Output, OutputKind, Plan, Probe, Span};

/// The poster fits into a list on a wide screen.
const POSTER_LINES: u32 = 720;
/// Larger pictures are made smaller: a browser decodes this without help.
const TOP_LINES: u32 = 1_080;
/// Longer sides than this come from absurd proportions.
const MAX_SIDE: u32 = 4_096;
/// Of the source's bytes; the rest is for boxes.
const BUDGET_PERCENT: u64 = 94;
/// Below it x264 makes nothing that one would look at.
const MIN_VIDEO_BITS: u64 = 40_000;
/// What one sample costs in `moof`, at most: size, flags and offset of a picture, size of a packet of sound; and one fragment.
const PICTURE_BYTES: u64 = 12;
const SOUND_BYTES: u64 = 4;
const FRAGMENT_BYTES: u64 = 240;
/// A copy must fit with one part in so many to spare.
const REMUX_MARGIN: u64 = 1_000;
/// `ftyp` and `moov`.
const INIT_BYTES: u64 = 1_600;
/// Packets of sound in a second: 48,000 samples by 1,024.
const SOUND_PACKETS_PER_SEC: u64 = 47;

/// What browsers decode as it is, everywhere: H.264 of 8 bits and 4:2:0.
const PLAYABLE_PROFILES: [i32; 4] = [66, 66 | 1 << 9, 77, 100];
const PLAYABLE_FORMATS: [&str; 2] = ["yuv420p", "yuvj420p"];
const PLAYABLE_PIXELS: (u32, u32) = (1_920, 1_088);
/// 30 pictures a second, with room for a clock that is not quite right.
const PLAYABLE_RATE: u64 = 30_500;
const PLAYABLE_BITS: u64 = 12_000_000;
const PLAYABLE_GOP_MS: u64 = 4_000;

/// One step of the ladder.
struct Step {
    lines: u32,
    crf: u8,
    max_bits: u64,
}

const TOP: Step = Step {
    lines: TOP_LINES,
    crf: 22,
    max_bits: 6_000_000,
};
const STEPS: [Step; 2] = [
    Step {
        lines: 720,
        crf: 23,
        max_bits: 3_000_000,
    },
    Step {
        lines: 360,
        crf: 24,
        max_bits: 800_000,
    },
];

/// The renditions of a whole clip: a top rung, smaller ones where the source is larger, a poster.
pub fn plan(probe: &Probe) -> Plan {
    let shown = shown(probe);
    let audio_bits = audio_bits(probe);
    let budget = Budget::of(probe, probe.duration_ms, audio_bits);
    let top = if can_remux(probe, audio_bits) {
        Output {
            name: "source".to_owned(),
            kind: OutputKind::Remux,
        }
    } else {
        budget.encode(shown, &TOP)
    };
    let smaller = STEPS.iter().filter(|step| step.lines < lines(shown));
    let smaller = smaller
        .map(|step| budget.encode(shown, step))
        .filter(|output| output.name != top.name);
    Plan {
        outputs: std::iter::once(top.clone())
            .chain(smaller)
            .chain([poster(shown)])
            .collect(),
        span: None,
        duration_ms: probe.duration_ms,
        audio_bits,
        max_output_bytes: probe.size_bytes,
    }
}

/// The media of a link: the span from `from_ms` to `to_ms` encoded anew, with sound only if `audio`, and a poster. A span that goes beyond the clip ends with it.
pub fn plan_link(probe: &Probe, from_ms: u64, to_ms: u64, audio: bool) -> Plan {
    let end_ms = if probe.duration_ms > 0 {
        to_ms.min(probe.duration_ms)
    } else {
        to_ms
    };
    let duration_ms = end_ms.saturating_sub(from_ms);
    let shown = shown(probe);
    let audio_bits = audio_bits(probe).filter(|_| audio);
    let budget = Budget::of(probe, duration_ms, audio_bits);
    let top = budget.encode(shown, &TOP);
    let small = STEPS.last().filter(|step| step.lines < lines(shown));
    let small = small
        .map(|step| budget.encode(shown, step))
        .filter(|output| output.name != top.name);
    Plan {
        outputs: std::iter::once(top.clone())
            .chain(small)
            .chain([poster(shown)])
            .collect(),
        span: Some(Span { from_ms, to_ms }),
        duration_ms,
        audio_bits,
        max_output_bytes: probe.size_bytes,
    }
}

/// Width and height as they are shown: square pixels, upright.
fn shown(probe: &Probe) -> (u32, u32) {
    let video = &probe.video;
    let (x, y) = video.pixel_aspect;
    let width = u64::from(video.width) * u64::from(x.max(1)) / u64::from(y.max(1));
    let width = u32::try_from(width).unwrap_or(MAX_SIDE).clamp(1, MAX_SIDE * 4);
    let height = video.height.clamp(1, MAX_SIDE * 4);
    match video.rotation {
        90 | 270 => (height, width),
        _ => (width, height),
    }
}

/// The shorter side, by which renditions are named: 1080p is 1920×1080, and 1080×1920 of a phone held upright.
fn lines((width, height): (u32, u32)) -> u32 {
    width.min(height)
}

/// Scaled down so that the shorter side has at most `lines`; both sides even, as 4:2:0 needs them.
fn scaled(shown: (u32, u32), at_most: u32) -> (u32, u32) {
    let short = lines(shown);
    let target = short.min(at_most);
    let side = |side: u32| {
        let exact = u64::from(side) * u64::from(target) / u64::from(short);
        let exact = u32::try_from(exact).unwrap_or(MAX_SIDE).clamp(2, MAX_SIDE);
        exact - exact % 2
    };
    (side(shown.0), side(shown.1))
}

fn poster(shown: (u32, u32)) -> Output {
    let (width, height) = scaled(shown, POSTER_LINES);
    Output {
        name: "poster".to_owned(),
        kind: OutputKind::Poster { width, height },
    }
}

/// Bits a second for the sound: no more than the source spends, and no more than a quarter of the file.
fn audio_bits(probe: &Probe) -> Option<u32> {
    let audio = probe.audio.as_ref()?;
    let wanted = if audio.channels == 1 { 64_000 } else { 96_000 };
    let source = if audio.bit_rate > 0 { audio.bit_rate } else { wanted };
    let share = bits_a_second(probe.size_bytes, probe.duration_ms) / 4;
    let bits = wanted.min(source).min(share).max(24_000);
    u32::try_from(bits).ok()
}

fn bits_a_second(bytes: u64, duration_ms: u64) -> u64 {
    bytes.saturating_mul(8_000) / duration_ms.max(1)
}

/// Whether the picture's packets can be the top rung as they are.
fn can_remux(probe: &Probe, audio_bits: Option<u32>) -> bool {
    let video = &probe.video;
    let Some(packets) = video.packets else { return false };
    let boxes = box_bytes(packets.count, probe.duration_ms, audio_bits);
    let picture = packets.bytes.saturating_add(packets.bytes / REMUX_MARGIN);
    let estimate = picture
        .saturating_add(sound_bytes(probe, audio_bits))
        .saturating_add(boxes);
    video.codec == "h264"
        && PLAYABLE_PROFILES.contains(&video.profile)
        && PLAYABLE_FORMATS.contains(&video.pixel_format.as_str())
        && video.progressive
        && video.rotation == 0
        && video.width <= PLAYABLE_PIXELS.0
        && video.height <= PLAYABLE_PIXELS.1
        && video.width % 2 == 0
        && video.height % 2 == 0
        && video.frames_per_1000s <= PLAYABLE_RATE
        && bits_a_second(packets.bytes, probe.duration_ms) <= PLAYABLE_BITS
        && packets.longest_gop_ms <= PLAYABLE_GOP_MS
        && packets.orderly
        && probe.duration_ms > 0
        && estimate <= probe.size_bytes
}

/// What may be spent so that no output outgrows the source.
struct Budget {
    /// Bits for the picture, all in all.
    bits: u64,
    duration_ms: u64,
    /// Bits a second of the whole source.
    source_bits: u64,
}

impl Budget {
    fn of(probe: &Probe, duration_ms: u64, audio_bits: Option<u32>) -> Self {
        let boxes = box_bytes(pictures(probe, duration_ms), duration_ms, audio_bits);
        let sound_bits = u64::from(audio_bits.unwrap_or(0)) * (duration_ms / 1_000 + 1);
        let whole = probe.size_bytes.saturating_sub(boxes).saturating_mul(8) / 100 * BUDGET_PERCENT;
        Self {
            bits: whole.saturating_sub(sound_bits),
            duration_ms,
            source_bits: bits_a_second(probe.size_bytes, probe.duration_ms.max(duration_ms)),
        }
    }

    fn encode(&self, shown: (u32, u32), step: &Step) -> Output {
        let (width, height) = scaled(shown, step.lines);
        // With a buffer of n seconds, n more seconds' worth of bits may pass.
        let rate = |buffer_ms: u64| self.bits.saturating_mul(1_000) / (self.duration_ms + buffer_ms);
        let bound = |rate: u64| rate.min(step.max_bits).min(self.source_bits).max(MIN_VIDEO_BITS);
        let (max_bits, buffer_bits) = if bound(rate(2_000)) >= step.max_bits {
            (step.max_bits, step.max_bits * 2)
        } else {
            (bound(rate(1_000)), bound(rate(1_000)))
        };
        let narrow = |bits: u64| u32::try_from(bits).unwrap_or(u32::MAX);
        Output {
            name: format!("{}p", lines((width, height))),
            kind: OutputKind::Encode(Encode {
                width,
                height,
                crf: step.crf,
                max_bits: narrow(max_bits),
                buffer_bits: narrow(buffer_bits),
            }),
        }
    }
}

/// How many pictures there are, as claimed.
fn pictures(probe: &Probe, duration_ms: u64) -> u64 {
    let rate = probe.video.frames_per_1000s.min(240_000);
    rate.saturating_mul(duration_ms) / 1_000_000
}

/// What a fragmented MP4 needs beside its samples.
fn box_bytes(pictures: u64, duration_ms: u64, audio_bits: Option<u32>) -> u64 {
    let sound = audio_bits.map_or(0, |_| SOUND_PACKETS_PER_SEC.saturating_mul(duration_ms) / 1_000);
    let samples = pictures
        .saturating_mul(PICTURE_BYTES)
        .saturating_add(sound.saturating_mul(SOUND_BYTES));
    samples.saturating_add(INIT_BYTES + (duration_ms / 1_500 + 1) * FRAGMENT_BYTES)
}

/// What the sound of a whole clip comes to: near silence takes fewer bits than are allowed, as it did in the source.
fn sound_bytes(probe: &Probe, audio_bits: Option<u32>) -> u64 {
    let (Some(bits), Some(audio)) = (audio_bits, &probe.audio) else {
        return 0;
    };
    let source = if audio.bit_rate > 0 {
        audio.bit_rate.saturating_mul(5) / 4
    } else {
        u64::MAX
    };
    u64::from(bits).min(source).saturating_mul(probe.duration_ms) / 8_000
}
