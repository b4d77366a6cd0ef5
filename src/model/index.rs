//! The index of a rendition: where each fragment of a fragmented MP4 lies and what samples it holds.
//!
//! It is built while the bytes pass and serves two ways of delivery: HLS with byte ranges needs the fragments, the
//! plain-MP4 header needs every sample. Reading it back is bounded, so that a wrong index is an error and no more.

/// First byte of an encoded index.
const VERSION: u8 = 1;
/// An encoded index is never longer: 4,000,000 samples of 10 bytes and some for the rest.
pub const MAX_INDEX_BYTES: usize = 48 << 20;
/// `ftyp` and `moov` of a fragmented MP4 take about 1.5 KiB.
pub const MAX_INIT_BYTES: usize = 64 << 10;
/// One picture and one sound track; room for one of text.
pub const MAX_TRACKS: usize = 4;
/// Six hours (the longest clip) in fragments of 2 s, and as much again for short ones.
pub const MAX_FRAGMENTS: usize = 21_600;
/// Each track has one run a fragment; movenc cuts a run when its samples are not contiguous.
pub const MAX_RUNS_PER_FRAGMENT: usize = 64;
/// A fragment of 4 s at 240 pictures a second is a quarter of it.
pub const MAX_SAMPLES_PER_RUN: usize = 4_096;
/// Six hours of 60 pictures and 47 packets of sound a second, and half as much again.
pub const MAX_SAMPLES: usize = 4_000_000;
/// An RFC 6381 string such as `avc1.64001f,mp4a.40.2`.
const MAX_CODECS_BYTES: usize = 128;

/// What must be known of a rendition to serve any part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RenditionIndex {
    /// `ftyp` and `moov`, the first bytes of the object.
    pub init: Vec<u8>,
    /// Length of the whole object.
    pub total_bytes: u64,
    /// From the first sample's start to the end of the longest track.
    pub duration_ms: u64,
    /// For `CODECS` of a playlist and the `codecs` parameter of a media type (RFC 6381).
    pub codecs: String,
    /// Of the picture, in pixels.
    pub width: u32,
    /// Of the picture, in pixels.
    pub height: u32,
    /// In the order of `moov`.
    pub tracks: Vec<Track>,
    /// In the order of the object; they follow each other without a gap.
    pub fragments: Vec<Fragment>,
}

/// A track of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// As `tkhd` names it.
    pub id: u32,
    /// Ticks a second.
    pub timescale: u32,
    /// Picture, else sound.
    pub video: bool,
}

/// One `moof` with its `mdat`; begins with a key frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// First byte of `moof` in the object.
    pub offset: u64,
    /// Bytes of `moof` and `mdat`.
    pub size: u64,
    /// Decode time of the first picture (of the first sample where there is no picture).
    pub start_ms: u64,
    /// To the start of the next fragment, or to the end.
    pub duration_ms: u64,
    /// In the order of the `moof`.
    pub runs: Vec<Run>,
}

/// Samples of one track that lie one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// Id of the track.
    pub track: u32,
    /// Of the first sample, in the track's ticks.
    pub base_decode_time: u64,
    /// First byte of the first sample in the object.
    pub data_offset: u64,
    /// At least one.
    pub samples: Vec<Sample>,
}

/// One sample of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// In the track's ticks.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Decoding can begin here.
    pub sync: bool,
    /// Presentation minus decode time, in the track's ticks.
    pub composition_offset: i32,
}

/// Bytes that are not an index this program wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a rendition index: {0}")]
pub struct IndexError(&'static str);

impl RenditionIndex {
    /// Pictures in all.
    pub fn pictures(&self) -> u64 {
        self.samples(true)
    }

    /// Whether there is a track of sound with anything in it.
    pub fn has_sound(&self) -> bool {
        self.samples(false) > 0
    }

    fn samples(&self, video: bool) -> u64 {
        let is_wanted = |run: &&Run| {
            self.tracks
                .iter()
                .any(|track| track.id == run.track && track.video == video)
        };
        let runs = self.fragments.iter().flat_map(|fragment| &fragment.runs);
        runs.filter(is_wanted).map(|run| run.samples.len() as u64).sum()
    }

    /// The encoding: a version byte, then the fields in order as LEB128 numbers and length-prefixed bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        bytes(&mut out, &self.init);
        number(&mut out, self.total_bytes);
        number(&mut out, self.duration_ms);
        bytes(&mut out, self.codecs.as_bytes());
        number(&mut out, self.width.into());
        number(&mut out, self.height.into());
        number(&mut out, self.tracks.len() as u64);
        for track in &self.tracks {
            number(&mut out, track.id.into());
            number(&mut out, track.timescale.into());
            out.push(track.video.into());
        }
        number(&mut out, self.fragments.len() as u64);
        for fragment in &self.fragments {
            for value in [fragment.offset, fragment.size, fragment.start_ms, fragment.duration_ms] {
                number(&mut out, value);
            }
            number(&mut out, fragment.runs.len() as u64);
            for run in &fragment.runs {
                for value in [run.track.into(), run.base_decode_time, run.data_offset] {
                    number(&mut out, value);
                }
                number(&mut out, run.samples.len() as u64);
                for sample in &run.samples {
                    number(&mut out, sample.duration.into());
                    number(&mut out, u64::from(sample.size) << 1 | u64::from(sample.sync));
                    number(&mut out, zigzag(sample.composition_offset));
                }
            }
        }
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; anything else, longer or beyond a limit, is an error.
    pub fn from_bytes(encoded: &[u8]) -> Result<Self, IndexError> {
        if encoded.len() > MAX_INDEX_BYTES {
            return Err(IndexError("too long"));
        }
        let mut input = Input(encoded);
        if input.byte()? != VERSION {
            return Err(IndexError("an unknown version"));
        }
        let init = input.bytes(MAX_INIT_BYTES)?.to_vec();
        let (total_bytes, duration_ms) = (input.number()?, input.number()?);
        let codecs = std::str::from_utf8(input.bytes(MAX_CODECS_BYTES)?).map_err(|_| IndexError("not UTF-8"))?;
        let codecs = codecs.to_owned();
        let (width, height) = (input.number32()?, input.number32()?);
        let tracks = (0..input.count(MAX_TRACKS)?)
            .map(|_| input.track())
            .collect::<Result<_, _>>()?;
        let mut left = MAX_SAMPLES;
        let fragments = (0..input.count(MAX_FRAGMENTS)?)
            .map(|_| input.fragment(&mut left))
            .collect::<Result<_, _>>()?;
        if !input.0.is_empty() {
            return Err(IndexError("bytes behind its end"));
        }
        Ok(Self {
            init,
            total_bytes,
            duration_ms,
            codecs,
            width,
            height,
            tracks,
            fragments,
        })
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Small negative numbers become small positive ones.
fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

fn unzigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, IndexError> {
        let (first, rest) = self.0.split_first().ok_or(IndexError("cut short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, IndexError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(IndexError("a number of more than 64 bits"))
    }

    fn number32(&mut self) -> Result<u32, IndexError> {
        u32::try_from(self.number()?).map_err(|_| IndexError("a number of more than 32 bits"))
    }

    fn count(&mut self, limit: usize) -> Result<usize, IndexError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > limit {
            return Err(IndexError("more than there may be"));
        }
        Ok(count)
    }

    fn bytes(&mut self, limit: usize) -> Result<&'a [u8], IndexError> {
        let length = self.count(limit)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(IndexError("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn track(&mut self) -> Result<Track, IndexError> {
        let (id, timescale) = (self.number32()?, self.number32()?);
        match self.byte()? {
            video @ (0 | 1) if timescale > 0 => Ok(Track {
                id,
                timescale,
                video: video == 1,
            }),
            _ => Err(IndexError("an impossible track")),
        }
    }

    fn fragment(&mut self, samples_left: &mut usize) -> Result<Fragment, IndexError> {
        let (offset, size) = (self.number()?, self.number()?);
        let (start_ms, duration_ms) = (self.number()?, self.number()?);
        let runs = (0..self.count(MAX_RUNS_PER_FRAGMENT)?)
            .map(|_| self.run(samples_left))
            .collect::<Result<_, _>>()?;
        Ok(Fragment {
            offset,
            size,
            start_ms,
            duration_ms,
            runs,
        })
    }

    fn run(&mut self, samples_left: &mut usize) -> Result<Run, IndexError> {
        let track = self.number32()?;
        let (base_decode_time, data_offset) = (self.number()?, self.number()?);
        let count = self.count(MAX_SAMPLES_PER_RUN.min(*samples_left))?;
        *samples_left -= count;
        let samples = (0..count).map(|_| self.sample()).collect::<Result<_, _>>()?;
        Ok(Run {
            track,
            base_decode_time,
            data_offset,
            samples,
        })
    }

    fn sample(&mut self) -> Result<Sample, IndexError> {
        let duration = self.number32()?;
        let size = self.number()?;
        Ok(Sample {
            duration,
            size: u32::try_from(size >> 1).map_err(|_| IndexError("a number of more than 32 bits"))?,
            sync: size & 1 == 1,
            composition_offset: unzigzag(self.number32()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let sample = (any::<u32>(), any::<u32>(), any::<bool>(), any::<i32>());
        let sample = sample.prop_map(|(duration, size, sync, composition_offset)| Sample {
            duration,
            size,
            sync,
            composition_offset,
        });
        proptest::collection::vec(sample, 0..40)
    }

    fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
        let run = (any::<u32>(), any::<u64>(), any::<u64>(), samples()).prop_map(
            |(track, base_decode_time, data_offset, samples)| Run {
                track,
                base_decode_time,
                data_offset,
                samples,
            },
        );
        let runs = proptest::collection::vec(run, 0..4);
        let fragment = (any::<[u64; 4]>(), runs).prop_map(|([offset, size, start_ms, duration_ms], runs)| Fragment {
            offset,
            size,
            start_ms,
            duration_ms,
            runs,
        });
        proptest::collection::vec(fragment, 0..6)
    }

    fn index() -> impl Strategy<Value = RenditionIndex> {
        let track = (any::<u32>(), 1..=u32::MAX, any::<bool>()).prop_map(|(id, timescale, video)| Track {
            id,
            timescale,
            video,
        });
        let tracks = proptest::collection::vec(track, 0..=MAX_TRACKS);
        let plain = (
            any::<Vec<u8>>(),
            any::<[u64; 2]>(),
            "[a-z0-9.,]{0,40}",
            any::<[u32; 2]>(),
        );
        (plain, tracks, fragments()).prop_map(|((init, numbers, codecs, size), tracks, fragments)| RenditionIndex {
            init,
            total_bytes: numbers[0],
            duration_ms: numbers[1],
            codecs,
            width: size[0],
            height: size[1],
            tracks,
            fragments,
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(index in index()) {
            prop_assert_eq!(RenditionIndex::from_bytes(&index.to_bytes()), Ok(index));
        }

        #[test]
        fn every_cut_is_refused(index in index(), at in any::<prop::sample::Index>()) {
            let encoded = index.to_bytes();
            prop_assert!(RenditionIndex::from_bytes(&encoded[..at.index(encoded.len())]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut encoded in any::<Vec<u8>>()) {
            if let Some(first) = encoded.first_mut() {
                *first = VERSION;
            }
            let _ = RenditionIndex::from_bytes(&encoded);
        }
    }

    #[test]
    fn counts_beyond_the_limits_are_refused_before_memory_is_taken() {
        let mut encoded = vec![VERSION, 0, 0, 0, 0, 0, 0, 0];
        number(&mut encoded, u64::MAX);
        assert_eq!(
            RenditionIndex::from_bytes(&encoded),
            Err(IndexError("more than there may be"))
        );
    }

    #[test]
    fn an_hour_at_30_pictures_a_second_takes_less_than_2_megabytes() {
        let run = |track, count, size| Run {
            track,
            base_decode_time: 90_000 * 3_600,
            data_offset: 1 << 30,
            samples: vec![
                Sample {
                    duration: 1_024,
                    size,
                    sync: false,
                    composition_offset: 2_048
                };
                count
            ],
        };
        let fragment = Fragment {
            offset: 1 << 30,
            size: 600_000,
            start_ms: 3_600_000,
            duration_ms: 2_000,
            runs: vec![run(1, 60, 10_000), run(2, 94, 200)],
        };
        let index = RenditionIndex {
            fragments: vec![fragment; 1_800],
            ..RenditionIndex::default()
        };
        assert!(index.to_bytes().len() < 2 << 20, "{} bytes", index.to_bytes().len());
    }
}
