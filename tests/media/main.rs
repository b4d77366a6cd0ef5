//! The media room with its real worker on real clips, and on hostile ones and hostile workers.

mod hostile;
mod liars;
mod links;
mod renditions;
mod sandbox;
mod secrets;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use bytes::Bytes;
use dashvault::media::{Config, MakeReport, Media, MediaError, OutputSink, Plan, Probe, Source, Transcoder as _, plan};
use dashvault_test_support::{Scratch, program};

/// A clip in memory.
struct Clip(Vec<u8>);

#[async_trait::async_trait]
impl Source for Clip {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes> {
        let start = offset as usize;
        // Shorter than asked for, as a store that answers in segments does.
        Ok(Bytes::copy_from_slice(&self.0[start..start + len.min(100_000)]))
    }
}

/// The outputs in memory.
#[derive(Default)]
struct Outputs(Vec<Vec<u8>>);

#[async_trait::async_trait]
impl OutputSink for Outputs {
    async fn write(&mut self, output: usize, bytes: Bytes) -> std::io::Result<()> {
        if self.0.len() <= output {
            self.0.resize(output + 1, Vec::new());
        }
        self.0[output].extend_from_slice(&bytes);
        Ok(())
    }
}

/// What became of a clip.
struct Made {
    probe: Probe,
    report: MakeReport,
    outputs: Outputs,
    progress: Vec<f32>,
}

impl Made {
    fn names(&self) -> Vec<&str> {
        self.report.outputs.iter().map(|output| output.name.as_str()).collect()
    }

    fn bytes(&self, name: &str) -> &[u8] {
        let output = self.report.outputs.iter().find(|output| output.name == name);
        &self.outputs.0[output
            .unwrap_or_else(|| panic!("no {name} among {:?}", self.names()))
            .output]
    }
}

fn media() -> Media {
    Media::new(Config {
        worker: Some(program("dashvault-worker")),
        allow_unsandboxed: false,
    })
}

fn fixture(name: &str) -> Clip {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/clips")
        .join(name);
    Clip(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

async fn make(clip: &Clip) -> Result<Made, MediaError> {
    make_by(clip, plan).await
}

async fn make_by(clip: &Clip, plan: impl Fn(&Probe) -> Plan) -> Result<Made, MediaError> {
    let probe = media().probe(clip).await?;
    let plan = plan(&probe);
    let (mut outputs, progress) = (Outputs::default(), Mutex::new(Vec::new()));
    let told = |share| progress.lock().expect("progress").push(share);
    let report = media().make(clip, &plan, &mut outputs, &told).await?;
    for output in &report.outputs {
        let bytes = &outputs.0[output.output];
        assert_eq!(bytes.len() as u64, output.bytes, "{}", output.name);
        assert!(output.bytes <= clip.len(), "{} is larger than the source", output.name);
    }
    Ok(Made {
        probe,
        report,
        outputs,
        progress: progress.into_inner().expect("progress"),
    })
}

/// Makes a clip with the `ffmpeg` program.
fn ffmpeg(arguments: &str, input: Option<&Clip>, extension: &str) -> Clip {
    let scratch = Scratch::new("media");
    let (from, to) = (
        scratch.path().join("in"),
        scratch.path().join(format!("out.{extension}")),
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    if let Some(input) = input {
        std::fs::write(&from, &input.0).expect("the input");
        command.arg("-i").arg(&from);
    }
    let status = command
        .args(arguments.split_whitespace())
        .arg(&to)
        .status()
        .expect("ffmpeg");
    assert!(status.success(), "ffmpeg {arguments}");
    Clip(std::fs::read(&to).expect("the output"))
}

/// What `ffprobe` counts: (pictures decoded, seconds of the picture, where it begins, seconds of the sound or 0).
fn counted(bytes: &[u8]) -> (u64, f64, f64, f64) {
    let streams = ffprobe(bytes, "stream=codec_type,nb_read_frames,duration,start_time");
    let of = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind);
    let number =
        |stream: &serde_json::Value, key: &str| -> f64 { stream[key].as_str().unwrap_or("0").parse().unwrap_or(0.0) };
    let picture = of("video").expect("a picture");
    let sound = of("audio").map_or(0.0, |sound| number(sound, "duration"));
    let frames = number(picture, "nb_read_frames") as u64;
    (
        frames,
        number(picture, "duration"),
        number(picture, "start_time"),
        sound,
    )
}

fn ffprobe(bytes: &[u8], entries: &str) -> Vec<serde_json::Value> {
    let (_scratch, path) = in_a_file(bytes);
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "json", "-show_entries", entries])
        .arg(&path)
        .output()
        .expect("ffprobe");
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let parsed: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    parsed["streams"].as_array().cloned().unwrap_or_default()
}

fn in_a_file(bytes: &[u8]) -> (Scratch, PathBuf) {
    let scratch = Scratch::new("media");
    let path = scratch.path().join("rendition.mp4");
    std::fs::write(&path, bytes).expect("a file");
    (scratch, path)
}
