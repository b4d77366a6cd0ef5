//! `Upload-Metadata`: an attacker's text, read once and sealed at once.
//!
//! Known keys only; nothing of it is ever part of a path, a log line or an error. A recording time is taken as it is told:
//! a vehicle whose clock's battery died still brings its clip.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::IngestError;
use crate::model::UnixMs;
use crate::vault::UploadMetadata;

/// Of the whole header, as HTTP heads are bounded too.
const MAX_BYTES: usize = 4096;
/// Of a camera's name, a clip's kind, name and rendition: words, not texts.
const MAX_WORD_BYTES: usize = 64;
/// 9999-12-31T23:59:59.999Z: what RFC 3339 can write.
const MAX_TIME: UnixMs = 253_402_300_799_999;

/// Reads the header.
pub(super) fn parse(header: Option<&str>) -> Result<UploadMetadata, IngestError> {
    let mut metadata = UploadMetadata::default();
    let Some(header) = header.map(str::trim).filter(|header| !header.is_empty()) else {
        return Ok(metadata);
    };
    if header.len() > MAX_BYTES {
        return Err(invalid("Upload-Metadata", "more than 4096 bytes"));
    }
    for pair in header.split(',') {
        let pair = pair.trim();
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let Some(key) = known(key) else {
            continue;
        };
        let value = BASE64
            .decode(value.trim().as_bytes())
            .map_err(|_| invalid(key, "the value is not base64"))?;
        let value = String::from_utf8(value).map_err(|_| invalid(key, "the value is not UTF-8"))?;
        take(&mut metadata, key, value)?;
    }
    if metadata.lat.is_some() != metadata.lon.is_some() {
        return Err(invalid("lat", "lat and lon come together or not at all"));
    }
    Ok(metadata)
}

fn invalid(key: &'static str, reason: &'static str) -> IngestError {
    IngestError::InvalidMetadata { key, reason }
}

fn known(key: &str) -> Option<&'static str> {
    const KEYS: [&str; 10] = [
        "filename",
        "filetype",
        "sha256",
        "recorded_at",
        "camera",
        "kind",
        "lat",
        "lon",
        "clip",
        "rendition",
    ];
    KEYS.into_iter().find(|known| *known == key)
}

fn take(metadata: &mut UploadMetadata, key: &'static str, value: String) -> Result<(), IngestError> {
    let fresh = match key {
        "filename" => metadata.filename.replace(printable(&value)).is_none(),
        "filetype" => metadata.filetype.replace(printable(&value)).is_none(),
        "camera" => metadata.camera.replace(word(key, &value)?).is_none(),
        "kind" => metadata.kind.replace(word(key, &value)?).is_none(),
        "clip" => metadata.clip.replace(word(key, &value)?).is_none(),
        "rendition" => metadata.rendition.replace(word(key, &value)?).is_none(),
        "sha256" => metadata.sha256.replace(sha256(&value)?).is_none(),
        "recorded_at" => metadata.recorded_at.replace(time(&value)?).is_none(),
        "lat" => metadata.lat.replace(degrees(key, &value, 90.0)?).is_none(),
        _ => metadata.lon.replace(degrees(key, &value, 180.0)?).is_none(),
    };
    fresh.then_some(()).ok_or(invalid(key, "told twice"))
}

/// A name is shown to people; a control character in it is no reason to lose a clip.
fn printable(value: &str) -> String {
    let shown = value.chars();
    shown
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn word(key: &'static str, value: &str) -> Result<String, IngestError> {
    if value.len() > MAX_WORD_BYTES {
        return Err(invalid(key, "more than 64 bytes"));
    }
    Ok(printable(value))
}

fn sha256(value: &str) -> Result<String, IngestError> {
    let is_sum = HEXLOWER_PERMISSIVE
        .decode(value.as_bytes())
        .is_ok_and(|sum| sum.len() == 32);
    if !is_sum {
        return Err(invalid("sha256", "not 64 hexadecimal digits"));
    }
    Ok(value.to_ascii_lowercase())
}

/// RFC 3339 with an offset or `Z`, or milliseconds since 1970.
fn time(value: &str) -> Result<UnixMs, IngestError> {
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let at = if is_number {
        value.parse().ok()
    } else {
        value.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond())
    };
    at.filter(|at| (0..=MAX_TIME).contains(at))
        .ok_or(invalid("recorded_at", "neither RFC 3339 nor milliseconds since 1970"))
}

fn degrees(key: &'static str, value: &str, most: f64) -> Result<f64, IngestError> {
    let degrees = value.parse::<f64>().ok();
    degrees
        .filter(|degrees| degrees.abs() <= most)
        .ok_or(invalid(key, "not a number of degrees"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key} {}", BASE64.encode(value.as_bytes())))
            .collect();
        pairs.join(",")
    }

    fn refused(text: &str) -> (&'static str, &'static str) {
        match parse(Some(text)) {
            Err(IngestError::InvalidMetadata { key, reason }) => (key, reason),
            other => panic!("{text}: {:?}", other.err()),
        }
    }

    #[test]
    fn known_keys_are_read_and_unknown_ones_ignored() {
        let sum = "AB".repeat(32);
        let text = header(&[
            ("filename", "front 1.mp4"),
            ("filetype", "video/mp4"),
            ("sha256", &sum),
            ("recorded_at", "2026-03-01T12:00:00.250+09:00"),
            ("camera", "front"),
            ("kind", "event"),
            ("lat", "35.6"),
            ("lon", "-139.7"),
            ("name", "something else"),
        ]);
        let metadata = parse(Some(&format!("{text},is_confidential"))).unwrap();
        assert_eq!(metadata.filename.as_deref(), Some("front 1.mp4"));
        assert_eq!(metadata.filetype.as_deref(), Some("video/mp4"));
        assert_eq!(metadata.sha256, Some("ab".repeat(32)));
        assert_eq!(metadata.recorded_at, Some(1_772_334_000_250));
        assert_eq!(metadata.camera.as_deref(), Some("front"));
        assert_eq!(metadata.kind.as_deref(), Some("event"));
        assert_eq!((metadata.lat, metadata.lon), (Some(35.6), Some(-139.7)));
    }

    #[test]
    fn no_metadata_is_fine() {
        for text in [None, Some(""), Some("  ")] {
            assert!(parse(text).unwrap() == UploadMetadata::default());
        }
    }

    #[test]
    fn a_time_may_be_milliseconds_and_any_year_is_taken() {
        for (text, at) in [
            ("1772334000250", 1_772_334_000_250),
            ("0", 0),
            ("1980-01-06T00:00:00Z", 315_964_800_000),
        ] {
            assert_eq!(
                parse(Some(&header(&[("recorded_at", text)]))).unwrap().recorded_at,
                Some(at)
            );
        }
        for text in [
            "",
            "yesterday",
            "-1",
            "1e9",
            "253402300800000",
            "2026-03-01",
            "99999999999999999999",
        ] {
            assert_eq!(refused(&header(&[("recorded_at", text)])).0, "recorded_at", "{text}");
        }
    }

    #[test]
    fn a_control_character_costs_no_clip() {
        let metadata = parse(Some(&header(&[("filename", "a\nb\0c")]))).unwrap();
        assert_eq!(metadata.filename.as_deref(), Some("a\u{fffd}b\u{fffd}c"));
    }

    #[test]
    fn each_refusal_names_its_key() {
        assert_eq!(refused("filename ???"), ("filename", "the value is not base64"));
        assert_eq!(refused("filename YQ"), ("filename", "the value is not base64"));
        assert_eq!(refused("filename /w=="), ("filename", "the value is not UTF-8"));
        assert_eq!(refused("filename YQ==,filename YQ=="), ("filename", "told twice"));
        assert_eq!(refused(&header(&[("sha256", "abcd")])).0, "sha256");
        assert_eq!(refused(&header(&[("sha256", &"g".repeat(64))])).0, "sha256");
        assert_eq!(refused(&header(&[("camera", &"a".repeat(65))])).0, "camera");
        for lat in ["91", "NaN", "inf", "north", ""] {
            assert_eq!(refused(&header(&[("lat", lat), ("lon", "1")])).0, "lat", "{lat}");
        }
        assert_eq!(refused(&header(&[("lat", "1")])).0, "lat");
        assert_eq!(refused(&header(&[("lat", "1"), ("lon", "181")])).0, "lon");
        assert_eq!(refused(&format!("x {}", "A".repeat(4096))).0, "Upload-Metadata");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,200}") {
            let _ = parse(Some(&text));
        }

        #[test]
        fn any_file_name_is_kept(name in "[^\\p{Cc}]{1,200}") {
            let read = parse(Some(&header(&[("filename", &name)]))).unwrap();
            prop_assert_eq!(read.filename, Some(name));
        }
    }
}
