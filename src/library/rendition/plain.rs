//! The header that makes an ordinary MP4 of a fragmented one, whose bytes stay as they are.
//!
//! The file is `ftyp`, a `moov` with a table of every sample, and one `mdat` that spans all fragments: their `moof` boxes
//! become bytes that no table points to. So a player that knows nothing of fragments seeks at once, the length is known,
//! and any range is served from computed bytes and one sealed object.

use super::boxes::{boxes, inside, put16, put32, put64, read16, read32, read64, whole_box, write_box, write_full_box};
use super::samples::{Impossible, Samples};
use crate::model::index::{RenditionIndex, Track};

/// Part of an entity tag: raise it whenever other bytes come out for the same index.
pub(in super::super) const PLAIN_VERSION: u8 = 1;

/// Past this, places need 64 bits.
const SMALL_BYTES: u64 = u32::MAX as u64;

/// What stands before the fragments.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct PlainHeader {
    /// `ftyp`, `moov` and the first bytes of `mdat`.
    pub bytes: Vec<u8>,
    /// Bytes of the object that these stand for; what follows them in the object follows the header.
    pub replaced: u64,
}

/// What becomes of a track.
struct PlainTrack<'a> {
    track: Track,
    /// Content of its `trak` in the init bytes.
    old: &'a [u8],
    samples: Samples,
    edits: Vec<Edit>,
}

/// An entry of an edit list.
struct Edit {
    /// In the movie's ticks.
    duration: u64,
    /// In the track's ticks; none shows nothing.
    media_time: Option<u64>,
}

impl PlainHeader {
    /// Computes the header. An index whose parts contradict each other is refused.
    pub fn of(index: &RenditionIndex) -> Result<Self, Impossible> {
        let replaced = index.init.len() as u64;
        let fragments = index.total_bytes.checked_sub(replaced).ok_or(())?;
        let moov = inside(&index.init, b"moov").ok_or(())?;
        // The picture's clock, so that a track's late start is told exactly enough.
        let clock = index
            .tracks
            .iter()
            .find(|t| t.video)
            .or(index.tracks.first())
            .ok_or(())?;
        let movie_timescale = clock.timescale;
        let mut tracks = Vec::new();
        for old in boxes(moov).filter(|(kind, ..)| kind == b"trak").map(|(.., old)| old) {
            let id = track_id(old).ok_or(())?;
            let track = *index.tracks.iter().find(|t| t.id == id).ok_or(())?;
            let samples = Samples::of(index, id)?;
            if samples.is_empty() {
                continue;
            }
            let edits = edits(old, moov, track, &samples, movie_timescale)?;
            tracks.push(PlainTrack {
                track,
                old,
                samples,
                edits,
            });
        }
        if tracks.is_empty() {
            return Err(());
        }
        // The size does not depend on the places, but for their width.
        let large = fragments >= SMALL_BYTES - (64 << 20);
        let mut bytes = header(&tracks, movie_timescale, fragments, 0, large)?;
        let moved = i64::try_from(bytes.len()).map_err(|_| ())? - i64::try_from(replaced).map_err(|_| ())?;
        bytes = header(&tracks, movie_timescale, fragments, moved, large)?;
        if !large && bytes.len() as u64 + fragments > SMALL_BYTES {
            return Err(());
        }
        Ok(Self { bytes, replaced })
    }
}

fn header(
    tracks: &[PlainTrack<'_>],
    movie_timescale: u32,
    fragments: u64,
    moved: i64,
    large: bool,
) -> Result<Vec<u8>, Impossible> {
    let mut out = Vec::new();
    write_box(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"isom\0\0\x02\0isomiso2avc1mp41");
    });
    let mut failed = false;
    write_box(&mut out, b"moov", |out| {
        let duration = tracks.iter().map(|t| t.duration(movie_timescale)).max().unwrap_or(0);
        write_movie_header(out, movie_timescale, duration, tracks);
        for track in tracks {
            failed |= track.write(out, movie_timescale, moved, large).is_none();
        }
    });
    if failed {
        return Err(());
    }
    if large {
        put32(&mut out, 1);
        out.extend_from_slice(b"mdat");
        put64(&mut out, fragments + 16);
    } else {
        put32(&mut out, u32::try_from(fragments + 8).map_err(|_| ())?);
        out.extend_from_slice(b"mdat");
    }
    Ok(out)
}

fn write_movie_header(out: &mut Vec<u8>, timescale: u32, duration: u64, tracks: &[PlainTrack<'_>]) {
    write_full_box(out, b"mvhd", 1, 0, |out| {
        out.extend_from_slice(&[0; 16]); // times of making: none of our business to tell
        put32(out, timescale);
        put64(out, duration);
        put32(out, 0x0001_0000); // rate 1
        put16(out, 0x0100); // volume 1
        out.extend_from_slice(&[0; 10]);
        for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
            put32(out, value); // the picture as it is
        }
        out.extend_from_slice(&[0; 24]);
        let next = tracks.iter().map(|t| t.track.id).max().unwrap_or(0);
        put32(out, next.saturating_add(1));
    });
}

impl PlainTrack<'_> {
    /// In the movie's ticks, late start included.
    fn duration(&self, movie_timescale: u32) -> u64 {
        match self.edits.as_slice() {
            [] => rescale_up(self.samples.presentation_end(), self.track.timescale, movie_timescale),
            edits => edits.iter().fold(0, |sum, edit| sum.saturating_add(edit.duration)),
        }
    }

    fn write(&self, out: &mut Vec<u8>, movie_timescale: u32, moved: i64, large: bool) -> Option<()> {
        let mdia = inside(self.old, b"mdia")?;
        let minf = inside(mdia, b"minf")?;
        let stbl = inside(minf, b"stbl")?;
        let (hdlr, stsd) = (whole_box(mdia, b"hdlr")?, whole_box(stbl, b"stsd")?);
        let dinf = whole_box(minf, b"dinf")?;
        let media_header = boxes(minf).find(|(kind, ..)| [b"vmhd", b"smhd", b"nmhd", b"sthd"].contains(&kind));
        let language = language(inside(mdia, b"mdhd")?)?;
        let appearance = appearance(inside(self.old, b"tkhd")?)?;
        write_box(out, b"trak", |out| {
            // Flags: enabled, in the movie.
            write_full_box(out, b"tkhd", 1, 3, |out| {
                out.extend_from_slice(&[0; 16]);
                put32(out, self.track.id);
                put32(out, 0);
                put64(out, self.duration(movie_timescale));
                out.extend_from_slice(appearance);
            });
            if !self.edits.is_empty() {
                write_box(out, b"edts", |out| write_edits(out, &self.edits));
            }
            write_box(out, b"mdia", |out| {
                write_full_box(out, b"mdhd", 1, 0, |out| {
                    out.extend_from_slice(&[0; 16]);
                    put32(out, self.track.timescale);
                    put64(out, self.samples.duration());
                    put16(out, language);
                    put16(out, 0);
                });
                out.extend_from_slice(hdlr);
                write_box(out, b"minf", |out| {
                    if let Some((_, whole, _)) = media_header {
                        out.extend_from_slice(whole);
                    }
                    out.extend_from_slice(dinf);
                    write_box(out, b"stbl", |out| {
                        out.extend_from_slice(stsd);
                        self.samples.write(out, moved, large);
                    });
                });
            });
        });
        Some(())
    }
}

fn write_edits(out: &mut Vec<u8>, edits: &[Edit]) {
    write_full_box(out, b"elst", 1, 0, |out| {
        put32(out, u32::try_from(edits.len()).unwrap_or(u32::MAX));
        for edit in edits {
            put64(out, edit.duration);
            put64(out, edit.media_time.unwrap_or(u64::MAX)); // -1: nothing is shown
            put32(out, 0x0001_0000);
        }
    });
}

/// The edit list of a track: its late start, and the samples at its begin that are decoded and not shown (as the priming
/// of AAC), where the fragmented file tells of either. None when everything is shown from the start.
fn edits(
    old: &[u8],
    moov: &[u8],
    track: Track,
    samples: &Samples,
    movie_timescale: u32,
) -> Result<Vec<Edit>, Impossible> {
    let (mut late, mut skipped) = (rescale(samples.start, track.timescale, movie_timescale), 0);
    if let Some(list) = inside(old, b"edts").and_then(|edts| inside(edts, b"elst")) {
        let old_timescale = movie_header_timescale(moov).ok_or(())?;
        let version = *list.first().ok_or(())?;
        let count = read32(list, 4).ok_or(())?;
        // An empty edit and one that shows the rest are all that a writer of fragments makes.
        for number in 0..usize::try_from(count).map_err(|_| ())?.min(2) {
            let (duration, media_time) = read_edit(list, version, number).ok_or(())?;
            match media_time {
                None => late = late.saturating_add(rescale(duration, old_timescale, movie_timescale)),
                Some(time) => {
                    skipped = time;
                    break;
                }
            }
        }
    }
    if late == 0 && skipped == 0 {
        return Ok(Vec::new());
    }
    let shown = samples.presentation_end().saturating_sub(skipped);
    let mut edits = Vec::new();
    if late > 0 {
        edits.push(Edit {
            duration: late,
            media_time: None,
        });
    }
    edits.push(Edit {
        // Rounded up: rounded down, the last frame may be cut off.
        duration: rescale_up(shown, track.timescale, movie_timescale),
        media_time: Some(skipped),
    });
    Ok(edits)
}

fn read_edit(list: &[u8], version: u8, number: usize) -> Option<(u64, Option<u64>)> {
    let (duration, media_time) = if version == 0 {
        let at = 8 + number * 12;
        let media_time = read32(list, at + 4)?.cast_signed();
        (u64::from(read32(list, at)?), i64::from(media_time))
    } else {
        let at = 8 + number * 20;
        (read64(list, at)?, read64(list, at + 8)?.cast_signed())
    };
    Some((duration, u64::try_from(media_time).ok()))
}

fn movie_header_timescale(moov: &[u8]) -> Option<u32> {
    let header = inside(moov, b"mvhd")?;
    let at = if *header.first()? == 0 { 12 } else { 20 };
    read32(header, at).filter(|timescale| *timescale > 0)
}

fn track_id(trak: &[u8]) -> Option<u32> {
    let header = inside(trak, b"tkhd")?;
    read32(header, if *header.first()? == 0 { 12 } else { 20 })
}

/// Layer, group, volume, matrix and size: the last 60 bytes of a track header.
fn appearance(tkhd: &[u8]) -> Option<&[u8]> {
    let at = if *tkhd.first()? == 0 { 24 } else { 36 };
    tkhd.get(at..at + 60)
}

fn language(mdhd: &[u8]) -> Option<u16> {
    read16(mdhd, if *mdhd.first()? == 0 { 20 } else { 32 })
}

fn rescale(ticks: u64, from: u32, to: u32) -> u64 {
    let scaled = (u128::from(ticks) * u128::from(to) + u128::from(from) / 2) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn rescale_up(ticks: u64, from: u32, to: u32) -> u64 {
    let scaled = (u128::from(ticks) * u128::from(to)).div_ceil(u128::from(from.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
