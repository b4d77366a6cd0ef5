//! Reads `moov` and `moof`: the tracks of a rendition, and the samples of a fragment.

use super::boxes::{BadRendition, Bytes};
use crate::model::index::{MAX_RUNS_PER_FRAGMENT, MAX_SAMPLES_PER_RUN, MAX_TRACKS, Run, Sample, Track};

/// What `moov` says of a rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Movie {
    pub(super) tracks: Vec<Track>,
    /// `trex` of each track.
    defaults: Vec<Defaults>,
    /// RFC 6381.
    pub(super) codecs: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// A sample that is no key frame (`sample_is_non_sync_sample`).
const NOT_SYNC: u32 = 0x0001_0000;
/// More ticks a second than any clock of a clip; keeps products in 64 bits.
const MAX_TIMESCALE: u32 = 10_000_000;

impl Movie {
    /// Reads the body of `moov`.
    pub(super) fn parse(moov: Bytes<'_>) -> Result<Self, BadRendition> {
        let mut movie = Self {
            tracks: Vec::new(),
            defaults: Vec::new(),
            codecs: String::new(),
            width: 0,
            height: 0,
        };
        for found in moov.boxes() {
            let (kind, body) = found?;
            if &kind == b"trak" {
                if movie.tracks.len() == MAX_TRACKS {
                    return Err(BadRendition("too many tracks"));
                }
                movie.track(body)?;
            }
        }
        movie.defaults = vec![Defaults::default(); movie.tracks.len()];
        for found in moov.find(*b"mvex")?.boxes() {
            let (kind, body) = found?;
            if &kind == b"trex" {
                movie.trex(body)?;
            }
        }
        if movie.tracks.iter().filter(|track| track.video).count() != 1 {
            return Err(BadRendition("there is not one picture"));
        }
        Ok(movie)
    }

    /// The track that carries the picture.
    pub(super) fn picture(&self) -> Track {
        let picture = self.tracks.iter().find(|track| track.video);
        *picture.expect("a movie is made with one")
    }

    fn track(&mut self, trak: Bytes<'_>) -> Result<(), BadRendition> {
        let mut tkhd = trak.find(*b"tkhd")?;
        let (version, _) = tkhd.version_and_flags()?;
        tkhd.take(if version == 1 { 16 } else { 8 })?;
        let id = tkhd.u32()?;
        if id == 0 || self.tracks.iter().any(|track| track.id == id) {
            return Err(BadRendition("two tracks have one number"));
        }
        let mdia = trak.find(*b"mdia")?;
        let mut mdhd = mdia.find(*b"mdhd")?;
        let (version, _) = mdhd.version_and_flags()?;
        mdhd.take(if version == 1 { 16 } else { 8 })?;
        let timescale = mdhd.u32()?;
        if !(1..=MAX_TIMESCALE).contains(&timescale) {
            return Err(BadRendition("an impossible timescale"));
        }
        let mut stsd = mdia.find(*b"minf")?.find(*b"stbl")?.find(*b"stsd")?;
        stsd.version_and_flags()?;
        if stsd.u32()? != 1 {
            return Err(BadRendition("more than one sample entry"));
        }
        let entry = stsd.boxes().next().ok_or(BadRendition("no sample entry"))?;
        let codec = match entry? {
            (kind, entry) if &kind == b"avc1" => self.picture_entry(entry)?,
            (kind, entry) if &kind == b"mp4a" => sound_entry(entry)?,
            _ => return Err(BadRendition("a codec that was not asked for")),
        };
        if !self.codecs.is_empty() {
            self.codecs.push(',');
        }
        self.codecs += &codec;
        self.tracks.push(Track {
            id,
            timescale,
            video: codec.starts_with("avc1"),
        });
        Ok(())
    }

    fn picture_entry(&mut self, mut entry: Bytes<'_>) -> Result<String, BadRendition> {
        entry.take(24)?;
        (self.width, self.height) = (entry.u16()?.into(), entry.u16()?.into());
        entry.take(50)?;
        let mut avcc = entry.find(*b"avcC")?;
        let (version, profile, constraints, level) = (avcc.u8()?, avcc.u8()?, avcc.u8()?, avcc.u8()?);
        if version != 1 || self.width == 0 || self.height == 0 {
            return Err(BadRendition("an impossible picture"));
        }
        Ok(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
    }

    fn trex(&mut self, mut trex: Bytes<'_>) -> Result<(), BadRendition> {
        trex.version_and_flags()?;
        let id = trex.u32()?;
        trex.u32()?;
        let at = self.position(id)?;
        self.defaults[at] = Defaults {
            duration: trex.u32()?,
            size: trex.u32()?,
            flags: trex.u32()?,
        };
        Ok(())
    }

    fn position(&self, id: u32) -> Result<usize, BadRendition> {
        let found = self.tracks.iter().position(|track| track.id == id);
        found.ok_or(BadRendition("a track that was not announced"))
    }

    /// Reads the body of a `moof` that begins at `offset`; the runs' offsets are those of the object.
    pub(super) fn fragment(
        &self,
        offset: u64,
        moof: Bytes<'_>,
        samples_left: &mut usize,
    ) -> Result<Vec<Run>, BadRendition> {
        let mut runs = Vec::new();
        for found in moof.boxes() {
            let (kind, body) = found?;
            if &kind == b"traf" {
                self.track_fragment(offset, body, samples_left, &mut runs)?;
            }
        }
        Ok(runs)
    }

    fn track_fragment(
        &self,
        offset: u64,
        traf: Bytes<'_>,
        samples_left: &mut usize,
        runs: &mut Vec<Run>,
    ) -> Result<(), BadRendition> {
        let mut tfhd = traf.find(*b"tfhd")?;
        let (_, flags) = tfhd.version_and_flags()?;
        let track = tfhd.u32()?;
        // default-base-is-moof, and no offset of its own.
        if flags & 0x02_0000 == 0 || flags & 0x1 != 0 {
            return Err(BadRendition("offsets that do not count from the fragment"));
        }
        if flags & 0x2 != 0 {
            tfhd.u32()?;
        }
        let mut defaults = self.defaults[self.position(track)?];
        for (flag, value) in [
            (0x8, &mut defaults.duration),
            (0x10, &mut defaults.size),
            (0x20, &mut defaults.flags),
        ] {
            if flags & flag != 0 {
                *value = tfhd.u32()?;
            }
        }
        let mut tfdt = traf.find(*b"tfdt")?;
        let (version, _) = tfdt.version_and_flags()?;
        let mut time = if version == 1 { tfdt.u64()? } else { tfdt.u32()?.into() };
        for found in traf.boxes() {
            let (kind, body) = found?;
            if &kind == b"trun" {
                if runs.len() == MAX_RUNS_PER_FRAGMENT {
                    return Err(BadRendition("too many runs in a fragment"));
                }
                let run = run(body, track, offset, time, defaults, samples_left)?;
                time = run_end(&run).ok_or(BadRendition("a time beyond all bounds"))?;
                runs.push(run);
            }
        }
        Ok(())
    }
}

/// Decode time behind the last sample; `None` beyond what numbers hold.
pub(super) fn run_end(run: &Run) -> Option<u64> {
    // As many samples as there may be, of 32 bits each, stay far below 64.
    let length = run.samples.iter().map(|sample| u64::from(sample.duration)).sum();
    run.base_decode_time.checked_add(length)
}

/// Bytes of a run's samples.
pub(super) fn run_bytes(run: &Run) -> u64 {
    run.samples.iter().map(|sample| u64::from(sample.size)).sum()
}

fn run(
    mut trun: Bytes<'_>,
    track: u32,
    moof_offset: u64,
    base_decode_time: u64,
    defaults: Defaults,
    samples_left: &mut usize,
) -> Result<Run, BadRendition> {
    let (_, flags) = trun.version_and_flags()?;
    let count = trun.u32()? as usize;
    if !(1..=MAX_SAMPLES_PER_RUN.min(*samples_left)).contains(&count) {
        return Err(BadRendition("an impossible number of samples"));
    }
    *samples_left -= count;
    if flags & 0x1 == 0 {
        return Err(BadRendition("a run without an offset"));
    }
    let data_offset = moof_offset.checked_add_signed((trun.u32()? as i32).into());
    let first_flags = if flags & 0x4 != 0 { Some(trun.u32()?) } else { None };
    let mut samples = Vec::with_capacity(count);
    for index in 0..count {
        let mut sample = defaults;
        if flags & 0x100 != 0 {
            sample.duration = trun.u32()?;
        }
        if flags & 0x200 != 0 {
            sample.size = trun.u32()?;
        }
        if flags & 0x400 != 0 {
            sample.flags = trun.u32()?;
        }
        if let (0, Some(first)) = (index, first_flags) {
            sample.flags = first;
        }
        // Unsigned in version 0, where half the range is more than any offset there is.
        let composition_offset = if flags & 0x800 != 0 { trun.u32()? as i32 } else { 0 };
        samples.push(Sample {
            duration: sample.duration,
            size: sample.size,
            sync: sample.flags & NOT_SYNC == 0,
            composition_offset,
        });
    }
    Ok(Run {
        track,
        base_decode_time,
        data_offset: data_offset.ok_or(BadRendition("a run before the start of the file"))?,
        samples,
    })
}

/// The RFC 6381 name of an `mp4a` entry: `mp4a.40.2` is AAC-LC.
fn sound_entry(mut entry: Bytes<'_>) -> Result<String, BadRendition> {
    entry.take(28)?;
    let mut esds = entry.find(*b"esds")?;
    esds.version_and_flags()?;
    let mut es = descriptor(&mut esds, 3)?;
    es.take(3)?;
    let mut config = descriptor(&mut es, 4)?;
    let object_type = config.u8()?;
    config.take(12)?;
    let kind = descriptor(&mut config, 5)?.u8()? >> 3;
    match (object_type, kind) {
        (0x40, 1..=30) => Ok(format!("mp4a.40.{kind}")),
        _ => Err(BadRendition("a sound that was not asked for")),
    }
}

/// The body of an MPEG-4 descriptor (ISO/IEC 14496-1, 8.3.3) with the tag that is expected.
fn descriptor<'a>(bytes: &mut Bytes<'a>, tag: u8) -> Result<Bytes<'a>, BadRendition> {
    if bytes.u8()? != tag {
        return Err(BadRendition("an unknown descriptor"));
    }
    let mut length = 0_usize;
    for _ in 0..4 {
        let byte = bytes.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(Bytes(bytes.take(length)?));
        }
    }
    Err(BadRendition("a descriptor without a length"))
}
