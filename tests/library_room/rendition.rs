//! A fragmented MP4 in small: boxes as they should be, samples that are noise, and the index that fits them.

use dashvault::model::index::{Fragment, RenditionIndex, Run, Sample, Track};

/// Bytes of a rendition and its index.
pub fn a_rendition(fragments: usize, sample_bytes: u32) -> (Vec<u8>, RenditionIndex) {
    let init = [
        a_box(b"ftyp", b"iso5\0\0\x02\0iso5iso6mp41"),
        a_box(b"moov", &[movie_header(), track(), a_box(b"mvex", &[0; 4])].concat()),
    ]
    .concat();
    let mut bytes = init.clone();
    let mut index = RenditionIndex {
        init,
        duration_ms: fragments as u64 * 2_000,
        codecs: "avc1.64000c".to_owned(),
        width: 192,
        height: 108,
        tracks: vec![Track {
            id: 1,
            timescale: 15_360,
            video: true,
        }],
        ..RenditionIndex::default()
    };
    for number in 0..fragments as u64 {
        let offset = bytes.len() as u64;
        bytes.extend(a_box(b"moof", &[number as u8; 40]));
        let samples: Vec<_> = (0..4_u32)
            .map(|at| Sample {
                duration: 7_680,
                size: sample_bytes + at,
                sync: at == 0,
                composition_offset: 0,
            })
            .collect();
        let all: u32 = samples.iter().map(|s| s.size).sum();
        let noise: Vec<u8> = (0..u64::from(all)).map(|at| (at * 31 + number * 7) as u8).collect();
        let data_offset = bytes.len() as u64 + 8;
        bytes.extend(a_box(b"mdat", &noise));
        index.fragments.push(Fragment {
            offset,
            size: bytes.len() as u64 - offset,
            start_ms: number * 2_000,
            duration_ms: 2_000,
            runs: vec![Run {
                track: 1,
                base_decode_time: number * 4 * 7_680,
                data_offset,
                samples,
            }],
        });
    }
    index.total_bytes = bytes.len() as u64;
    (bytes, index)
}

fn a_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).unwrap();
    [&size.to_be_bytes()[..], kind, content].concat()
}

fn movie_header() -> Vec<u8> {
    let mut content = vec![0; 100];
    content[12..16].copy_from_slice(&1_000_u32.to_be_bytes());
    a_box(b"mvhd", &content)
}

fn track() -> Vec<u8> {
    let mut header = vec![0; 84];
    header[12..16].copy_from_slice(&1_u32.to_be_bytes());
    let mut media = vec![0; 24];
    media[12..16].copy_from_slice(&15_360_u32.to_be_bytes());
    let stbl = a_box(b"stbl", &a_box(b"stsd", &[0; 8]));
    let minf = [a_box(b"vmhd", &[0; 12]), a_box(b"dinf", &[0; 0]), stbl].concat();
    let mdia = [
        a_box(b"mdhd", &media),
        a_box(b"hdlr", b"\0\0\0\0\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        a_box(b"minf", &minf),
    ]
    .concat();
    a_box(b"trak", &[a_box(b"tkhd", &header), a_box(b"mdia", &mdia)].concat())
}
