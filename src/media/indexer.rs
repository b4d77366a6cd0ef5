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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::index::Track;
    use proptest::prelude::*;

    /// 30 pictures and a second of sound, as the worker made them.
    const RENDITION: &[u8] = include_bytes!("../../tests/fixtures/renditions/garmin_360p.mp4");

    fn index(bytes: &[u8], cut: usize) -> Result<RenditionIndex, BadRendition> {
        let mut indexer = Indexer::new();
        for piece in bytes.chunks(cut) {
            indexer.push(piece)?;
        }
        indexer.finish()
    }

    /// Where a box of this kind begins.
    fn find(kind: &[u8; 4]) -> usize {
        let at = RENDITION.windows(4).position(|window| window == kind);
        at.expect("the box") - 4
    }

    fn changed(at: usize, to: &[u8]) -> Vec<u8> {
        let mut bytes = RENDITION.to_vec();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    }

    #[test]
    fn a_rendition_is_read_whole() {
        let index = index(RENDITION, 7).expect("an index");
        assert_eq!(index.total_bytes, RENDITION.len() as u64);
        assert_eq!(index.init, &RENDITION[..find(b"moof")]);
        assert_eq!(index.codecs, "avc1.64001e,mp4a.40.2");
        assert_eq!((index.width, index.height), (640, 360));
        let tracks = [(1, 90_000, true), (2, 48_000, false)];
        let tracks = tracks.map(|(id, timescale, video)| Track { id, timescale, video });
        assert_eq!(index.tracks, tracks);
        assert_eq!((index.pictures(), index.fragments.len()), (30, 1));
        let fragment = &index.fragments[0];
        assert_eq!((fragment.start_ms, fragment.duration_ms), (0, index.duration_ms));
        assert!((1_000..1_010).contains(&index.duration_ms));
        let samples: u64 = fragment.runs.iter().map(run_bytes).sum();
        let payload = RENDITION.len() - find(b"mdat") - HEADER_BYTES;
        assert_eq!(samples, payload as u64);
        let syncs = fragment.runs[0].samples.iter().filter(|sample| sample.sync).count();
        assert_eq!(syncs, 1);
    }

    #[test]
    fn samples_must_lie_in_their_fragment() {
        let trun = find(b"trun");
        // The offset of the first run: before the fragment's samples, and behind them.
        for offset in [0_i32, -1, i32::MIN, i32::MAX, RENDITION.len() as i32] {
            let wrong = index(&changed(trun + 16, &offset.to_be_bytes()), 1_000);
            assert!(wrong.is_err(), "{offset}");
        }
        assert!(
            index(&changed(trun + 12, &u32::MAX.to_be_bytes()), 1_000).is_err(),
            "four billion samples"
        );
    }

    #[test]
    fn boxes_out_of_place_are_refused() {
        let moof = find(b"moof");
        for (why, bytes) in [
            ("no moov", [&RENDITION[..28], &RENDITION[moof..]].concat()),
            ("two moovs", [&RENDITION[..moof], &RENDITION[28..]].concat()),
            ("no mdat", RENDITION[..find(b"mdat")].to_vec()),
            ("two moofs", [&RENDITION[..find(b"mdat")], &RENDITION[moof..]].concat()),
            ("time that runs backward", [RENDITION, &RENDITION[moof..]].concat()),
            ("a strange box", [RENDITION, b"\0\0\0\x0cuuidabcd"].concat()),
            ("a strange codec", changed(find(b"avc1") + 4, b"hvc1")),
            ("a box without an end", changed(moof, &0_u32.to_be_bytes())),
            ("a box of 64 bits", changed(find(b"mdat"), &1_u32.to_be_bytes())),
            ("a huge box", changed(moof, &0x7fff_ffff_u32.to_be_bytes())),
        ] {
            assert!(index(&bytes, 4_096).is_err(), "{why}");
        }
    }

    proptest! {
        #[test]
        fn the_cut_of_the_bytes_does_not_matter(cut in 1_usize..70_000) {
            prop_assert_eq!(index(RENDITION, cut), index(RENDITION, RENDITION.len()));
        }

        #[test]
        fn an_end_too_early_is_refused(length in 0..RENDITION.len()) {
            prop_assert!(index(&RENDITION[..length], 4_096).is_err());
        }

        #[test]
        fn no_change_to_its_tables_makes_it_panic_or_point_outside(
            changes in proptest::collection::vec((0_usize..3_000, any::<u8>()), 1..6)
        ) {
            let mut bytes = RENDITION.to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            if let Ok(index) = index(&bytes, 4_096) {
                for fragment in &index.fragments {
                    let end = fragment.offset + fragment.size;
                    prop_assert!(end <= index.total_bytes);
                    for run in &fragment.runs {
                        prop_assert!(run.data_offset >= fragment.offset && run.data_offset + run_bytes(run) <= end);
                    }
                }
                prop_assert_eq!(RenditionIndex::from_bytes(&index.to_bytes()), Ok(index));
            }
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in any::<Vec<u8>>(), keep in 0..RENDITION.len()) {
            let _ = index(&[&RENDITION[..keep], &bytes].concat(), 512);
        }
    }
}
