//! The device file: what pairing leaves on the vehicle, and the tokens made with it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dashvault_keys::digest;
use dashvault_keys::token::{DeviceClaims, DeviceKey, sign_pairing_proof, sign_placed_token};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::connection::{Connection, now_ms};
use crate::place::place;
use crate::{ClientError, Doing, file};

/// Each request has a token of its own, so a token need not outlive the slowest start of one.
const TOKEN_LIFE_MS: i64 = 5 * 60 * 1000;
/// A device file has a few hundred bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// A key is as old as this at most, so that a copy that was once made opens nothing for ever.
const KEY_LIFE_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// A paired vehicle: its id, its key, and the vault it belongs to.
pub struct Device {
    path: PathBuf,
    server: String,
    id: String,
    id_bytes: [u8; 16],
    held: Mutex<Held>,
    vault_public_key: [u8; 32],
}

/// The key of a device file, and which state of the file it was read from: another process may give the vehicle another one.
struct Held {
    stamp: Option<Stamp>,
    key: Arc<DeviceKey>,
    since_ms: Option<i64>,
}

/// Differs when a file was written anew: inode, and modification time in seconds and nanoseconds.
type Stamp = (u64, i64, i64);

/// The device file, JSON. Keys are base64url without padding.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeviceFile {
    version: u32,
    server: String,
    device_id: String,
    /// The vehicle's Ed25519 key, PKCS#8.
    private_key: String,
    /// Since when it is that one, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_since_ms: Option<i64>,
    /// The key that it will have: written down before the vault is told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_private_key: Option<String>,
    /// What the vault's receipts are signed with.
    vault_public_key: String,
}

#[derive(Serialize)]
struct PairingRequest<'a> {
    code: &'a str,
    public_key: String,
    proof: String,
}

#[derive(Deserialize)]
struct PairingAnswer {
    device_id: String,
    vault_public_key: String,
}

/// Pairs this vehicle: makes its Ed25519 key, proves possession of it with the owner's `code`, and writes the device file
/// `out` (0600, complete or not at all).
///
/// # Errors
/// [`ClientError::Code`] for a wrong or used code; [`ClientError::Paired`] when `out` exists and [`ClientError::File`] when it
/// cannot be written, both before the code is spent; [`ClientError::PairedInVain`] when it cannot be written afterwards.
pub async fn pair(server: &str, code: &str, out: &Path) -> Result<Device, ClientError> {
    let taken = || ClientError::Paired { path: out.to_owned() };
    if out.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let connection = Connection::to(server)?;
    file::can_write(out)?;
    let key = DeviceKey::make();
    let request = PairingRequest {
        code,
        public_key: BASE64URL_NOPAD.encode(&key.public_key()),
        proof: sign_pairing_proof(&key, code),
    };
    let sent = connection.post("/v1/devices").json(&request).send().await;
    let answer = Answer::of(sent.map_err(|error| ClientError::Unreachable(error.into()))?);
    if answer.status() == 404 {
        return Err(ClientError::Code);
    }
    if !answer.is_success() {
        return Err(answer.refused().await);
    }
    let answer: PairingAnswer = answer.json().await?;
    let device = DeviceFile::new(connection.server(), answer.device_id, &key, answer.vault_public_key);
    let bytes = device.text();
    let device = device.open(out)?;
    file::write(out, &bytes, true).map_err(|error| ClientError::PairedInVain {
        device_id: device.id.clone(),
        cause: Box::new(match error {
            ClientError::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => taken(),
            other => other,
        }),
    })?;
    Ok(device)
}

/// The text of the device file of a vehicle that was never paired: a decoy that looks like any other.
pub fn decoy_device_file(server: &str, device_id: &str, key: &DeviceKey, vault_public_key: &[u8; 32]) -> String {
    let vault_public_key = BASE64URL_NOPAD.encode(vault_public_key);
    let file = DeviceFile::new(server, device_id.to_owned(), key, vault_public_key);
    String::from_utf8(file.text()).expect("JSON is UTF-8")
}

impl DeviceFile {
    fn new(server: &str, device_id: String, key: &DeviceKey, vault_public_key: String) -> Self {
        Self {
            version: 1,
            server: server.to_owned(),
            device_id,
            private_key: BASE64URL_NOPAD.encode(&key.to_pkcs8()),
            key_since_ms: Some(now_ms()),
            next_private_key: None,
            vault_public_key,
        }
    }

    /// The vehicle's key.
    pub fn key(&self, path: &Path) -> Result<DeviceKey, ClientError> {
        let key = parse_key(&self.private_key);
        key.ok_or_else(|| not_a_device_file(path, "private_key is no Ed25519 key"))
    }

    /// The key that it will have, if one was made.
    pub fn next_key(&self, path: &Path) -> Result<Option<DeviceKey>, ClientError> {
        let Some(text) = &self.next_private_key else {
            return Ok(None);
        };
        let key = parse_key(text);
        key.map(Some)
            .ok_or_else(|| not_a_device_file(path, "next_private_key is no Ed25519 key"))
    }

    /// The vehicle's id.
    pub fn id_bytes(&self, path: &Path) -> Result<[u8; 16], ClientError> {
        id_bytes(&self.device_id).ok_or_else(|| not_a_device_file(path, "device_id is no id"))
    }

    /// Notes the key that it will have.
    pub fn announce(&mut self, next: &DeviceKey) {
        self.next_private_key = Some(BASE64URL_NOPAD.encode(&next.to_pkcs8()));
    }

    /// Puts it in the place of the one that it had.
    pub fn change_to(&mut self, next: &DeviceKey, now_ms: i64) {
        self.private_key = BASE64URL_NOPAD.encode(&next.to_pkcs8());
        self.key_since_ms = Some(now_ms);
        self.next_private_key = None;
    }

    /// Writes it in the place of the one that is there; durable when this returns.
    pub fn keep(&self, path: &Path) -> Result<(), ClientError> {
        file::write(path, &self.text(), false)
    }

    fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a device file is plain JSON")
    }
}

impl Device {
    /// Reads a device file.
    ///
    /// # Errors
    /// [`ClientError::File`] when it cannot be read, [`ClientError::DeviceFile`] when it is no device file.
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        read(path)?.open(path)
    }

    /// The vehicle's id, 26 characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The vault it was paired with, a URL without a trailing slash.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Where the device file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh bearer token, valid for five minutes of this machine's clock.
    pub fn token(&self) -> String {
        self.token_at(now_ms())
    }

    /// A fresh token for a clock that shows `now_ms`.
    pub(crate) fn token_at(&self, now_ms: i64) -> String {
        sign_token(&self.held().0, self.id_bytes, now_ms)
    }

    /// Whether it is time for another key. A file that does not say since when it has its key is older than that custom, and a
    /// key from the future is one of a clock that was wrong.
    pub(crate) fn wants_another_key(&self, now_ms: i64) -> bool {
        let since_ms = self.held().1;
        since_ms.is_none_or(|since| now_ms.abs_diff(since) > KEY_LIFE_MS.unsigned_abs())
    }

    /// The key that the device file holds now. A file that cannot be read just now changes nothing.
    fn held(&self) -> (Arc<DeviceKey>, Option<i64>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp.is_some()
            && stamp != held.stamp
            && let Ok(file) = read(&self.path)
            && file.device_id == self.id
            && let Ok(key) = file.key(&self.path)
        {
            *held = Held {
                stamp,
                key: Arc::new(key),
                since_ms: file.key_since_ms,
            };
        }
        (Arc::clone(&held.key), held.since_ms)
    }

    /// What the vault's receipts are signed with.
    pub(crate) fn vault_public_key(&self) -> &[u8; 32] {
        &self.vault_public_key
    }
}

impl DeviceFile {
    fn open(&self, path: &Path) -> Result<Device, ClientError> {
        let wrong = |reason: &str| not_a_device_file(path, reason);
        if self.version != 1 {
            return Err(wrong("its version is not known to this program"));
        }
        let held = Held {
            // Before the first token the file is looked at again: it may have changed since it was read.
            stamp: None,
            key: Arc::new(self.key(path)?),
            since_ms: self.key_since_ms,
        };
        Ok(Device {
            path: path.to_owned(),
            server: self.server.clone(),
            id: self.device_id.clone(),
            id_bytes: self.id_bytes(path)?,
            held: Mutex::new(held),
            vault_public_key: key_bytes(&self.vault_public_key).ok_or_else(|| wrong("vault_public_key is no key"))?,
        })
    }
}

/// Reads a device file.
pub(crate) fn read(path: &Path) -> Result<DeviceFile, ClientError> {
    let failed = |source| ClientError::File {
        path: path.to_owned(),
        doing: Doing::Read,
        source,
    };
    if path.metadata().map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(not_a_device_file(path, "it is too long"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|error| not_a_device_file(path, &error.to_string()))
}

/// A token for one request, from this start of this machine.
pub(crate) fn sign_token(key: &DeviceKey, device: [u8; 16], now_ms: i64) -> String {
    let claims = DeviceClaims {
        device,
        issued_at_ms: now_ms,
        expires_at_ms: now_ms + TOKEN_LIFE_MS,
        nonce: digest::random(),
    };
    sign_placed_token(key, &claims, &place(&device))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = |file: Metadata| (file.ino(), file.mtime(), file.mtime_nsec());
    path.metadata().ok().map(of)
}

fn parse_key(text: &str) -> Option<DeviceKey> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    DeviceKey::from_pkcs8(&bytes).ok()
}

fn not_a_device_file(path: &Path, reason: &str) -> ClientError {
    ClientError::DeviceFile {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The 16 bytes of an id of the vault's.
pub(crate) fn id_bytes(text: &str) -> Option<[u8; 16]> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn key_bytes(text: &str) -> Option<[u8; 32]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}
