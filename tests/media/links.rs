//! A link's media: exactly the span, nothing of what lies beside it, sound only if it was ticked.

use dashvault::media::plan_link;

use crate::{counted, ffmpeg, fixture, make_by};

#[tokio::test]
async fn a_span_is_cut_to_the_picture_in_an_mp4_and_in_a_transport_stream() {
    for name in ["carnd_solidWhiteRight_960x540.mp4", "h264_aac.ts"] {
        let made = make_by(&fixture(name), |probe| plan_link(probe, 5_370, 7_370, true)).await;
        let made = made.expect("a link's media");
        assert_eq!(
            made.names(),
            ["540p", "360p", "poster"],
            "{name}: a copy would begin at the key frame before"
        );
        for rendition in ["540p", "360p"] {
            let (frames, duration, start, sound) = counted(made.bytes(rendition));
            assert_eq!(frames, 50, "{name} {rendition}");
            assert!(
                (duration - 2.0).abs() < 0.001 && start.abs() < 0.001,
                "{name}: {duration} s from {start} s"
            );
            assert!((sound - 2.0).abs() < 0.03, "{name}: sound of {sound} s");
        }
        assert!(!made.report.incomplete);
    }
}

#[tokio::test]
async fn sound_is_left_out_unless_it_is_asked_for() {
    let made = make_by(&fixture("garmin_mini2_sample_1.mp4"), |probe| {
        plan_link(probe, 0, 1_000, false)
    })
    .await;
    let made = made.expect("a link's media");
    assert!(!made.report.has_audio);
    assert_eq!(counted(made.bytes("360p")).3, 0.0);
    assert!(made.report.outputs[0].codec.starts_with("avc1") && !made.report.outputs[0].codec.contains("mp4a"));
}

#[tokio::test]
async fn the_pictures_of_a_span_are_those_of_the_span() {
    // Each second has its own grey; the span lies inside the third.
    let greys = "-f lavfi -i color=gray:s=320x240:r=25:d=8,format=gray,geq=lum=16+20*floor(T) -c:v libx264 -qp 0 -g 250 -pix_fmt yuv420p";
    let clip = ffmpeg(greys, None, "mp4");
    let made = make_by(&clip, |probe| plan_link(probe, 6_000, 7_000, false))
        .await
        .expect("a link's media");
    let (_scratch, path) = crate::in_a_file(made.bytes("240p"));
    let raw = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-vf", "scale=1:1", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .expect("ffmpeg");
    assert_eq!(raw.stdout.len(), 25);
    let first = raw.stdout[0];
    assert!(
        raw.stdout.iter().all(|grey| grey.abs_diff(first) <= 2),
        "{:?}",
        raw.stdout
    );
    let poster = ffmpeg(
        "-vf scale=1:1 -f rawvideo -pix_fmt gray",
        Some(&crate::Clip(made.bytes("poster").to_vec())),
        "raw",
    );
    assert!(
        poster.0[0].abs_diff(first) <= 24,
        "the poster is of another second: {} and {first}",
        poster.0[0]
    );
}
