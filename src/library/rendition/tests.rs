//! A fragmented file read by a parser of its own, turned into a plain one, and both decoded by ffmpeg.

use std::path::Path;
use std::process::Command;

use super::boxes::{boxes, inside, read32, read64};
use super::plain::PlainHeader;
use crate::library::RenditionName;
use crate::model::index::{Fragment, RenditionIndex, Run, Sample, Track};

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; .ci/install brings it"));
    assert!(
        out.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// A fragmented MP4 made by ffmpeg, and its index.
fn a_fragmented_file(dir: &Path, args: &[&str]) -> (Vec<u8>, RenditionIndex) {
    let file = dir.join("fragmented.mp4");
    let mut all = vec!["-v", "error", "-y"];
    all.extend(args);
    all.push(file.to_str().unwrap());
    run("ffmpeg", &all);
    let bytes = std::fs::read(file).unwrap();
    let index = index_of(&bytes);
    (bytes, index)
}

const PICTURE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=192x108:rate=30:duration=5"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=440:duration=5"];
const H264: [&str; 10] = [
    "-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-bf", "2", "-pix_fmt", "yuv420p",
];
const AAC: [&str; 4] = ["-c:a", "aac", "-b:a", "64k"];
const FRAGMENTED: [&str; 2] = ["-movflags", "empty_moov+default_base_moof+frag_keyframe"];
/// With edit lists: the priming of AAC and the reordering of pictures are told there.
const WITH_EDITS: [&str; 2] = [
    "-movflags",
    "delay_moov+default_base_moof+frag_keyframe+negative_cts_offsets",
];

/// Reads `moov` and every `moof` as ISO/IEC 14496-12 says; base of all offsets is the `moof`.
fn index_of(file: &[u8]) -> RenditionIndex {
    let moov = inside(file, b"moov").expect("moov");
    let mut index = RenditionIndex {
        total_bytes: file.len() as u64,
        codecs: "avc1.64000c,mp4a.40.2".to_owned(),
        width: 192,
        height: 108,
        ..RenditionIndex::default()
    };
    for (_, _, trak) in boxes(moov).filter(|(kind, ..)| kind == b"trak") {
        let mdia = inside(trak, b"mdia").unwrap();
        let mdhd = inside(mdia, b"mdhd").unwrap();
        index.tracks.push(Track {
            id: read32(inside(trak, b"tkhd").unwrap(), 12).unwrap(),
            timescale: read32(mdhd, 12).unwrap(),
            video: inside(mdia, b"hdlr").unwrap()[8..12] == *b"vide",
        });
    }
    let mut at = 0;
    for (kind, whole, content) in boxes(file) {
        match &kind {
            b"ftyp" | b"moov" => index.init.extend_from_slice(whole),
            b"moof" => index.fragments.push(Fragment {
                offset: at as u64,
                size: whole.len() as u64,
                runs: boxes(content)
                    .filter(|(kind, ..)| kind == b"traf")
                    .flat_map(|(_, _, traf)| runs_of(traf, at as u64))
                    .collect(),
                ..Fragment::default()
            }),
            b"mdat" => index.fragments.last_mut().unwrap().size += whole.len() as u64,
            _ => {}
        }
        at += whole.len();
    }
    let picture = *index.tracks.iter().find(|t| t.video).unwrap_or(&index.tracks[0]);
    let starts: Vec<u64> = index
        .fragments
        .iter()
        .map(|f| {
            f.runs
                .iter()
                .find(|r| r.track == picture.id)
                .map_or(0, |r| r.base_decode_time)
        })
        .map(|ticks| ticks * 1_000 / u64::from(picture.timescale))
        .collect();
    for (number, fragment) in index.fragments.iter_mut().enumerate() {
        fragment.start_ms = starts[number];
        fragment.duration_ms = starts.get(number + 1).map_or(1_000, |next| next - starts[number]);
    }
    index
}

fn runs_of(traf: &[u8], moof: u64) -> Vec<Run> {
    let tfhd = inside(traf, b"tfhd").unwrap();
    let flags = read32(tfhd, 0).unwrap();
    assert_eq!(flags & 0x1, 0, "offsets count from the moof");
    let mut at = 8;
    let mut optional = |bit: u32| {
        (flags & bit != 0).then(|| {
            at += 4;
            read32(tfhd, at - 4).unwrap()
        })
    };
    let _description = optional(0x2);
    let duration = optional(0x8);
    let size = optional(0x10);
    let sample_flags = optional(0x20);
    let tfdt = inside(traf, b"tfdt").unwrap();
    let mut decode = if tfdt[0] == 1 {
        read64(tfdt, 4).unwrap()
    } else {
        read32(tfdt, 4).unwrap().into()
    };
    let truns = boxes(traf).filter(|(kind, ..)| kind == b"trun");
    truns
        .map(|(_, _, trun)| {
            let bits = read32(trun, 0).unwrap();
            let count = read32(trun, 4).unwrap();
            let mut at = 8;
            let mut next = || {
                at += 4;
                read32(trun, at - 4).unwrap()
            };
            let offset = next().cast_signed();
            assert_eq!(bits & 1, 1, "the place of the samples is told");
            let first_flags = (bits & 4 != 0).then(&mut next);
            let mut run = Run {
                track: read32(tfhd, 4).unwrap(),
                base_decode_time: decode,
                data_offset: moof.saturating_add_signed(offset.into()),
                samples: Vec::new(),
            };
            for number in 0..count {
                let duration = if bits & 0x100 != 0 { next() } else { duration.unwrap() };
                let size = if bits & 0x200 != 0 { next() } else { size.unwrap() };
                let mut flags = if bits & 0x400 != 0 {
                    next()
                } else {
                    sample_flags.unwrap_or(0)
                };
                if let (0, Some(first)) = (number, first_flags) {
                    flags = first;
                }
                let composition_offset = if bits & 0x800 != 0 { next().cast_signed() } else { 0 };
                run.samples.push(Sample {
                    duration,
                    size,
                    sync: flags & 0x1_0000 == 0,
                    composition_offset,
                });
                decode += u64::from(duration);
            }
            run
        })
        .collect()
}

/// Every frame with its time and the MD5 of its pixels or samples.
fn frames(file: &Path) -> String {
    let file = file.to_str().unwrap();
    run(
        "ffmpeg",
        &["-v", "error", "-i", file, "-map", "0", "-copyts", "-f", "framemd5", "-"],
    )
}

fn plain_file(dir: &Path, fragmented: &[u8], index: &RenditionIndex) -> std::path::PathBuf {
    let header = PlainHeader::of(index).expect("a header");
    let mut plain = header.bytes;
    plain.extend_from_slice(&fragmented[usize::try_from(header.replaced).unwrap()..]);
    let file = dir.join("plain.mp4");
    std::fs::write(&file, plain).unwrap();
    file
}

fn the_frames_are_equal_both_ways(args: &[&[&str]]) {
    let dir = tempfile::tempdir().unwrap();
    let (fragmented, index) = a_fragmented_file(dir.path(), &args.concat());
    assert!(index.fragments.len() >= 2, "{} fragments", index.fragments.len());
    let plain = plain_file(dir.path(), &fragmented, &index);
    let (one, other) = (frames(&dir.path().join("fragmented.mp4")), frames(&plain));
    assert!(one.lines().count() > 100, "{} frames", one.lines().count());
    let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differ, None);
    assert_eq!(one.lines().count(), other.lines().count());
    // A player that knows no fragments finds the table, and no moof.
    let plain = std::fs::read(plain).unwrap();
    let kinds: Vec<_> = boxes(&plain).map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, [*b"ftyp", *b"moov", *b"mdat"]);
    let moov = inside(&plain, b"moov").unwrap();
    assert!(inside(moov, b"mvex").is_none());
}

#[test]
fn picture_and_sound_decode_to_the_same_frames_both_ways() {
    the_frames_are_equal_both_ways(&[&PICTURE, &SOUND, &H264, &AAC, &FRAGMENTED]);
}

/// The hashes of a stream's frames, in order.
fn hashes(frames: &str, stream: &str) -> Vec<String> {
    let lines = frames.lines().filter(|line| line.starts_with(stream));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn edit_lists_hide_the_priming_of_sound_and_keep_every_picture() {
    let dir = tempfile::tempdir().unwrap();
    let args = [&PICTURE[..], &SOUND, &H264, &AAC, &WITH_EDITS].concat();
    let (fragmented, index) = a_fragmented_file(dir.path(), &args);
    let offsets = index
        .fragments
        .iter()
        .flat_map(|f| &f.runs)
        .flat_map(|run| &run.samples);
    assert!(offsets.map(|sample| sample.composition_offset).any(|offset| offset < 0));
    let plain = frames(&plain_file(dir.path(), &fragmented, &index));
    let fragmented = frames(&dir.path().join("fragmented.mp4"));
    assert_eq!(hashes(&plain, "0,").len(), 150);
    assert!(hashes(&plain, "0,") == hashes(&fragmented, "0,"), "the pictures differ");
    // ffmpeg leaves the priming of a fragmented file to be heard; a plain file's edit list it heeds.
    assert!(
        hashes(&plain, "1,") == hashes(&fragmented, "1,")[1..],
        "the sound differs"
    );
    for stream in ["0,", "1,"] {
        let first = plain.lines().find(|line| line.starts_with(stream)).unwrap();
        assert_eq!(first.split(',').nth(2).unwrap().trim(), "0", "{first}");
    }
}

#[test]
fn a_late_sound_stays_late() {
    let late: [&str; 2] = ["-itsoffset", "1.5"];
    the_frames_are_equal_both_ways(&[&PICTURE, &late, &SOUND, &H264, &AAC, &FRAGMENTED]);
}

#[test]
fn a_picture_alone_with_dropped_frames_keeps_its_times() {
    let drop: [&str; 4] = ["-vf", "select='mod(n\\,7)'", "-fps_mode", "vfr"];
    the_frames_are_equal_both_ways(&[&PICTURE, &drop, &H264, &FRAGMENTED]);
}

#[test]
fn seeking_lands_on_the_key_frame_before() {
    let dir = tempfile::tempdir().unwrap();
    let args = [&PICTURE[..], &SOUND, &H264, &AAC, &FRAGMENTED].concat();
    let (fragmented, index) = a_fragmented_file(dir.path(), &args);
    let plain = plain_file(dir.path(), &fragmented, &index);
    let first = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-read_intervals",
            "4.5%+#1",
            "-show_entries",
            "packet=pts_time,flags",
            "-of",
            "csv=p=0",
            plain.to_str().unwrap(),
        ],
    );
    let (time, flags) = first.trim().split_once(',').unwrap();
    let time: f64 = time.parse().unwrap();
    assert!((4.0..4.2).contains(&time) && flags.starts_with('K'), "{first}");
}

fn a_small_index() -> RenditionIndex {
    let dir = tempfile::tempdir().unwrap();
    a_fragmented_file(dir.path(), &[&PICTURE[..], &H264, &FRAGMENTED].concat()).1
}

#[test]
fn above_4_gib_places_are_64_bits_wide() {
    let mut index = a_small_index();
    let far = 5 << 30;
    index.total_bytes += far;
    let last = index.fragments.last_mut().unwrap();
    last.offset += far;
    last.runs[0].data_offset += far;
    let place = last.runs[0].data_offset;
    let header = PlainHeader::of(&index).unwrap();
    let stbl = ["trak", "mdia", "minf", "stbl"]
        .iter()
        .fold(inside(&header.bytes, b"moov").unwrap(), |at, kind| {
            inside(at, kind.as_bytes().try_into().unwrap()).unwrap()
        });
    assert!(inside(stbl, b"stco").is_none());
    let places = inside(stbl, b"co64").unwrap();
    let moved = header.bytes.len() as u64 - header.replaced;
    assert_eq!(read64(places, places.len() - 8), Some(place + moved));
    let mdat = &header.bytes[header.bytes.len() - 16..];
    assert_eq!(read32(mdat, 0), Some(1));
    assert_eq!(read64(mdat, 8), Some(index.total_bytes - header.replaced + 16));
}

#[test]
fn an_index_that_contradicts_itself_is_refused() {
    let good = a_small_index();
    assert!(PlainHeader::of(&good).is_ok());
    let broken: [fn(&mut RenditionIndex); 7] = [
        |index| index.total_bytes = 10,
        |index| index.init.truncate(40),
        |index| index.tracks.clear(),
        |index| index.fragments.clear(),
        |index| index.fragments[0].runs[0].data_offset = 0,
        |index| index.fragments[0].runs[0].data_offset = u64::MAX,
        |index| index.fragments[1].runs[0].samples[0].size = u32::MAX,
    ];
    for (number, break_it) in broken.iter().enumerate() {
        let mut index = good.clone();
        break_it(&mut index);
        assert!(PlainHeader::of(&index).is_err(), "contradiction {number}");
    }
}

#[test]
fn a_header_takes_few_bytes_a_sample() {
    let dir = tempfile::tempdir().unwrap();
    let index = a_fragmented_file(dir.path(), &[&PICTURE[..], &SOUND, &H264, &AAC, &FRAGMENTED].concat()).1;
    let samples: usize = index
        .fragments
        .iter()
        .flat_map(|f| &f.runs)
        .map(|r| r.samples.len())
        .sum();
    let bytes = PlainHeader::of(&index).unwrap().bytes.len() - index.init.len();
    assert!(bytes < samples * 12, "{bytes} bytes for {samples} samples");
}

/// What RFC 8216 asks of a media playlist, as far as ours has it; gives (duration in s, offset, size) of the segments.
fn checked_media_playlist(text: &str) -> (f64, Vec<(f64, u64, u64)>) {
    let mut lines = text.lines().peekable();
    assert_eq!(lines.next(), Some("#EXTM3U"));
    let (mut target, mut ended, mut version, mut segments) = (0.0, false, 0, Vec::new());
    let mut waiting: (Option<f64>, Option<(u64, u64)>) = (None, None);
    for line in lines {
        assert!(!ended, "{line} stands behind the end");
        if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            target = value.parse().unwrap();
        } else if let Some(value) = line.strip_prefix("#EXT-X-VERSION:") {
            version = value.parse().unwrap();
        } else if let Some(value) = line.strip_prefix("#EXTINF:") {
            waiting.0 = Some(value.strip_suffix(',').unwrap().parse().unwrap());
        } else if let Some(value) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            let (size, offset) = value.split_once('@').unwrap();
            waiting.1 = Some((offset.parse().unwrap(), size.parse().unwrap()));
        } else if let Some(value) = line.strip_prefix("#EXT-X-MAP:") {
            assert!(
                segments.is_empty() && value.contains("BYTERANGE=\""),
                "4.3.2.5: a quoted string"
            );
        } else if line == "#EXT-X-ENDLIST" {
            ended = true;
        } else if !line.starts_with('#') {
            assert!(
                !line.contains("..") && !line.starts_with('/') && !line.contains("://"),
                "{line} is not relative"
            );
            let (seconds, place) = (waiting.0.take().unwrap(), waiting.1.take().unwrap());
            segments.push((seconds, place.0, place.1));
        }
    }
    assert!(ended && version >= 6 && target >= 1.0, "{text}");
    for (seconds, ..) in &segments {
        assert!(
            seconds.round() <= target,
            "4.3.3.1: {seconds} s rounds to more than {target}"
        );
    }
    (target, segments)
}

#[test]
fn the_media_playlist_covers_the_object_by_fragments() {
    let index = a_small_index();
    let name: RenditionName = "360p".parse().unwrap();
    let text = super::media_playlist(&name, &index).unwrap();
    let (target, segments) = checked_media_playlist(&text);
    assert_eq!(target, 2.0, "{text}");
    let want: Vec<_> = index
        .fragments
        .iter()
        .map(|f| (f.duration_ms as f64 / 1_000.0, f.offset, f.size))
        .collect();
    assert_eq!(segments, want);
    let map = format!("#EXT-X-MAP:URI=\"360p.mp4\",BYTERANGE=\"{}@0\"", index.init.len());
    assert!(text.lines().any(|line| line == map), "{text}");
    assert_eq!(text.lines().filter(|line| *line == "360p.mp4").count(), 3);
    let mut over = index.clone();
    over.fragments[2].size += 1 << 20;
    assert_eq!(super::media_playlist(&name, &over), None, "past the object's end");
}

#[test]
fn the_main_playlist_tells_rates_size_and_codecs() {
    let mut index = a_small_index();
    let name = |text: &str| text.parse::<RenditionName>().unwrap();
    let total = index.total_bytes;
    // The second fragment weighs ten times the others.
    for (fragment, size) in index.fragments.iter_mut().zip([1_000, 10_000, 500]) {
        fragment.size = size;
    }
    let text = super::main_playlist(&[
        (name("720p"), super::stream_inf(&index)),
        (name("360p"), super::stream_inf(&index)),
    ]);
    let line = format!(
        "#EXT-X-STREAM-INF:BANDWIDTH=40000,AVERAGE-BANDWIDTH={},CODECS=\"avc1.64000c,mp4a.40.2\",RESOLUTION=192x108,FRAME-RATE=30.000",
        (total * 8_000).div_ceil(5_000)
    );
    // The average cannot be above the peak.
    let peak = 40_000.max((total * 8_000).div_ceil(5_000));
    let line = line.replace("BANDWIDTH=40000,", &format!("BANDWIDTH={peak},"));
    let want =
        format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n{line}\n720p.m3u8\n{line}\n360p.m3u8\n");
    assert_eq!(text, want);
}

#[test]
fn hls_decodes_to_the_same_frames_as_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let args = [&PICTURE[..], &SOUND, &H264, &AAC, &FRAGMENTED].concat();
    let (fragmented, index) = a_fragmented_file(dir.path(), &args);
    std::fs::write(dir.path().join("240p.mp4"), &fragmented).unwrap();
    let name: RenditionName = "240p".parse().unwrap();
    let playlist = dir.path().join("240p.m3u8");
    std::fs::write(&playlist, super::media_playlist(&name, &index).unwrap()).unwrap();
    let main = dir.path().join("main.m3u8");
    std::fs::write(&main, super::main_playlist(&[(name, super::stream_inf(&index))])).unwrap();
    let pixels = |file: &Path| {
        let file = file.to_str().unwrap();
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-i",
                file,
                "-map",
                "0:v",
                "-f",
                "framehash",
                "-hash",
                "md5",
                "-",
            ],
        )
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect::<Vec<_>>()
    };
    let direct = pixels(&dir.path().join("240p.mp4"));
    assert_eq!(direct.len(), 150);
    assert_eq!(pixels(&main), direct);
}
