//! How long the sandboxed worker takes for the bundled clip, against the `ffmpeg` program with the same settings: at most 1.05 of it.
//!
//! Both decode once and make the same renditions and the poster; they take turns, and medians are compared. The program runs as nice as the worker does.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashvault::media::{Config, Media, Output, OutputKind, OutputSink, Plan, Source, Transcoder as _, plan};
use dashvault_test_support::{Scratch, program};

const ROUNDS: usize = 5;
const AIM: f64 = 1.05;

struct Clip(Vec<u8>);

#[async_trait::async_trait]
impl Source for Clip {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes> {
        Ok(Bytes::copy_from_slice(&self.0[offset as usize..offset as usize + len]))
    }
}

struct Nowhere;

#[async_trait::async_trait]
impl OutputSink for Nowhere {
    async fn write(&mut self, _: usize, _: Bytes) -> std::io::Result<()> {
        Ok(())
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clips/carnd_solidWhiteRight_960x540.mp4");
    let clip = Clip(std::fs::read(&path).expect("the bundled clip"));
    let media = Media::new(Config {
        worker: Some(program("dashvault-worker")),
        allow_unsandboxed: false,
    });
    let plan = plan(&runtime.block_on(media.probe(&clip)).expect("a probe"));
    let scratch = Scratch::new("transcode");
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let report = runtime
            .block_on(media.make(&clip, &plan, &mut Nowhere, &|_| {}))
            .expect("renditions");
        ours.push(began.elapsed());
        assert_eq!(report.outputs.len(), plan.outputs.len(), "an output was dropped");
        let began = Instant::now();
        let status = ffmpeg(&path, &plan, scratch.path()).status();
        assert!(
            status.expect("`ffmpeg`: the peer is missing").success(),
            "ffmpeg failed"
        );
        peer.push(began.elapsed());
    }
    let (ours, peer) = (median(ours), median(peer));
    let ratio = ours.as_secs_f64() / peer.as_secs_f64();
    println!("transcode: ours {ours:.2?}, peer {peer:.2?}, ratio {ratio:.2} (aim at most {AIM})");
    if ratio <= AIM {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The same as the worker does, in the words of the `ffmpeg` program.
fn ffmpeg(clip: &Path, plan: &Plan, folder: &Path) -> Command {
    let encodes: Vec<_> = plan.outputs.iter().filter_map(encode).collect();
    let mut filters = format!("[0:v]split={}", encodes.len());
    for index in 0..encodes.len() {
        filters += &format!("[s{index}]");
    }
    for (index, (width, height, _)) in encodes.iter().enumerate() {
        filters += &format!(";[s{index}]scale={width}:{height}:flags=bicubic:out_range=tv,format=yuv420p[v{index}]");
    }
    let mut command = Command::new("nice");
    command
        .args(["-n", "10", "ffmpeg", "-v", "error", "-nostdin", "-y", "-i"])
        .arg(clip);
    command.args(["-filter_complex", &filters]);
    for (index, (_, _, settings)) in encodes.iter().enumerate() {
        command.args(["-map", &format!("[v{index}]")]);
        if let Some(bits) = plan.audio_bits {
            command.args(["-map", "0:a", "-c:a", "aac", "-ar", "48000", "-b:a", &bits.to_string()]);
        }
        command.args(settings.split(' '));
        command.args("-movflags empty_moov+default_base_moof+frag_keyframe -f mp4".split(' '));
        command.arg(folder.join(format!("{index}.mp4")));
    }
    command
        .args("-map 0:v -ss 1 -frames:v 1 -q:v 4".split(' '))
        .arg(folder.join("poster.jpg"));
    command
}

fn encode(output: &Output) -> Option<(u32, u32, String)> {
    let OutputKind::Encode(encode) = output.kind else {
        return None;
    };
    let settings = format!(
        "-c:v libx264 -preset veryfast -profile:v high -crf {} -maxrate {} -bufsize {} -bf 0 -g 100000 -sc_threshold 0 -forced-idr 1 \
         -force_key_frames expr:gte(t,n_forced*2)",
        encode.crf, encode.max_bits, encode.buffer_bits
    );
    Some((encode.width, encode.height, settings))
}
