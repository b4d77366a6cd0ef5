//! HLS playlists (RFC 8216) over one object a rendition: every segment is a byte range of it.
//!
//! Addresses are relative, so that the same text serves an owner and the holder of a link.

use std::fmt::Write as _;

use super::super::resource::RenditionName;
use crate::model::index::RenditionIndex;

/// Part of an entity tag: raise it whenever other text comes out for the same index.
pub(in super::super) const PLAYLIST_VERSION: u8 = 1;

/// The playlist that names all renditions with their [`stream_inf`], in the order given: players begin with the first.
pub(in super::super) fn main_playlist(renditions: &[(RenditionName, String)]) -> String {
    // Version 7: fragmented MP4 behind EXT-X-MAP.
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for (name, stream_inf) in renditions {
        let _ = write!(text, "#EXT-X-STREAM-INF:{stream_inf}\n{}.m3u8\n", name.as_str());
    }
    text
}

/// What the multivariant playlist tells of a rendition.
pub(in super::super) fn stream_inf(index: &RenditionIndex) -> String {
    let rates = BitRates::of(index);
    let mut text = format!(
        "BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        rates.peak,
        rates.average,
        codecs(index)
    );
    if index.width > 0 && index.height > 0 {
        let _ = write!(text, ",RESOLUTION={}x{}", index.width, index.height);
    }
    if let Some(rate) = frame_rate(index) {
        let _ = write!(text, ",FRAME-RATE={rate:.3}");
    }
    text
}

/// The playlist of one rendition. None when its fragments do not lie one behind the other within the object.
pub(in super::super) fn media_playlist(name: &RenditionName, index: &RenditionIndex) -> Option<String> {
    let init = index.init.len() as u64;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{name}.mp4\",BYTERANGE=\"{init}@0\"\n",
        target_seconds(index),
        name = name.as_str(),
    );
    let mut end = init;
    for fragment in &index.fragments {
        if fragment.offset < end || fragment.size == 0 {
            return None;
        }
        end = fragment.offset.checked_add(fragment.size)?;
        let _ = write!(
            text,
            "#EXTINF:{}.{:03},\n#EXT-X-BYTERANGE:{}@{}\n{}.mp4\n",
            fragment.duration_ms / 1_000,
            fragment.duration_ms % 1_000,
            fragment.size,
            fragment.offset,
            name.as_str(),
        );
    }
    if end > index.total_bytes || index.fragments.is_empty() {
        return None;
    }
    text.push_str("#EXT-X-ENDLIST\n");
    Some(text)
}

/// The longest segment, in whole seconds, at least one.
fn target_seconds(index: &RenditionIndex) -> u64 {
    let longest = index.fragments.iter().map(|f| f.duration_ms).max().unwrap_or(0);
    longest.div_ceil(1_000).max(1)
}

/// Bits a second.
struct BitRates {
    /// The largest of any run of segments that takes between half and one and a half target durations.
    peak: u64,
    /// Of the whole.
    average: u64,
}

impl BitRates {
    fn of(index: &RenditionIndex) -> Self {
        let rate = |bytes: u64, ms: u64| bytes.saturating_mul(8_000).div_ceil(ms.max(1));
        let duration: u64 = index.fragments.iter().map(|f| f.duration_ms).sum();
        let average = rate(index.total_bytes, duration);
        let target_ms = target_seconds(index) * 1_000;
        let mut peak = average;
        for start in 0..index.fragments.len() {
            let (mut bytes, mut ms) = (0_u64, 0_u64);
            for fragment in &index.fragments[start..] {
                bytes = bytes.saturating_add(fragment.size);
                ms = ms.saturating_add(fragment.duration_ms);
                if ms > target_ms * 3 / 2 {
                    break;
                }
                if ms >= target_ms / 2 {
                    peak = peak.max(rate(bytes, ms));
                }
            }
        }
        Self { peak, average }
    }
}

/// What a quoted string may hold: a codec is an RFC 6381 string, made by the index builder from numbers.
fn codecs(index: &RenditionIndex) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || ".,-_".contains(*c);
    index.codecs.chars().filter(fine).collect()
}

/// Pictures a second, on average.
fn frame_rate(index: &RenditionIndex) -> Option<f64> {
    let track = index.tracks.iter().find(|track| track.video)?;
    let runs = index.fragments.iter().flat_map(|f| &f.runs);
    let samples = runs.filter(|run| run.track == track.id).flat_map(|run| &run.samples);
    let (count, ticks) = samples.fold((0_u32, 0_u64), |(count, ticks), sample| {
        (
            count.saturating_add(1),
            ticks.saturating_add(u64::from(sample.duration)),
        )
    });
    // A single picture has a duration, not a rate.
    let seconds = ticks as f64 / f64::from(track.timescale);
    (count > 1 && ticks > 0).then(|| f64::from(count) / seconds)
}
