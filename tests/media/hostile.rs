//! Clips that are broken or mean harm: each gets its own word, and none takes long.

use std::time::{Duration, Instant};

use crate::{Clip, ffmpeg, fixture, make};

/// Far more than any of them takes, and far less than the time a clip is given.
const SOON: Duration = Duration::from_secs(30);

async fn code(clip: &Clip) -> &'static str {
    let began = Instant::now();
    let code = match make(clip).await {
        Ok(made) if made.report.incomplete => "incomplete",
        Ok(_) => "made",
        Err(error) => error.code(),
    };
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    code
}

#[tokio::test]
async fn what_is_no_video_is_unsupported_whatever_its_name() {
    assert_eq!(code(&fixture("playlist_as.mp4")).await, "unsupported_format");
    assert_eq!(code(&fixture("ffconcat_as.mp4")).await, "unsupported_format");
    assert_eq!(
        code(&Clip(b"Dear insurer, see the attached clip.".repeat(9))).await,
        "unsupported_format"
    );
    assert_eq!(
        code(&Clip(
            (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect()
        ))
        .await,
        "unsupported_format"
    );
    let picture = ffmpeg("-f lavfi -i testsrc2=s=320x240:d=1 -frames:v 1", None, "png");
    assert_eq!(code(&picture).await, "unsupported_format");
    let codec = ffmpeg("-f lavfi -i testsrc2=s=320x240:d=1 -c:v ffv1", None, "mkv");
    assert_eq!(code(&codec).await, "unsupported_format");
}

#[tokio::test]
async fn sizes_that_lie_are_invalid() {
    assert_eq!(code(&fixture("size1_largesize_max.mp4")).await, "invalid");
    assert_eq!(code(&fixture("zero_size_box.mp4")).await, "invalid");
    let nested = [0, 0, 0, 8]
        .into_iter()
        .chain(*b"moov")
        .collect::<Vec<u8>>()
        .repeat(20_000);
    assert_eq!(
        code(&Clip([b"\0\0\0\x08ftyp".to_vec(), nested].concat())).await,
        "invalid"
    );
    assert_eq!(code(&Clip(Vec::new())).await, "invalid");
}

#[tokio::test]
async fn an_mp4_without_its_tables_or_with_tables_that_point_beyond_it_is_invalid() {
    let mut cut = fixture("carnd_solidWhiteRight_960x540.mp4");
    let moov = cut.0.windows(4).position(|window| window == b"moov").expect("a moov");
    cut.0[moov..moov + 4].copy_from_slice(b"junk");
    assert_eq!(code(&cut).await, "invalid");
    let mut beyond = fixture("garmin_mini2_sample_1.mp4");
    let tables: Vec<_> = (0..beyond.0.len() - 4)
        .filter(|at| &beyond.0[*at..at + 4] == b"stco")
        .collect();
    assert!(!tables.is_empty());
    for table in tables {
        let count = u32::from_be_bytes(beyond.0[table + 8..table + 12].try_into().expect("a count")) as usize;
        beyond.0[table + 12..table + 12 + 4 * count].fill(0x7f);
    }
    assert_eq!(code(&beyond).await, "invalid");
}

#[tokio::test]
async fn sound_alone_is_no_video() {
    let sound = ffmpeg("-f lavfi -i sine=d=2 -c:a aac", None, "mp4");
    assert_eq!(code(&sound).await, "no_video");
}

#[tokio::test]
async fn ten_thousand_tracks_are_beyond_the_limits() {
    let tracks = b"\0\0\0\x08trak".repeat(10_000);
    let mut moov = (tracks.len() as u32 + 8).to_be_bytes().to_vec();
    moov.extend_from_slice(b"moov");
    assert_eq!(
        code(&Clip([b"\0\0\0\x10ftypisom\0\0\0\0".to_vec(), moov, tracks].concat())).await,
        "over_limits"
    );
}

#[tokio::test]
async fn pictures_of_absurd_size_are_beyond_the_limits() {
    assert_eq!(code(&fixture("pixel_bomb_15360x8640.mp4")).await, "over_limits");
    // 16k by 16k: a small JPEG whose header claims it, in a container that claims it too.
    let mut bomb = ffmpeg("-f lavfi -i color=black:s=64x64:r=25:d=1 -c:v mjpeg", None, "avi");
    let side = 16_000_u16;
    for at in 0..bomb.0.len() - 24 {
        match &bomb.0[at..at + 2] {
            [0xff, 0xc0] => {
                bomb.0[at + 5..at + 7].copy_from_slice(&side.to_be_bytes());
                bomb.0[at + 7..at + 9].copy_from_slice(&side.to_be_bytes());
            }
            b"st" if &bomb.0[at..at + 4] == b"strf" => {
                bomb.0[at + 12..at + 16].copy_from_slice(&u32::from(side).to_le_bytes());
                bomb.0[at + 16..at + 20].copy_from_slice(&u32::from(side).to_le_bytes());
            }
            _ => {}
        }
    }
    assert_eq!(code(&bomb).await, "over_limits");
}

#[tokio::test]
async fn a_clip_of_one_picture_is_shown() {
    let one = ffmpeg(
        "-frames:v 1 -an -c:v libx264",
        Some(&fixture("garmin_mini2_sample_1.mp4")),
        "mp4",
    );
    assert_eq!(code(&one).await, "made");
}

#[tokio::test]
async fn a_duration_that_lies_makes_an_incomplete_clip() {
    let mut lying = fixture("garmin_mini2_sample_1.mp4");
    for name in [b"mvhd", b"mdhd", b"tkhd"] {
        for at in 0..lying.0.len() - 32 {
            if &lying.0[at..at + 4] == name {
                let duration = if name == b"tkhd" { at + 24 } else { at + 20 };
                lying.0[duration..duration + 4].copy_from_slice(&u32::MAX.to_be_bytes());
            }
        }
    }
    assert_eq!(code(&lying).await, "incomplete");
}
