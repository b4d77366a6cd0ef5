//! Envelopes: what opens, and what an attacker who can write the key plane may try.

use super::*;

const CLIP: [u8; 16] = [2; 16];
const LOCATED: Located = Located {
    owner: [1; 16],
    kek_version: 3,
};

fn secret(byte: u8) -> Secret32 {
    Secret32::from_bytes([byte; 32])
}

fn manifest(objects: usize) -> Manifest {
    let object = ManifestObject {
        id: [4; 16],
        kind: 1,
        rendition: "original".into(),
        suite: 1,
        log2_segment: 18,
        padded_length: 131_072,
        length: 1000,
        commitment: [5; 32],
        sha256: [6; 32],
        codec: Some("avc1.640028".into()),
        ..ManifestObject::default()
    };
    Manifest {
        recorded_at: Some(1_700_000_000_000),
        received_at: Some(1_700_000_001_000),
        duration_ms: Some(60_000),
        objects: vec![object; objects],
        ..Manifest::default()
    }
}

fn sealed(dek: &Secret32, revision: u32, manifest: &Manifest) -> Vec<u8> {
    let content = Envelope {
        clip: CLIP,
        revision,
        owner: LOCATED.owner,
        kek_version: LOCATED.kek_version,
        dek,
        manifest,
    };
    seal(b"tenant", &content, &secret(7), &secret(8)).expect("it is short enough")
}

/// Locates, unwraps and opens, as a reader without a catalogue does.
fn opened(bytes: &[u8], system: &[u8], kek: &Secret32) -> Result<(Located, Secret32, Manifest), EnvelopeError> {
    let envelope = SealedEnvelope::parse(bytes)?.check(CLIP, 1)?;
    let located = envelope.locate(system, &secret(8))?;
    let dek = envelope.open_dek(system, &located, kek)?;
    let manifest = envelope.open_manifest(system, &dek)?;
    Ok((located, dek, manifest))
}

#[test]
fn an_envelope_gives_back_owner_dek_and_manifest() {
    let dek = Secret32::make_random();
    let bytes = sealed(&dek, 1, &manifest(3));
    let (located, opened_dek, opened_manifest) = opened(&bytes, b"tenant", &secret(7)).expect("it opens");
    assert_eq!(located, LOCATED);
    assert_eq!(opened_dek.expose(), dek.expose());
    assert!(opened_manifest == manifest(3));
}

#[test]
fn its_length_tells_the_manifest_in_steps_of_a_kibibyte() {
    let lengths: Vec<usize> = (0..3)
        .map(|objects| sealed(&secret(9), 1, &manifest(objects)).len())
        .collect();
    assert_eq!(lengths, [192 + 1024 + 16, 192 + 1024 + 16, 192 + 1024 + 16]);
    assert_eq!(sealed(&secret(9), 1, &manifest(4)).len(), 192 + 2048 + 16);
}

#[test]
fn any_changed_bit_and_any_cut_is_refused() {
    let bytes = sealed(&secret(9), 1, &manifest(1));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(opened(&changed, b"tenant", &secret(7)).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(SealedEnvelope::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(SealedEnvelope::parse(&longer).is_err());
}

#[test]
fn another_system_kek_owner_or_clip_is_refused() {
    let bytes = sealed(&secret(9), 1, &manifest(1));
    assert!(opened(&bytes, b"other", &secret(7)).is_err());
    assert!(opened(&bytes, b"tenant", &secret(1)).is_err());
    let envelope = SealedEnvelope::parse(&bytes).expect("its form is right");
    for located in [
        Located {
            owner: [9; 16],
            ..LOCATED
        },
        Located {
            kek_version: 4,
            ..LOCATED
        },
    ] {
        let refused = envelope.open_dek(b"tenant", &located, &secret(7)).err();
        assert_eq!(refused, Some(EnvelopeError::Refused));
    }
    assert_eq!(
        envelope.check([3; 16], 0).err(),
        Some(EnvelopeError::Refused),
        "of another clip"
    );
}

#[test]
fn an_old_revision_put_back_is_refused() {
    let old = sealed(&secret(9), 4, &manifest(1));
    let found = SealedEnvelope::parse(&old).and_then(|e| e.check(CLIP, 5)).err();
    assert_eq!(found, Some(EnvelopeError::OldRevision { found: 4, least: 5 }));
    assert!(SealedEnvelope::parse(&old).and_then(|e| e.check(CLIP, 4)).is_ok());
    // Its number cannot be raised: every part is bound to it.
    let mut raised = old;
    raised[27] = 5;
    assert!(opened(&raised, b"tenant", &secret(7)).is_err());
}

#[test]
fn parts_of_two_envelopes_do_not_mix() {
    let one = sealed(&secret(9), 1, &manifest(1));
    let two = sealed(&secret(9), 1, &manifest(1));
    for range in [60..108, 108..140, 140..188, 192..one.len()] {
        let mut mixed = one.clone();
        mixed[range.clone()].copy_from_slice(&two[range]);
        assert!(opened(&mixed, b"tenant", &secret(7)).is_err());
    }
}

#[test]
fn a_newer_version_is_told_apart_and_other_modes_are_refused() {
    let bytes = sealed(&secret(9), 1, &manifest(1));
    let with = |at: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[at] = value;
        SealedEnvelope::parse(&changed).err()
    };
    assert_eq!(with(4, 2), Some(EnvelopeError::UnknownVersion(2)));
    assert_eq!(with(5, 2), Some(EnvelopeError::Refused));
    assert_eq!(with(6, 1), Some(EnvelopeError::Refused));
    assert_eq!(with(0, b'X'), Some(EnvelopeError::Refused));
}

#[test]
fn more_objects_than_a_dek_may_seal_are_refused() {
    let content = Envelope {
        clip: CLIP,
        revision: 1,
        owner: LOCATED.owner,
        kek_version: 1,
        dek: &secret(9),
        manifest: &manifest(MAX_OBJECTS_PER_DEK as usize + 1),
    };
    assert_eq!(
        seal(b"tenant", &content, &secret(7), &secret(8)).err(),
        Some(EnvelopeError::TooLong)
    );
}

#[test]
fn nothing_of_the_owner_is_readable() {
    let bytes = sealed(&secret(9), 1, &manifest(1));
    assert!(!bytes.windows(16).any(|window| window == LOCATED.owner));
    assert!(!bytes.windows(8).any(|window| window == b"original"));
}
