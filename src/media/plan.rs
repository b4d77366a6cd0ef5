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
        && video.width.is_multiple_of(2)
        && video.height.is_multiple_of(2)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Audio, Packets, Video};
    use proptest::prelude::*;

    /// A minute of what a dashcam writes: 1080p, 30 pictures a second, 10 Mbit/s, a key frame a second.
    fn dashcam() -> Probe {
        Probe {
            format: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
            size_bytes: 76_000_000,
            duration_ms: 60_000,
            video: Video {
                codec: "h264".to_owned(),
                profile: 100,
                pixel_format: "yuv420p".to_owned(),
                width: 1_920,
                height: 1_080,
                pixel_aspect: (1, 1),
                rotation: 0,
                frames_per_1000s: 30_000,
                progressive: true,
                packets: Some(Packets {
                    count: 1_800,
                    bytes: 74_000_000,
                    longest_gop_ms: 1_000,
                    orderly: true,
                }),
            },
            audio: Some(Audio {
                codec: "aac".to_owned(),
                sample_rate: 48_000,
                channels: 2,
                bit_rate: 128_000,
            }),
        }
    }

    fn with(change: impl FnOnce(&mut Probe)) -> Probe {
        let mut probe = dashcam();
        change(&mut probe);
        probe
    }

    /// Names and sizes, as a table has them.
    fn outline(plan: &Plan) -> String {
        let output = |output: &Output| match output.kind {
            OutputKind::Remux => format!("{} copied", output.name),
            OutputKind::Encode(Encode { width, height, .. }) => format!("{} {width}x{height}", output.name),
            OutputKind::Poster { width, height } => format!("{} {width}x{height}", output.name),
        };
        plan.outputs.iter().map(output).collect::<Vec<_>>().join(", ")
    }

    fn encodes(plan: &Plan) -> impl Iterator<Item = Encode> {
        plan.outputs.iter().filter_map(|output| match output.kind {
            OutputKind::Encode(encode) => Some(encode),
            _ => None,
        })
    }

    #[test]
    fn what_browsers_play_is_copied_and_made_smaller() {
        let plan = plan(&dashcam());
        assert_eq!(
            outline(&plan),
            "source copied, 720p 1280x720, 360p 640x360, poster 1280x720"
        );
        let settings: Vec<_> = encodes(&plan).map(|e| (e.crf, e.max_bits, e.buffer_bits)).collect();
        assert_eq!(settings, [(23, 3_000_000, 6_000_000), (24, 800_000, 1_600_000)]);
        assert_eq!((plan.audio_bits, plan.span), (Some(96_000), None));
    }

    #[test]
    fn whatever_one_browser_might_not_play_is_encoded_as_top_rung() {
        let encoded = "1080p 1920x1080, 720p 1280x720, 360p 640x360, poster 1280x720";
        let packets = |change: fn(&mut Packets)| with(|probe| change(probe.video.packets.as_mut().expect("packets")));
        for (why, probe) in [
            ("HEVC", with(|p| p.video.codec = "hevc".to_owned())),
            ("10 bits", with(|p| p.video.pixel_format = "yuv420p10le".to_owned())),
            ("4:2:2", with(|p| p.video.profile = 122)),
            ("interlaced", with(|p| p.video.progressive = false)),
            ("60 pictures a second", with(|p| p.video.frames_per_1000s = 60_000)),
            ("16 Mbit/s", with(|p| p.duration_ms = 37_000)),
            ("a key frame every 5 s", packets(|p| p.longest_gop_ms = 5_000)),
            ("disorder", packets(|p| p.orderly = false)),
            ("packets unknown", with(|p| p.video.packets = None)),
            ("no room for boxes and sound", packets(|p| p.bytes = 75_900_000)),
        ] {
            assert_eq!(outline(&plan(&probe)), encoded, "{why}");
        }
    }

    #[test]
    fn sizes_follow_the_shorter_side_and_are_even() {
        for (width, height, rotation, aspect, expected) in [
            (
                3_840,
                2_160,
                0,
                (1, 1),
                "1080p 1920x1080, 720p 1280x720, 360p 640x360, poster 1280x720",
            ),
            (
                1_920,
                1_080,
                90,
                (1, 1),
                "1080p 1080x1920, 720p 720x1280, 360p 360x640, poster 720x1280",
            ),
            (
                1_920,
                1_080,
                180,
                (1, 1),
                "1080p 1920x1080, 720p 1280x720, 360p 640x360, poster 1280x720",
            ),
            (
                1_440,
                1_080,
                0,
                (4, 3),
                "1080p 1920x1080, 720p 1280x720, 360p 640x360, poster 1280x720",
            ),
            (959, 539, 0, (1, 1), "538p 958x538, 360p 640x360, poster 958x538"),
            (640, 360, 0, (1, 1), "360p 640x360, poster 640x360"),
            (176, 144, 0, (1, 1), "144p 176x144, poster 176x144"),
            (1, 1, 0, (1, 1), "2p 2x2, poster 2x2"),
        ] {
            let probe = with(|probe| {
                probe.video.packets = None;
                (probe.video.width, probe.video.height) = (width, height);
                (probe.video.rotation, probe.video.pixel_aspect) = (rotation, aspect);
            });
            assert_eq!(outline(&plan(&probe)), expected);
        }
    }

    #[test]
    fn a_poor_source_bounds_every_rendition() {
        let poor = with(|probe| {
            probe.size_bytes = 3_000_000;
            probe.video.packets = None;
        });
        let plan = plan(&poor);
        assert_eq!(plan.max_output_bytes, 3_000_000);
        for encode in encodes(&plan) {
            let most = u64::from(encode.max_bits) * 60 + u64::from(encode.buffer_bits);
            let sound = u64::from(plan.audio_bits.expect("sound")) * 60;
            assert!(
                (most + sound) / 8 < 3_000_000,
                "{encode:?} may come to {} bytes",
                (most + sound) / 8
            );
        }
    }

    #[test]
    fn a_link_is_encoded_anew_and_silent_unless_asked() {
        let link = plan_link(&dashcam(), 5_000, 9_000, false);
        assert_eq!(outline(&link), "1080p 1920x1080, 360p 640x360, poster 1280x720");
        assert_eq!((link.duration_ms, link.audio_bits), (4_000, None));
        let span = link.span.expect("a span");
        assert_eq!((span.from_ms, span.to_ms), (5_000, 9_000));
        let beyond = plan_link(&dashcam(), 50_000, 90_000, true);
        assert_eq!((beyond.duration_ms, beyond.audio_bits), (10_000, Some(96_000)));
    }

    prop_compose! {
        fn any_probe()(
            sizes in any::<[u32; 2]>(), aspect in any::<(u32, u32)>(), rotation in 0_u16..5,
            numbers in any::<[u64; 6]>(), copyable in any::<bool>(), audio in any::<Option<(u32, u64)>>(),
        ) -> Probe {
            with(|probe| {
                (probe.video.width, probe.video.height) = (sizes[0], sizes[1]);
                (probe.video.pixel_aspect, probe.video.rotation) = (aspect, rotation * 90);
                (probe.size_bytes, probe.duration_ms) = (numbers[0], numbers[1] % 30_000_000);
                probe.video.frames_per_1000s = numbers[2];
                let packets = Packets { count: numbers[3], bytes: numbers[4], longest_gop_ms: numbers[5], orderly: true };
                probe.video.packets = copyable.then_some(packets);
                probe.audio = audio.map(|(channels, bit_rate)| Audio {
                    codec: "aac".to_owned(), sample_rate: 8_000, channels, bit_rate,
                });
            })
        }
    }

    proptest! {
        #[test]
        fn no_probe_makes_an_impossible_plan(probe in any_probe(), from in any::<u64>(), to in any::<u64>()) {
            for plan in [plan(&probe), plan_link(&probe, from, to, true)] {
                prop_assert!((2..=4).contains(&plan.outputs.len()));
                for output in &plan.outputs {
                    let (OutputKind::Encode(Encode { width, height, .. }) | OutputKind::Poster { width, height }) = output.kind
                        else { continue };
                    prop_assert!((2..=MAX_SIDE).contains(&width) && width % 2 == 0, "{width}");
                    prop_assert!((2..=MAX_SIDE).contains(&height) && height % 2 == 0, "{height}");
                    prop_assert!(width.min(height) <= TOP_LINES);
                }
                for encode in encodes(&plan) {
                    prop_assert!(encode.max_bits > 0 && encode.max_bits <= 6_000_000 && encode.buffer_bits <= 12_000_000);
                }
                let mut names: Vec<_> = plan.outputs.iter().map(|output| &output.name).collect();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), plan.outputs.len());
            }
        }
    }
}
