//! Builds a rendition's index while its bytes pass, and refuses what is not a rendition.
//!
//! The bytes come from a process that a clip may have taken over, so nothing is believed: only the boxes that were asked for are
//! taken, in their order, each within a bound, and every sample has to lie in its own fragment. Memory is bounded by the limits of the index, time is linear.

use super::boxes::{BadRendition, Bytes};
use super::movie::{Movie, run_bytes, run_end};
use crate::model::index::{Fragment, MAX_FRAGMENTS, MAX_INIT_BYTES, MAX_SAMPLES, RenditionIndex};

/// A `moof` of 64 full runs of 16-byte samples is below it.
const MAX_MOOF_BYTES: usize = 6 << 20;
const HEADER_BYTES: usize = 8;

/// Takes a rendition's bytes in any cut.
pub(super) struct Indexer {
    /// Bytes taken.
    total: u64,
    state: State,
    /// `ftyp` and `moov` as they came.
    init: Vec<u8>,
    movie: Option<Movie>,
    fragments: Vec<Fragment>,
    samples_left: usize,
    /// The last fragment has no `mdat` yet.
    awaits_samples: bool,
    /// The decode time that each track has reached.
    reached: Vec<u64>,
}

enum State {
    /// Collects a box header.
    Header(Vec<u8>),
    /// Collects the whole of a box, header included.
    Box { bytes: Vec<u8>, length: usize },
    /// Lets so many bytes of samples pass.
    Samples(u64),
}

impl Indexer {
    pub(super) fn new() -> Self {
        Self {
            total: 0,
            state: State::Header(Vec::new()),
            init: Vec::new(),
            movie: None,
            fragments: Vec::new(),
            samples_left: MAX_SAMPLES,
            awaits_samples: false,
            reached: Vec::new(),
        }
    }

    /// The next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), BadRendition> {
        while !bytes.is_empty() {
            let count = match &mut self.state {
                State::Header(header) => fill(header, HEADER_BYTES, bytes),
                State::Box { bytes: whole, length } => fill(whole, *length, bytes),
                State::Samples(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= count as u64;
                    count
                }
            };
            self.total += count as u64;
            bytes = &bytes[count..];
            self.advance()?;
        }
        Ok(())
    }

    /// The end: everything announced must have come.
    pub(super) fn finish(mut self) -> Result<RenditionIndex, BadRendition> {
        if self.awaits_samples || !matches!(&self.state, State::Header(header) if header.is_empty()) {
            return Err(BadRendition("it ends inside a box"));
        }
        let movie = self.movie.ok_or(BadRendition("it has no moov"))?;
        if self.fragments.is_empty() {
            return Err(BadRendition("it has no fragment"));
        }
        let ends = movie.tracks.iter().zip(&self.reached);
        let duration_ms = ends.map(|(track, end)| milliseconds(*end, track.timescale)).max();
        let duration_ms = duration_ms.unwrap_or(0);
        let starts: Vec<_> = self.fragments.iter().map(|fragment| fragment.start_ms).collect();
        let ends = starts.iter().skip(1).copied().chain([duration_ms]);
        for (fragment, end) in self.fragments.iter_mut().zip(ends) {
            fragment.duration_ms = end.saturating_sub(fragment.start_ms);
        }
        Ok(RenditionIndex {
            init: self.init,
            total_bytes: self.total,
            duration_ms,
            codecs: movie.codecs,
            width: movie.width,
            height: movie.height,
            tracks: movie.tracks,
            fragments: self.fragments,
        })
    }

    /// Moves on when the state is complete.
    fn advance(&mut self) -> Result<(), BadRendition> {
        match &mut self.state {
            State::Header(header) if header.len() == HEADER_BYTES => {
                let header = std::mem::take(header);
                self.state = self.begin_box(header)?;
            }
            State::Box { bytes, length } if bytes.len() == *length => {
                let whole = std::mem::take(bytes);
                self.end_box(&whole)?;
                self.state = State::Header(Vec::new());
            }
            State::Samples(0) => self.state = State::Header(Vec::new()),
            _ => {}
        }
        Ok(())
    }

    fn begin_box(&mut self, header: Vec<u8>) -> Result<State, BadRendition> {
        let mut fields = Bytes(&header);
        let (size, kind) = (fields.u32()?, fields.take(4)?);
        let length = size as usize;
        let limit = match kind {
            b"ftyp" if self.init.is_empty() => MAX_INIT_BYTES,
            b"moov" if !self.init.is_empty() && self.movie.is_none() => MAX_INIT_BYTES - self.init.len(),
            b"moof" if self.movie.is_some() && self.fragments.len() < MAX_FRAGMENTS && !self.awaits_samples => {
                MAX_MOOF_BYTES
            }
            b"mdat" if self.awaits_samples => return self.begin_samples(size),
            _ => return Err(BadRendition("a box out of place")),
        };
        if !(HEADER_BYTES + 1..=limit).contains(&length) {
            return Err(BadRendition("a box of an impossible size"));
        }
        Ok(State::Box { bytes: header, length })
    }

    fn end_box(&mut self, whole: &[u8]) -> Result<(), BadRendition> {
        let body = Bytes(&whole[HEADER_BYTES..]);
        match &whole[4..8] {
            b"ftyp" => self.init = whole.to_vec(),
            b"moov" => {
                let movie = Movie::parse(body)?;
                self.reached = vec![0; movie.tracks.len()];
                self.movie = Some(movie);
                self.init.extend_from_slice(whole);
            }
            _ => self.begin_fragment(whole.len() as u64, body)?,
        }
        Ok(())
    }

    fn begin_fragment(&mut self, moof_bytes: u64, moof: Bytes<'_>) -> Result<(), BadRendition> {
        let movie = self.movie.as_ref().ok_or(BadRendition("a fragment before its moov"))?;
        let offset = self.total - moof_bytes;
        let runs = movie.fragment(offset, moof, &mut self.samples_left)?;
        for (track, reached) in movie.tracks.iter().zip(&mut self.reached) {
            for run in runs.iter().filter(|run| run.track == track.id) {
                if run.base_decode_time < *reached {
                    return Err(BadRendition("time that runs backward"));
                }
                *reached = run_end(run).ok_or(BadRendition("a time beyond all bounds"))?;
            }
        }
        let picture = movie.picture();
        let first = runs.iter().find(|run| run.track == picture.id);
        let first = first.ok_or(BadRendition("a fragment without a picture"))?;
        if !first.samples.first().is_some_and(|sample| sample.sync) {
            return Err(BadRendition("a fragment that does not begin with a key frame"));
        }
        self.fragments.push(Fragment {
            offset,
            size: moof_bytes,
            start_ms: milliseconds(first.base_decode_time, picture.timescale),
            duration_ms: 0,
            runs,
        });
        self.awaits_samples = true;
        Ok(())
    }

    fn begin_samples(&mut self, size: u32) -> Result<State, BadRendition> {
        let fragment = self.fragments.last_mut().ok_or(BadRendition("samples before a moof"))?;
        let samples = u64::from(size).checked_sub(HEADER_BYTES as u64);
        let samples = samples
            .filter(|length| *length > 0)
            .ok_or(BadRendition("a box of an impossible size"))?;
        let (begin, end) = (self.total, self.total + samples);
        for run in &fragment.runs {
            let run_end = run.data_offset.checked_add(run_bytes(run));
            if run.data_offset < begin || run_end.is_none_or(|run_end| run_end > end) {
                return Err(BadRendition("samples outside their fragment"));
            }
        }
        fragment.size = end - fragment.offset;
        self.awaits_samples = false;
        Ok(State::Samples(samples))
    }
}

/// Moves bytes to `into` until it has `length`; says how many.
fn fill(into: &mut Vec<u8>, length: usize, from: &[u8]) -> usize {
    let count = (length - into.len()).min(from.len());
    into.extend_from_slice(&from[..count]);
    count
}

fn milliseconds(ticks: u64, timescale: u32) -> u64 {
    let exact = u128::from(ticks) * 1_000 / u128::from(timescale.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}
