//! What must not travel: tags, planted places, and messages inside the video.

use crate::{Clip, Made, ffmpeg, ffprobe, fixture, make};

const PLACE: &[u8] = b"+48.1870+011.5537";
/// A UUID, as user data in an SEI message begins with one, and the place.
const PLANT: &str =
    "-c copy -bsf:v h264_metadata=sei_user_data=086f3693b7b34f2c965321492feee5b8+\\\\+48.1870\\\\+011.5537";

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// The types of the NAL units of a rendition, found through its index.
fn unit_types(made: &Made, name: &str) -> Vec<u8> {
    let output = made
        .report
        .outputs
        .iter()
        .find(|output| output.name == name)
        .expect("the rendition");
    let (index, bytes) = (output.index.as_ref().expect("an index"), made.bytes(name));
    let picture = index.tracks.iter().find(|track| track.video).expect("a picture").id;
    let mut types = Vec::new();
    for run in index
        .fragments
        .iter()
        .flat_map(|fragment| &fragment.runs)
        .filter(|run| run.track == picture)
    {
        let mut at = run.data_offset as usize;
        for sample in &run.samples {
            let mut rest = &bytes[at..at + sample.size as usize];
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                types.push(unit[0] & 0x1f);
                rest = after;
            }
            assert!(rest.is_empty());
            at += sample.size as usize;
        }
    }
    types.sort_unstable();
    types.dedup();
    types
}

fn assert_silent(made: &Made, secrets: &[&[u8]]) {
    for output in &made.report.outputs {
        let bytes = made.bytes(&output.name);
        for secret in secrets.iter().chain(&[&b"Lavf"[..], b"Lavc", b"x264", b"Exif"]) {
            assert!(
                !holds(bytes, secret),
                "{} holds {}",
                output.name,
                String::from_utf8_lossy(secret)
            );
        }
        if output.index.is_none() {
            continue;
        }
        let types = unit_types(made, &output.name);
        assert!(
            types.iter().all(|kind| [1, 5, 7, 8].contains(kind)),
            "{} holds {types:?}",
            output.name
        );
        for stream in ffprobe(bytes, "stream_tags:stream=index") {
            let tags = stream["tags"].as_object().expect("tags").values();
            let known = ["und", "VideoHandler", "SoundHandler", "[0][0][0][0]"];
            assert!(
                tags.clone().all(|tag| known.contains(&tag.as_str().unwrap_or(""))),
                "{stream}"
            );
        }
    }
}

#[tokio::test]
async fn no_planted_tag_reaches_a_rendition_or_the_poster() {
    let clip = fixture("metadata_canary.mp4");
    let planted: [&[u8]; 4] = [PLACE, b"CANARY-HANDLER", b"CANARY-TITLE", b"SN-CANARY-0001"];
    for secret in planted {
        assert!(
            holds(&clip.0, secret),
            "the fixture lost {}",
            String::from_utf8_lossy(secret)
        );
    }
    assert_silent(&make(&clip).await.expect("renditions"), &planted);
}

#[tokio::test]
async fn a_place_inside_the_video_is_taken_out_of_the_copy_too() {
    let clip: Clip = ffmpeg(PLANT, Some(&fixture("garmin_mini2_sample_1.mp4")), "mp4");
    assert!(holds(&clip.0, PLACE), "ffmpeg did not plant it");
    let made = make(&clip).await.expect("renditions");
    assert_eq!(made.names()[0], "source", "the copy is what this is about");
    assert_silent(&made, &[PLACE]);
    let clip = fixture("h264_aac.ts");
    assert!(holds(&clip.0, b"x264 - core"), "the stream lost its encoder's message");
    let made = make(&clip).await.expect("renditions");
    assert_eq!(made.names()[0], "source");
    assert_silent(&made, &[]);
}
