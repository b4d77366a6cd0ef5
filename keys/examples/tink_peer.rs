//! Seals and opens one object on the command line, for tests that hold another implementation against this one.
//!
//! `tink_peer seal|open FILE OBJECT` with the key and the place as JSON on standard input:
//! `{"dek","system","owner","clip","object_id" (hex), "kind", "rendition", "log2_segment"}`, for `open` also
//! `"padded_length"` and `"commitment"`. `seal` prints what to pin as JSON. An object that is refused ends with code 3.

use std::error::Error;
use std::process::ExitCode;

use dashvault_keys::Secret32;
use dashvault_keys::object::{Opener, PRELUDE_BYTES, Pinned, Place, SUITE, Sealer, segment_span};
use data_encoding::HEXLOWER;
use serde::Deserialize;

#[derive(Deserialize)]
struct Wish {
    dek: String,
    system: String,
    owner: String,
    clip: String,
    object_id: String,
    kind: u8,
    rendition: String,
    log2_segment: u8,
    #[serde(default)]
    padded_length: u64,
    #[serde(default)]
    commitment: String,
}

fn hex<const N: usize>(text: &str) -> Result<[u8; N], Box<dyn Error>> {
    let bytes = HEXLOWER.decode(text.as_bytes())?;
    Ok(bytes.as_slice().try_into()?)
}

/// Bytes that are fed to the sealer at a time; no divisor of a segment, so that runs cross borders.
const RUN_BYTES: usize = 50_000;

fn seal(wish: &Wish, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let (dek, id) = (Secret32::from_bytes(hex(&wish.dek)?), hex(&wish.object_id)?);
    let (mut sealer, mut object) = (Sealer::new(&dek, place, id, wish.log2_segment)?, Vec::new());
    for run in plain.chunks(RUN_BYTES) {
        sealer.push(run, &mut object)?;
    }
    let sealed = sealer.finish(&mut object)?;
    println!(
        "{}",
        serde_json::json!({
            "length": sealed.length,
            "padded_length": sealed.padded_length,
            "size": sealed.size,
            "commitment": HEXLOWER.encode(&sealed.commitment),
        })
    );
    Ok(object)
}

/// The plaintext with its padding, or nothing when any of it is refused.
fn open(wish: &Wish, place: &Place<'_>, object: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let (dek, id) = (Secret32::from_bytes(hex(&wish.dek)?), hex(&wish.object_id)?);
    let pinned = Pinned {
        suite: SUITE,
        log2_segment: wish.log2_segment,
        padded_length: wish.padded_length,
        commitment: hex(&wish.commitment)?,
    };
    if pinned.size() != object.len() as u64 {
        return Ok(None);
    }
    let Ok(opener) = Opener::new(&dek, place, id, &pinned, &object[..PRELUDE_BYTES]) else {
        return Ok(None);
    };
    let mut plain = Vec::new();
    for index in 0..opener.segments() {
        let span = segment_span(index, pinned.padded_length, pinned.log2_segment);
        let mut segment = object[span.start as usize..span.end as usize].to_vec();
        match opener.open_segment(index, &mut segment) {
            Ok(opened) => plain.extend_from_slice(opened),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(plain))
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, command, file, object] = arguments.as_slice() else {
        return Err("tink_peer seal|open FILE OBJECT".into());
    };
    let wish: Wish = serde_json::from_reader(std::io::stdin())?;
    let system = HEXLOWER.decode(wish.system.as_bytes())?;
    let place = Place {
        system: &system,
        owner: hex(&wish.owner)?,
        clip: hex(&wish.clip)?,
        kind: wish.kind,
        rendition: &wish.rendition,
    };
    if command == "seal" {
        std::fs::write(object, seal(&wish, &place, &std::fs::read(file)?)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    match open(&wish, &place, &std::fs::read(object)?)? {
        Some(plain) => std::fs::write(file, plain)?,
        None => return Ok(ExitCode::from(3)),
    }
    Ok(ExitCode::SUCCESS)
}
