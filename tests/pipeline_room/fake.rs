//! A transcoder without libav that keeps to the contract of the real one, and checks that its callers do.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dashvault::media::{
    MadeOutput, MakeReport, MediaError, Output, OutputKind, OutputSink, Plan, Probe, Source, Transcoder, Video,
};
use dashvault::model::index::{Fragment, RenditionIndex, Run, Sample, Track};
use dashvault_worker_protocol::Packets;
use tokio::sync::Semaphore;

/// Clips that begin so are video; the rest of their bytes does not matter.
pub const VIDEO: &[u8] = b"video:";
/// Makes the fake panic in the middle of its work.
pub const POISON: &[u8] = b"video:poison";
/// Can be probed, but no picture can be decoded.
pub const BROKEN: &[u8] = b"video:broken";

/// The fake.
pub struct FakeTranscoder {
    /// How often each clip was made, by the first bytes of it.
    made: Mutex<HashMap<Vec<u8>, usize>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// A permit lets one make go on past its middle.
    gate: Semaphore,
    /// Finds no picture in any clip.
    blind: bool,
    /// So many makes are still to be ended from outside.
    kills: AtomicUsize,
}

impl FakeTranscoder {
    /// One that never waits.
    pub fn new() -> Self {
        Self::gated(Semaphore::MAX_PERMITS)
    }

    /// One that lets `makes` makes go past their middle; the others wait for [`FakeTranscoder::open`].
    pub fn gated(makes: usize) -> Self {
        Self {
            made: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Semaphore::new(makes),
            blind: false,
            kills: AtomicUsize::new(0),
        }
    }

    /// One whose first `makes` makes are ended from outside.
    pub fn killed(makes: usize) -> Self {
        Self {
            kills: AtomicUsize::new(makes),
            ..Self::new()
        }
    }

    /// One that waits for [`FakeTranscoder::open`] and then finds no picture.
    pub fn gated_and_blind() -> Self {
        Self {
            blind: true,
            ..Self::gated(0)
        }
    }

    /// One that waits for [`FakeTranscoder::open`] and is then ended from outside.
    pub fn gated_and_killed() -> Self {
        Self {
            kills: AtomicUsize::new(usize::MAX),
            ..Self::gated(0)
        }
    }

    pub fn open(&self, makes: usize) {
        self.gate.add_permits(makes);
    }

    /// How many makes wait at the gate or work now.
    pub fn at_work(&self) -> usize {
        self.at_once.load(Ordering::SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// How often each clip was made.
    pub fn times_made(&self) -> Vec<usize> {
        self.made.lock().unwrap().values().copied().collect()
    }
}

/// Counts down also when the future is dropped.
struct AtWork<'a>(&'a AtomicUsize);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn read_all(source: &dyn Source) -> Result<Vec<u8>, MediaError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < source.len() {
        let part = source
            .read(bytes.len() as u64, 300_000)
            .await
            .map_err(MediaError::Source)?;
        assert!(
            !part.is_empty() && part.len() <= 300_000,
            "a read answers something and no more than asked"
        );
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[async_trait]
impl Transcoder for FakeTranscoder {
    async fn probe(&self, source: &dyn Source) -> Result<Probe, MediaError> {
        // Demuxers look at both ends first.
        let head = source.read(0, VIDEO.len()).await.map_err(MediaError::Source)?;
        source.read(source.len() - 1, 1).await.map_err(MediaError::Source)?;
        if head != VIDEO {
            return Err(MediaError::Unsupported("not a video".to_owned()));
        }
        Ok(probed(source.len()))
    }

    async fn make(
        &self,
        source: &dyn Source,
        plan: &Plan,
        sink: &mut dyn OutputSink,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<MakeReport, MediaError> {
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        let _at_work = AtWork(&self.at_once);
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let clip = read_all(source).await?;
        let label = clip[..clip.len().min(64)].to_vec();
        *self.made.lock().unwrap().entry(label).or_default() += 1;
        progress(0.25);
        // The outputs come interleaved, in halves.
        for half in 0..2 {
            for (number, output) in plan.outputs.iter().enumerate() {
                let bytes = output_bytes(&clip, plan, output);
                let middle = bytes.len() / 2;
                let part = if half == 0 { &bytes[..middle] } else { &bytes[middle..] };
                sink.write(number, Bytes::copy_from_slice(part))
                    .await
                    .map_err(MediaError::Sink)?;
            }
            progress(0.5 + 0.25 * half as f32);
            if half == 0 {
                self.gate.acquire().await.expect("never closed").forget();
                assert!(!clip.starts_with(POISON), "the fake was told to panic");
                let left = |kills: usize| kills.checked_sub(1);
                if self
                    .kills
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                    .is_ok()
                {
                    return Err(MediaError::Killed("signal: 15 (SIGTERM)".to_owned()));
                }
                if self.blind || clip.starts_with(BROKEN) {
                    return Err(MediaError::Invalid("no picture".to_owned()));
                }
            }
        }
        progress(1.0);
        Ok(MakeReport {
            outputs: plan
                .outputs
                .iter()
                .enumerate()
                .map(|(n, o)| made(&clip, plan, n, o))
                .collect(),
            incomplete: false,
            has_audio: plan.audio_bits.is_some(),
        })
    }
}

/// What the fake finds in every video of this size.
pub fn probed(size_bytes: u64) -> Probe {
    Probe {
        format: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
        size_bytes,
        duration_ms: 10_000,
        video: Video {
            codec: "h264".to_owned(),
            profile: 100,
            pixel_format: "yuv420p".to_owned(),
            width: 1280,
            height: 720,
            pixel_aspect: (1, 1),
            rotation: 0,
            frames_per_1000s: 30_000,
            progressive: true,
            packets: Some(Packets {
                count: 300,
                bytes: size_bytes,
                longest_gop_ms: 2_000,
                orderly: true,
            }),
        },
        audio: None,
    }
}

/// What the fake makes of a clip: says what it is made of, so that a test can tell.
pub fn output_bytes(clip: &[u8], plan: &Plan, output: &Output) -> Vec<u8> {
    let mut bytes = format!("{} {:?} {:?} ", output.name, plan.span, plan.audio_bits).into_bytes();
    bytes.extend_from_slice(clip);
    bytes
}

fn made(clip: &[u8], plan: &Plan, number: usize, output: &Output) -> MadeOutput {
    let bytes = output_bytes(clip, plan, output).len() as u64;
    let (width, height, codec) = match output.kind {
        OutputKind::Remux => (1280, 720, "avc1.64001f"),
        OutputKind::Encode(encode) => (encode.width, encode.height, "avc1.64001f"),
        OutputKind::Poster { width, height } => (width, height, "jpeg"),
    };
    let poster = matches!(output.kind, OutputKind::Poster { .. });
    MadeOutput {
        output: number,
        name: output.name.clone(),
        bytes,
        frames: if poster { 1 } else { 300 },
        width,
        height,
        codec: codec.to_owned(),
        duration_ms: if poster { 0 } else { plan.duration_ms },
        index: (!poster).then(|| index(bytes, plan.duration_ms, width, height)),
    }
}

fn index(total_bytes: u64, duration_ms: u64, width: u32, height: u32) -> RenditionIndex {
    RenditionIndex {
        init: b"init".to_vec(),
        total_bytes,
        duration_ms,
        codecs: "avc1.64001f".to_owned(),
        width,
        height,
        tracks: vec![Track {
            id: 1,
            timescale: 1_000,
            video: true,
        }],
        fragments: vec![Fragment {
            offset: 4,
            size: total_bytes - 4,
            start_ms: 0,
            duration_ms,
            runs: vec![Run {
                track: 1,
                base_decode_time: 0,
                data_offset: 8,
                samples: vec![Sample {
                    duration: 33,
                    size: 100,
                    sync: true,
                    composition_offset: 0,
                }],
            }],
        }],
    }
}
