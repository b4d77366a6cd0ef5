//! The sample tables of one track: what a plain MP4 tells of every sample, taken from the index of the fragments.

use super::boxes::{put32, put64, write_full_box};
use crate::model::index::{RenditionIndex, Sample};

/// One track's samples in the order they lie in, with exact decode times.
#[derive(Default)]
pub(super) struct Samples {
    /// Decode time of the first sample, in the track's ticks; a plain MP4 has no place for it but an edit list.
    pub start: u64,
    /// Ticks from one decode time to the next, the last sample's own duration last.
    durations: Vec<u32>,
    /// Presentation minus decode time.
    offsets: Vec<i32>,
    sizes: Vec<u32>,
    /// 1-based numbers of the samples that decoding can begin at.
    syncs: Vec<u32>,
    /// Where each run lies in the object, and how many samples it has.
    chunks: Vec<(u64, u32)>,
}

/// What an index says that cannot be.
pub(super) type Impossible = ();

impl Samples {
    /// The samples of the track `id`. Runs must lie behind the init bytes and within the object.
    pub fn of(index: &RenditionIndex, id: u32) -> Result<Self, Impossible> {
        let mut samples = Self::default();
        let mut last: Option<(u64, Sample)> = None;
        for run in index.fragments.iter().flat_map(|f| &f.runs).filter(|r| r.track == id) {
            let bytes: u64 = run.samples.iter().map(|s| u64::from(s.size)).sum();
            let end = run.data_offset.checked_add(bytes).ok_or(())?;
            if run.data_offset < index.init.len() as u64 || end > index.total_bytes {
                return Err(());
            }
            if run.samples.is_empty() {
                continue;
            }
            let count = u32::try_from(run.samples.len()).map_err(|_| ())?;
            samples.chunks.push((run.data_offset, count));
            let mut decode = run.base_decode_time;
            for sample in &run.samples {
                // Written decode times are sums of durations, so one that runs back cannot be written: it waits, and the
                // sample's offset takes up the difference.
                let written = match last {
                    None => {
                        samples.start = decode;
                        decode
                    }
                    Some((before, _)) => {
                        let step = u32::try_from(decode.saturating_sub(before)).unwrap_or(u32::MAX);
                        samples.durations.push(step);
                        before.checked_add(u64::from(step)).ok_or(())?
                    }
                };
                let shift = i64::try_from(decode).map_err(|_| ())? - i64::try_from(written).map_err(|_| ())?;
                let offset = i64::from(sample.composition_offset).checked_add(shift).ok_or(())?;
                samples.offsets.push(i32::try_from(offset).map_err(|_| ())?);
                samples.sizes.push(sample.size);
                if sample.sync {
                    samples.syncs.push(u32::try_from(samples.sizes.len()).map_err(|_| ())?);
                }
                last = Some((written, *sample));
                decode = decode.checked_add(u64::from(sample.duration)).ok_or(())?;
            }
        }
        samples.durations.extend(last.map(|(_, sample)| sample.duration));
        Ok(samples)
    }

    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Ticks that all samples take.
    pub fn duration(&self) -> u64 {
        self.durations.iter().map(|d| u64::from(*d)).sum()
    }

    /// When the last sample's presentation ends, in ticks from the first decode time.
    pub fn presentation_end(&self) -> u64 {
        let (mut decode, mut end) = (0_i64, 0_i64);
        for (duration, offset) in self.durations.iter().zip(&self.offsets) {
            end = end.max(decode + i64::from(*offset) + i64::from(*duration));
            decode += i64::from(*duration);
        }
        end.unsigned_abs()
    }

    /// Writes `stts`, `ctts`, `stss`, `stsc`, `stsz` and the chunks' offsets. `moved` is what is added to a place in the
    /// object to have it in the file; `large` makes the offsets 64 bits wide.
    pub fn write(&self, out: &mut Vec<u8>, moved: i64, large: bool) {
        table(out, b"stts", 0, &runs(&self.durations));
        if self.offsets.iter().any(|offset| *offset != 0) {
            // Version 1 has signed offsets.
            let version = u8::from(self.offsets.iter().any(|offset| *offset < 0));
            let bits: Vec<_> = self.offsets.iter().map(|offset| offset.cast_unsigned()).collect();
            table(out, b"ctts", version, &runs(&bits));
        }
        // Without a table of sync samples every sample is one.
        if self.syncs.len() != self.sizes.len() {
            write_full_box(out, b"stss", 0, 0, |out| list(out, &self.syncs));
        }
        self.write_chunk_lengths(out);
        write_full_box(out, b"stsz", 0, 0, |out| {
            let first = self.sizes.first().copied().unwrap_or(0);
            if first != 0 && self.sizes.iter().all(|size| *size == first) {
                put32(out, first);
                put32(out, count(&self.sizes));
            } else {
                put32(out, 0);
                list(out, &self.sizes);
            }
        });
        let kind = if large { b"co64" } else { b"stco" };
        write_full_box(out, kind, 0, 0, |out| {
            put32(out, count(&self.chunks));
            for (place, _) in &self.chunks {
                let place = place.saturating_add_signed(moved);
                match large {
                    true => put64(out, place),
                    false => put32(out, u32::try_from(place).unwrap_or(u32::MAX)),
                }
            }
        });
    }

    /// `stsc`: (first chunk, samples a chunk, description 1), an entry where the number changes.
    fn write_chunk_lengths(&self, out: &mut Vec<u8>) {
        let mut entries: Vec<(u32, u32)> = Vec::new();
        for (number, (_, samples)) in (1_u32..).zip(&self.chunks) {
            if entries.last().is_none_or(|(_, last)| last != samples) {
                entries.push((number, *samples));
            }
        }
        write_full_box(out, b"stsc", 0, 0, |out| {
            put32(out, count(&entries));
            for (chunk, samples) in &entries {
                put32(out, *chunk);
                put32(out, *samples);
                put32(out, 1);
            }
        });
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// Equal values that follow each other, as (how many, value).
fn runs(values: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((many, last)) if last == value => *many += 1,
            _ => runs.push((1, *value)),
        }
    }
    runs
}

fn table(out: &mut Vec<u8>, kind: &[u8; 4], version: u8, entries: &[(u32, u32)]) {
    write_full_box(out, kind, version, 0, |out| {
        put32(out, count(entries));
        for (many, value) in entries {
            put32(out, *many);
            put32(out, *value);
        }
    });
}

fn list(out: &mut Vec<u8>, values: &[u32]) {
    put32(out, count(values));
    for value in values {
        put32(out, *value);
    }
}
