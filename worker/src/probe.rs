//! Finds out what is in a clip.

use dashvault_worker_protocol::{Audio, Failure, MAX_DURATION_MS, Packets, Probe, Video};
use ffmpeg_next::format::context::Input as Demuxer;
use ffmpeg_next::{Rational, Rescale as _, Stream};

use crate::failure::Result;
use crate::input::Input;
use crate::libav::{self, Entry};

const MILLISECONDS: Rational = Rational(1, 1_000);
/// libav's time base for whole files.
const MICROSECONDS: Rational = Rational(1, 1_000_000);
/// Six hours of 240 pictures a second: a table that lists more lies.
const MAX_ENTRIES: usize = 5_184_000;

/// Reads the clip's tables, and its packets where there is no table.
pub fn probe(input: Input, input_bytes: u64) -> Result<Probe> {
    let mut demuxer = libav::open(input)?;
    let (video, audio) = libav::chosen(&demuxer)?;
    let duration_ms = demuxer.duration().rescale(MICROSECONDS, MILLISECONDS);
    // A claim that is no time at all counts as none; the renditions tell the true one.
    let duration_ms = u64::try_from(duration_ms).unwrap_or(0).min(MAX_DURATION_MS);
    let audio = audio
        .and_then(|index| demuxer.stream(index))
        .map(|stream| sound(&stream));
    Ok(Probe {
        format: demuxer.format().name().to_owned(),
        size_bytes: input_bytes,
        duration_ms,
        video: picture(&mut demuxer, video, duration_ms)?,
        audio,
    })
}

fn sound(stream: &Stream<'_>) -> Audio {
    let parameters = stream.parameters();
    let details = libav::details(&parameters);
    Audio {
        codec: parameters.id().name().to_owned(),
        sample_rate: u32::try_from(details.sample_rate).unwrap_or(0),
        channels: u32::try_from(details.channels).unwrap_or(0),
        bit_rate: u64::try_from(parameters.bit_rate()).unwrap_or(0),
    }
}

fn picture(demuxer: &mut Demuxer, index: usize, duration_ms: u64) -> Result<Video> {
    let stream = demuxer.stream(index).ok_or(Failure::NoVideo)?;
    let parameters = stream.parameters();
    let details = libav::details(&parameters);
    let codec = parameters.id().name().to_owned();
    let (width, height) = match (u32::try_from(details.width), u32::try_from(details.height)) {
        (Ok(width @ 1..), Ok(height @ 1..)) => (width, height),
        // The stream is named, and nothing of it could be decoded.
        _ if libav::is_taken(&parameters) => return Err(Failure::Invalid("the picture has no size".to_owned()).into()),
        _ => return Err(libav::unsupported_codec(&parameters)),
    };
    if u64::from(width) * u64::from(height) > libav::MAX_PIXELS {
        return Err(Failure::OverLimits(format!("pictures of {width}×{height} pixels")).into());
    }
    if !libav::is_taken(&parameters) {
        return Err(libav::unsupported_codec(&parameters));
    }
    let rate = [stream.avg_frame_rate(), stream.rate()]
        .into_iter()
        .find(|rate| rate.0 > 0 && rate.1 > 0);
    let rotation = libav::rotation(&stream);
    // Only what might be copied as it is needs its packets looked at.
    let packets = match codec.as_str() {
        "h264" if !details.extradata.is_empty() => packets(demuxer, index, duration_ms),
        _ => None,
    };
    Ok(Video {
        codec,
        profile: details.profile,
        pixel_format: details.pixel_format.to_owned(),
        width,
        height,
        pixel_aspect: match details.pixel_aspect {
            (x @ 1.., y @ 1..) => (x as u32, y as u32),
            _ => (1, 1),
        },
        rotation,
        frames_per_1000s: rate.map_or(0, |rate| rate.0 as u64 * 1_000 / rate.1 as u64),
        progressive: details.progressive,
        packets,
    })
}

/// From the container's table where it lists the whole clip, else from the packets themselves.
fn packets(demuxer: &mut Demuxer, index: usize, duration_ms: u64) -> Option<Packets> {
    let stream = demuxer.stream(index)?;
    let time_base = stream.time_base();
    let listed = libav::index(&stream);
    // MP4 alone lists every packet; other indexes hold key frames, or what was read so far.
    let is_mp4 = demuxer.format().name().starts_with("mov");
    let covers = match (listed.first(), listed.last()) {
        (Some(first), Some(last)) => {
            let reach = last.time.saturating_sub(first.time).rescale(time_base, MILLISECONDS);
            u64::try_from(reach).is_ok_and(|reach| reach >= duration_ms * 9 / 10) && duration_ms > 0
        }
        _ => false,
    };
    if is_mp4 && covers {
        return summary(listed.into_iter(), time_base);
    }
    let entries = std::iter::from_fn(|| {
        loop {
            let packet = libav::next_packet(demuxer)?;
            if packet.stream() == index {
                break Some(Entry {
                    time: packet.dts().or_else(|| packet.pts()).unwrap_or(i64::MIN),
                    size: packet.size() as u64,
                    key: packet.is_key(),
                    hidden: false,
                });
            }
        }
    });
    summary(entries, time_base)
}

fn summary(entries: impl Iterator<Item = Entry>, time_base: Rational) -> Option<Packets> {
    let mut found = Packets {
        count: 0,
        bytes: 0,
        longest_gop_ms: 0,
        orderly: true,
    };
    let (mut last, mut key) = (None, None);
    let mut longest = 0_i64;
    for entry in entries.take(MAX_ENTRIES) {
        found.orderly &= !entry.hidden && last.is_none_or(|last| entry.time > last) && (key.is_some() || entry.key);
        found.count += 1;
        found.bytes = found.bytes.saturating_add(entry.size);
        longest = longest.max(entry.time.saturating_sub(key.unwrap_or(entry.time)));
        if entry.key {
            key = Some(entry.time);
        }
        last = Some(entry.time);
    }
    found.longest_gop_ms = u64::try_from(longest.rescale(time_base, MILLISECONDS)).unwrap_or(u64::MAX);
    (found.count > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: i64, key: bool) -> Entry {
        Entry {
            time,
            size: 10,
            key,
            hidden: false,
        }
    }

    #[test]
    fn the_longest_way_between_key_frames_counts_the_tail_too() {
        let entries = [
            entry(0, true),
            entry(500, false),
            entry(1_000, true),
            entry(3_000, false),
        ];
        let found = summary(entries.into_iter(), MILLISECONDS).expect("packets");
        assert_eq!(found.longest_gop_ms, 2_000);
        assert_eq!((found.count, found.bytes, found.orderly), (4, 40, true));
    }

    #[test]
    fn disorder_is_seen() {
        let orderly = |entries: [Entry; 3]| summary(entries.into_iter(), MILLISECONDS).expect("packets").orderly;
        assert!(orderly([entry(0, true), entry(1, false), entry(2, false)]));
        assert!(
            !orderly([entry(0, false), entry(1, true), entry(2, false)]),
            "begins without a key frame"
        );
        assert!(
            !orderly([entry(0, true), entry(5, false), entry(5, false)]),
            "time stands still"
        );
        let hidden = Entry {
            hidden: true,
            ..entry(0, true)
        };
        assert!(
            !orderly([hidden, entry(1, false), entry(2, false)]),
            "a picture is hidden"
        );
    }
}
