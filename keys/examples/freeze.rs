//! Writes one of every key-plane record, with all that is needed to open it, as JSON: a set of frozen samples.
//!
//! `cargo run -p dashvault-keys --example freeze > keys/tests/vectors/records-vN.json`, once for each version of the formats;
//! the tests open every set that was ever frozen. All keys in it are made for it and protect nothing.

use dashvault_keys::envelope::{self, Envelope, Manifest, ManifestObject};
use dashvault_keys::field::{self, FieldPlace};
use dashvault_keys::kek::{self, KekHead, KekState, Profile, ProfileAbout, Vehicle};
use dashvault_keys::object::{Place, Sealer, kind};
use dashvault_keys::provider::{Keyring, RootKey};
use dashvault_keys::receipt::{Receipt, ReceiptSigner};
use dashvault_keys::system::SystemRecord;
use dashvault_keys::token::{self, DeviceClaims, DeviceKey, LinkSigner, LinkToken};
use dashvault_keys::{Secret32, digest, ingest};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

const SYSTEM: &[u8] = b"0123456789abcdef";
const PASSPHRASE: &str = "frozen for the tests, no secret";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keyring");
    let root = Keyring::create(&path).expect("a keyring");
    let old_wrap = root.wrap(b"wrapped before the roll", b"place").expect("it wraps");
    root.add_epoch(1).expect("it is added");
    root.add_version().expect("it is added");
    let system = SystemRecord::make();
    let set = json!({
        "format": "dashvault key plane, version 1",
        "system": hex(SYSTEM),
        "keyring": hex(std::fs::read(&path).expect("it is there")),
        "keyring_backup": {
            "passphrase": PASSPHRASE,
            "bytes": hex(root.backup(PASSPHRASE).expect("a backup")),
        },
        "wrap": {
            "provider": old_wrap.provider,
            "reference": old_wrap.reference,
            "epoch": old_wrap.epoch,
            "blob": hex(&old_wrap.blob),
            "aad": hex("place"),
            "plain": hex("wrapped before the roll"),
        },
        "system_record": system_record(&system, &root),
        "kek_record": kek_record(&root),
        "envelope": clip_envelope(&system),
        "field": sealed_field(),
        "index": index(),
        "ingest": sealed_to_ingest(&system),
        "object": object(),
        "device_token": device_token(),
        "pairing": pairing(&system),
        "link_token": link_token(&system),
        "bearer": bearer(),
        "receipt": receipt(&system),
    });
    println!("{set:#}");
}

fn system_record(system: &SystemRecord, root: &Keyring) -> Value {
    json!({
        "bytes": hex(system.seal(SYSTEM, 7, root).expect("it is wrapped").1),
        "locator": hex(system.locator.expose()),
        "index": hex(system.index.newest().key.expose()),
        "token": hex(system.token.newest().key.expose()),
        "link": hex(system.link.newest().key.expose()),
        "receipt": hex(system.receipt.newest().key.expose()),
        "ingest": hex(system.ingest.secret().expose()),
    })
}

fn kek_record(root: &Keyring) -> Value {
    let (kek, field_key) = (Secret32::make_random(), Secret32::make_random());
    let head = KekHead {
        id: digest::random(),
        version: 2,
        revision: 5,
        state: KekState::Active,
    };
    let vehicle = Vehicle {
        device: digest::random(),
        public_key: digest::random(),
        label: "the red one".into(),
        vin: Some("JT153SB1000000001".into()),
        plate: Some("品川 300 あ 12-34".into()),
        revoked: false,
        ..Vehicle::default()
    };
    let profile = Profile {
        owner: digest::random(),
        field_key: field_key.duplicate(),
        about: ProfileAbout {
            email: "owner@example.com".into(),
            name: Some("An Owner".into()),
            vehicles: vec![vehicle],
            ..ProfileAbout::default()
        },
    };
    let wraps = [(); 2].map(|()| kek::wrap(SYSTEM, root, head.id, head.version, &kek).expect("it wraps"));
    json!({
        "bytes": hex(kek::seal(SYSTEM, &head, &kek, &wraps, &profile).expect("it is short enough")),
        "id": hex(head.id),
        "version": head.version,
        "revision": head.revision,
        "wraps": wraps.len(),
        "kek": hex(kek.expose()),
        "owner": hex(profile.owner),
        "field_key": hex(field_key.expose()),
        "about": profile.about,
    })
}

fn clip_envelope(system: &SystemRecord) -> Value {
    let (kek, dek) = (Secret32::make_random(), Secret32::make_random());
    let object = |kind, rendition: &str| ManifestObject {
        id: digest::random(),
        kind,
        rendition: rendition.into(),
        suite: 1,
        log2_segment: 18,
        padded_length: 704_512,
        length: 700_001,
        commitment: digest::random(),
        sha256: digest::random(),
        codec: (kind == kind::VIDEO).then(|| "avc1.640028,mp4a.40.2".into()),
        ..ManifestObject::default()
    };
    let manifest = Manifest {
        recorded_at: Some(1_764_036_000_000),
        received_at: Some(1_764_036_600_000),
        duration_ms: Some(60_040),
        objects: vec![object(kind::VIDEO, "original"), object(kind::IMAGE, "poster")],
        ..Manifest::default()
    };
    let content = Envelope {
        clip: digest::random(),
        revision: 3,
        owner: digest::random(),
        kek_version: 2,
        dek: &dek,
        manifest: &manifest,
    };
    json!({
        "bytes": hex(envelope::seal(SYSTEM, &content, &kek, &system.locator).expect("it is short enough")),
        "clip": hex(content.clip),
        "revision": content.revision,
        "owner": hex(content.owner),
        "kek_version": content.kek_version,
        "kek": hex(kek.expose()),
        "dek": hex(dek.expose()),
        "manifest": manifest,
    })
}

fn sealed_field() -> Value {
    let (key, row) = (Secret32::make_random(), digest::random());
    let place = FieldPlace {
        system: SYSTEM,
        table: "devices",
        column: "sealed_about",
        row: &row,
    };
    let plain = r#"{"label":"the red one"}  "#;
    json!({
        "bytes": hex(field::seal(&key, &place, plain.as_bytes())),
        "key": hex(key.expose()),
        "table": place.table,
        "column": place.column,
        "row": hex(row),
        "plain": plain,
    })
}

fn index() -> Value {
    let key = Secret32::make_random();
    json!({
        "key": hex(key.expose()),
        "purpose": "email",
        "value": "owner@example.com",
        "index": hex(field::index(&key, SYSTEM, "email", b"owner@example.com")),
    })
}

fn sealed_to_ingest(system: &SystemRecord) -> Value {
    let public = system.ingest.public();
    let sealed = ingest::seal_to(&public, b"dcv1/upload key", b"upload", &[42; 32]).expect("a key");
    json!({
        "bytes": hex(sealed),
        "public": hex(public.0),
        "info": "dcv1/upload key",
        "aad": "upload",
        "plain": hex([42; 32]),
    })
}

fn object() -> Value {
    let (dek, id, owner, clip) = (
        Secret32::make_random(),
        digest::random(),
        digest::random(),
        digest::random(),
    );
    let place = Place {
        system: SYSTEM,
        owner,
        clip,
        kind: kind::PIECE,
        rendition: "p4096",
    };
    let (mut sealer, mut bytes) = (Sealer::new(&dek, &place, id, 16).expect("a place"), Vec::new());
    let plain = b"a piece of an upload, not padded";
    sealer.push(plain, &mut bytes).expect("within the limits");
    let sealed = sealer.finish(&mut bytes).expect("within the limits");
    json!({
        "bytes": hex(bytes),
        "dek": hex(dek.expose()),
        "object_id": hex(id),
        "owner": hex(owner),
        "clip": hex(clip),
        "kind": place.kind,
        "rendition": place.rendition,
        "log2_segment": sealed.log2_segment,
        "padded_length": sealed.padded_length,
        "commitment": hex(sealed.commitment),
        "plain": hex(plain),
    })
}

fn device_token() -> Value {
    let key = DeviceKey::make();
    let claims = DeviceClaims {
        device: digest::random(),
        issued_at_ms: 1_764_036_000_000,
        expires_at_ms: 1_764_036_300_000,
        nonce: digest::random(),
    };
    json!({
        "text": token::sign_device_token(&key, &claims),
        "pkcs8": hex(&*key.to_pkcs8()),
        "public_key": hex(key.public_key()),
        "device": hex(claims.device),
        "issued_at_ms": claims.issued_at_ms,
        "expires_at_ms": claims.expires_at_ms,
        "nonce": hex(claims.nonce),
    })
}

fn pairing(system: &SystemRecord) -> Value {
    let (key, code) = (DeviceKey::make(), token::make_pairing_code());
    json!({
        "code": code,
        "finder": token::pairing_code_finder(&code),
        "hash": hex(token::pairing_code_hash(&system.token.newest().key, &code)),
        "public_key": hex(key.public_key()),
        "proof": token::sign_pairing_proof(&key, &code),
    })
}

fn link_token(system: &SystemRecord) -> Value {
    let signer = LinkSigner::new(&system.link.newest().key);
    let token = LinkToken::make(digest::random(), 1_764_036_000_000);
    json!({
        "text": signer.sign(&token),
        "link": hex(token.link),
        "expires_at_ms": token.expires_at_ms,
        "secret": hex(token.secret),
    })
}

fn bearer() -> Value {
    let (text, hash) = token::make_bearer("dvo_");
    json!({ "text": text, "hash": hex(hash) })
}

fn receipt(system: &SystemRecord) -> Value {
    let signer = ReceiptSigner::new(&system.receipt.newest().key);
    let receipt = Receipt {
        clip: digest::random(),
        sha256: digest::random(),
        length: 123_456_789,
        at_ms: 1_764_036_000_000,
    };
    json!({
        "text": signer.sign(&receipt),
        "public_key": hex(signer.public_key()),
        "clip": hex(receipt.clip),
        "sha256": hex(receipt.sha256),
        "length": receipt.length,
        "at_ms": receipt.at_ms,
    })
}
