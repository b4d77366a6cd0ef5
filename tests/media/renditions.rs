//! What is made of good clips: complete, exact in time, playable, never larger than the source.

use dashvault::model::index::RenditionIndex;

use crate::{Made, counted, ffmpeg, ffprobe, fixture, make};

/// Every rendition decodes to so many pictures from 0 on, and its index says the same.
fn assert_complete(made: &Made, frames: u64, seconds: f64) {
    assert!(!made.report.incomplete);
    for output in made.report.outputs.iter().filter(|output| output.index.is_some()) {
        let bytes = made.bytes(&output.name);
        let (decoded, duration, _, sound) = counted(bytes);
        assert_eq!((decoded, output.frames), (frames, frames), "{}", output.name);
        assert!((duration - seconds).abs() < 0.05, "{} lasts {duration} s", output.name);
        assert_eq!(sound > 0.0, made.report.has_audio, "{}", output.name);
        assert_indexed(bytes, output.index.as_ref().expect("an index"));
    }
}

/// The index leads to every byte of the rendition, and each fragment begins with a key frame two seconds after the last.
fn assert_indexed(bytes: &[u8], index: &RenditionIndex) {
    assert_eq!(index.total_bytes, bytes.len() as u64);
    assert_eq!(index.init, bytes[..index.init.len()]);
    let mut at = index.init.len() as u64;
    for fragment in &index.fragments {
        assert_eq!(fragment.offset, at);
        assert_eq!(&bytes[at as usize + 4..at as usize + 8], b"moof");
        at += fragment.size;
        assert!(
            fragment.duration_ms <= 4_000,
            "a fragment of {} ms",
            fragment.duration_ms
        );
        for run in &fragment.runs {
            let samples: u64 = run.samples.iter().map(|sample| u64::from(sample.size)).sum();
            assert!(run.data_offset > fragment.offset && run.data_offset + samples <= at);
        }
    }
    assert_eq!(at, index.total_bytes);
    let packets = ffprobe(bytes, "stream=codec_type,nb_read_packets");
    assert_eq!(packets.len(), index.tracks.len());
    assert_eq!(RenditionIndex::from_bytes(&index.to_bytes()).as_ref(), Ok(index));
}

#[tokio::test]
async fn a_camera_s_h264_is_copied_as_the_top_rung_and_made_smaller() {
    let made = make(&fixture("garmin_mini2_sample_1.mp4")).await.expect("renditions");
    assert_eq!(made.names(), ["source", "360p", "poster"]);
    assert_complete(&made, 30, 1.0);
    assert!(made.report.has_audio);
    let codecs: Vec<_> = made.report.outputs.iter().map(|output| output.codec.as_str()).collect();
    assert_eq!(codecs, ["avc1.64001f,mp4a.40.2", "avc1.64001e,mp4a.40.2", "jpeg"]);
}

#[tokio::test]
async fn the_road_clip_is_made_whole_and_tells_its_progress() {
    let made = make(&fixture("carnd_solidWhiteRight_960x540.mp4"))
        .await
        .expect("renditions");
    assert_complete(&made, 221, 8.84);
    assert_eq!(made.names()[1..], ["360p", "poster"]);
    assert!(made.progress.len() > 2, "{:?}", made.progress);
    assert!(made.progress.is_sorted(), "{:?}", made.progress);
    assert!(made.progress.iter().all(|share| (0.0..=1.0).contains(share)));
    let index = made.report.outputs[1].index.as_ref().expect("an index");
    let starts: Vec<_> = index.fragments.iter().map(|fragment| fragment.start_ms).collect();
    assert_eq!(starts, [0, 2_000, 4_000, 6_000, 8_000]);
}

#[tokio::test]
async fn a_transport_stream_that_begins_late_begins_at_nought() {
    let made = make(&fixture("h264_aac.ts")).await.expect("renditions");
    assert_eq!(made.names(), ["source", "360p", "poster"]);
    assert_complete(&made, 221, 8.84);
    let (_, _, start, _) = counted(made.bytes("360p"));
    assert!(start.abs() < 0.001, "it begins at {start} s");
}

#[tokio::test]
async fn hevc_is_made_into_h264() {
    let made = make(&fixture("hevc_hvc1.mp4")).await.expect("renditions");
    assert_eq!(made.names(), ["540p", "360p", "poster"]);
    assert_complete(&made, 221, 8.84);
}

#[tokio::test]
async fn a_clip_on_its_side_with_odd_sides_is_set_upright_and_evened() {
    let jpeg = ffmpeg("-f lavfi -i testsrc2=s=401x721:r=25:d=2 -c:v mjpeg -q:v 3", None, "mov");
    let odd = make(&jpeg).await.expect("renditions");
    let top = &odd.report.outputs[0];
    assert_eq!((top.name.as_str(), top.width, top.height), ("400p", 400, 720));
    assert_complete(&odd, 50, 2.0);
    let turned = ffmpeg(
        "-c copy -metadata:s:v rotate=90",
        Some(&fixture("garmin_mini2_sample_1.mp4")),
        "mp4",
    );
    let turned = make(&turned).await.expect("renditions");
    // ffmpeg counts counterclockwise.
    assert_eq!(turned.probe.video.rotation, 270);
    let sizes: Vec<_> = turned
        .report
        .outputs
        .iter()
        .map(|output| (output.width, output.height))
        .collect();
    assert_eq!(sizes, [(540, 960), (360, 640), (540, 960)]);
}

#[tokio::test]
async fn full_range_becomes_limited_range_and_keeps_its_white() {
    let white = "-f lavfi -i color=white:s=640x400:r=25:d=1,format=yuvj420p -c:v mjpeg -color_range pc -q:v 2";
    let made = make(&ffmpeg(white, None, "avi")).await.expect("renditions");
    let stream = &ffprobe(made.bytes("400p"), "stream=color_range,pix_fmt")[0];
    assert_eq!(
        (stream["color_range"].as_str(), stream["pix_fmt"].as_str()),
        (Some("tv"), Some("yuv420p"))
    );
    let (_scratch, path) = crate::in_a_file(made.bytes("400p"));
    let raw = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .output()
        .expect("ffmpeg");
    let luma = raw.stdout[640 * 200 + 320];
    assert!((233..=237).contains(&luma), "white has a luma of {luma}");
}

#[tokio::test]
async fn dropped_pictures_and_a_clock_that_runs_backward_do_not_end_it() {
    let gaps = "-vf select='not(between(n,5,14))' -vsync vfr -an -c:v libx264 -preset ultrafast -g 10";
    let gaps = make(&ffmpeg(gaps, Some(&fixture("garmin_mini2_sample_1.mp4")), "mkv"))
        .await
        .expect("renditions");
    assert_complete(&gaps, 20, 1.0);
    let backward = "-c copy -an -bsf:v setts=pts=PTS-if(eq(mod(N\\,7)\\,6)\\,TB*0+3000\\,0):dts=DTS";
    let backward = ffmpeg(backward, Some(&fixture("garmin_mini2_sample_1.mp4")), "ts");
    let made = make(&backward).await.expect("renditions");
    assert_eq!(counted(made.bytes("360p")).0, 30);
}

#[tokio::test]
async fn half_a_transport_stream_plays_what_is_left_of_it() {
    let mut clip = fixture("h264_aac.ts");
    clip.0.truncate(clip.0.len() / 2);
    let made = make(&clip).await.expect("renditions");
    let (frames, _, _, _) = counted(made.bytes("360p"));
    assert!((90..140).contains(&frames), "{frames} pictures");
}

#[tokio::test]
async fn an_mp4_that_was_cut_is_marked_incomplete() {
    let mut clip = fixture("hevc_hvc1.mp4");
    let faststart = ffmpeg("-c copy -movflags +faststart", Some(&clip), "mp4");
    clip.0 = faststart.0[..faststart.0.len() / 2].to_vec();
    let made = make(&clip).await.expect("renditions");
    assert!(made.report.incomplete);
    assert!(counted(made.bytes("360p")).0 > 50);
}
