//! Renditions that the worker made of real clips, read through the library as a player reads them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use bytes::Bytes;
use dashvault::access::ReadGrant;
use dashvault::library::What;
use dashvault::media::{self, MakeReport, Media, OutputSink, Source, Transcoder as _};
use dashvault::model::index::{RenditionIndex, Track};
use dashvault::model::{ClipState, ObjectKind};
use dashvault_test_support::{Scratch, program};

use crate::house::{House, Thing, Wish};

struct InMemory(Bytes);

#[async_trait]
impl Source for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes> {
        let offset = usize::try_from(offset).unwrap();
        Ok(self.0.slice(offset..offset + len))
    }
}

#[derive(Default)]
struct Kept(HashMap<usize, Vec<u8>>);

#[async_trait]
impl OutputSink for Kept {
    async fn write(&mut self, output: usize, bytes: Bytes) -> std::io::Result<()> {
        self.0.entry(output).or_default().extend_from_slice(&bytes);
        Ok(())
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}; .ci/install brings it"));
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// What the worker makes of a clip, published.
async fn published(house: &House, clip: &Path) -> (ReadGrant, MakeReport, Kept) {
    let media = Media::new(media::Config {
        worker: Some(program("dashvault-worker")),
        allow_unsandboxed: false,
    });
    let source = InMemory(std::fs::read(clip).unwrap().into());
    let probe = media.probe(&source).await.expect("a probe");
    let plan = media::plan(&probe);
    let mut kept = Kept::default();
    let report = media
        .make(&source, &plan, &mut kept, &|_| {})
        .await
        .expect("renditions");
    let mut objects = vec![(ObjectKind::Video, "original".to_owned(), source.0.to_vec())];
    for output in report.outputs.iter().filter(|output| output.index.is_some()) {
        let index = output.index.as_ref().unwrap();
        objects.push((ObjectKind::Video, output.name.clone(), kept.0[&output.output].clone()));
        objects.push((ObjectKind::Index, format!("{}.index", output.name), index.to_bytes()));
    }
    let things: Vec<_> = objects
        .iter()
        .map(|(kind, name, bytes)| Thing {
            kind: *kind,
            name,
            bytes,
        })
        .collect();
    let owner = house.owner("a@example.org").await;
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &things).await;
    (house.grant(&owner, id).await, report, kept)
}

/// The MD5 of every frame of a stream (`0:v:0`, `0:a:0`), as decoded.
fn frames(file: &Path, stream: &str) -> Vec<String> {
    let file = file.to_str().unwrap();
    let args = ["-v", "error", "-i", file, "-map", stream, "-f", "framemd5", "-"];
    let text = run("ffmpeg", &args);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// When each sample of a file is shown, in microseconds, track by track in the order they lie in.
fn times(file: &Path) -> Vec<Vec<i64>> {
    let show = ["-show_entries", "packet=stream_index,pts_time", "-of", "csv=p=0"];
    let mut args = vec!["-v", "error"];
    args.extend(show);
    args.push(file.to_str().unwrap());
    let mut times = Vec::new();
    for line in run("ffprobe", &args).lines() {
        let (stream, time) = line.split_once(',').unwrap();
        let stream: usize = stream.parse().unwrap();
        times.resize(times.len().max(stream + 1), Vec::new());
        let seconds: f64 = time.trim_end_matches(',').parse().unwrap();
        times[stream].push((seconds * 1e6).round() as i64);
    }
    times
}

/// The same from the index, as ISO/IEC 14496-12 says: decode time and composition offset.
fn times_told(index: &RenditionIndex) -> Vec<Vec<i64>> {
    let of = |track: &Track| {
        let runs = index.fragments.iter().flat_map(|f| &f.runs);
        let mut times = Vec::new();
        for run in runs.filter(|run| run.track == track.id) {
            let mut decode = i64::try_from(run.base_decode_time).unwrap();
            for sample in &run.samples {
                let ticks = decode + i64::from(sample.composition_offset);
                times.push((ticks as f64 * 1e6 / f64::from(track.timescale)).round() as i64);
                decode += i64::from(sample.duration);
            }
        }
        times
    };
    index.tracks.iter().map(of).collect()
}

/// The key frame that a player lands on when it seeks to `to` seconds.
fn lands_at(file: &Path, to: f64) -> f64 {
    let place = format!("{to}%+#1");
    let show = ["-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"];
    let mut args = vec!["-v", "error", "-select_streams", "v", "-read_intervals", &place];
    args.extend(show);
    args.push(file.to_str().unwrap());
    let text = run("ffprobe", &args);
    let (time, flags) = text.trim().split_once(',').unwrap();
    assert!(flags.starts_with('K'), "{text}");
    time.parse().unwrap()
}

async fn plays_both_ways(clip: &Path) {
    let house = House::new().await;
    let (grant, report, kept) = published(&house, clip).await;
    let dir = Scratch::new("renditions");
    let path = |name: &str| dir.path().join(name);
    let renditions: Vec<_> = report.outputs.iter().filter(|output| output.index.is_some()).collect();
    assert!(!renditions.is_empty(), "nothing to play");
    for output in &renditions {
        let name = &output.name;
        let (stored, plain) = (path(&format!("{name}.mp4")), path(&format!("{name}.plain.mp4")));
        std::fs::write(&stored, &kept.0[&output.output]).unwrap();
        let what = What::Rendition(name.parse().unwrap());
        std::fs::write(&plain, house.read(&grant, &what, None).await).unwrap();
        // Not compared with the times that ffmpeg tells of the stored form: it moves those whose offsets are negative.
        let index = output.index.as_ref().unwrap();
        assert!(
            times(&plain) == times_told(index),
            "{name}: samples are shown at other times"
        );
        let shown = frames(&plain, "0:v:0");
        assert_eq!(shown.len() as u64, output.frames, "{name}");
        assert!(shown == frames(&stored, "0:v:0"), "{name}: the pictures differ");
        if report.has_audio {
            let heard = frames(&plain, "0:a:0");
            assert!(
                heard.len() > 100 && heard == frames(&stored, "0:a:0"),
                "{name}: the sound differs"
            );
        }
        let middle = output.duration_ms as f64 / 2_000.0;
        let landed = lands_at(&plain, middle);
        assert!(
            (landed - middle).abs() <= 2.1,
            "{name}: asked for {middle}, landed at {landed}"
        );
        let text = house.read(&grant, &hls(&format!("{name}.m3u8")), None).await;
        std::fs::write(path(&format!("{name}.m3u8")), text).unwrap();
    }
    let main = path("main.m3u8");
    std::fs::write(&main, house.read(&grant, &hls("main.m3u8"), None).await).unwrap();
    let first = path(&format!("{}.mp4", first_of(&main)));
    let shown = frames(&main, "0:v:0");
    assert!(
        shown.len() > 100 && shown == frames(&first, "0:v:0"),
        "HLS shows other pictures than the object"
    );
}

fn hls(file: &str) -> What {
    What::from_hls_file(file).unwrap()
}

/// The rendition that ffmpeg plays of a multivariant playlist: the one of the most bits.
fn first_of(main: &Path) -> String {
    let text = std::fs::read_to_string(main).unwrap();
    let mut lines = text.lines();
    let mut most = (0, String::new());
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("#EXT-X-STREAM-INF:BANDWIDTH=") {
            let rate: u64 = rest.split(',').next().unwrap().parse().unwrap();
            let name = lines.next().unwrap().trim_end_matches(".m3u8").to_owned();
            most = most.max((rate, name));
        }
    }
    most.1
}

#[tokio::test]
async fn a_road_clip_plays_to_the_same_frames_both_ways() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clips/carnd_solidWhiteRight_960x540.mp4");
    plays_both_ways(&clip).await;
}

#[tokio::test]
async fn a_clip_with_sound_and_reordered_pictures_plays_to_the_same_frames_both_ways() {
    let dir = Scratch::new("clip");
    let clip: PathBuf = dir.path().join("clip.mov");
    let mut args = vec![
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x480:rate=25:duration=7",
    ];
    args.extend(["-f", "lavfi", "-i", "sine=frequency=330:duration=7:sample_rate=44100"]);
    args.extend([
        "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "250", "-pix_fmt", "yuv420p", "-c:a", "aac",
    ]);
    args.push(clip.to_str().unwrap());
    run("ffmpeg", &args);
    plays_both_ways(&clip).await;
}
