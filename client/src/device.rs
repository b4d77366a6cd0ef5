//! The device file: what pairing leaves on the vehicle, and the tokens made with it.

use std::io;
use std::path::{Path, PathBuf};

use dashvault_keys::digest;
use dashvault_keys::token::{DeviceClaims, DeviceKey, sign_device_token, sign_pairing_proof};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::connection::{Connection, now_ms};
use crate::{ClientError, Doing, file};

/// Each request has a token of its own, so a token need not outlive the slowest start of one.
const TOKEN_LIFE_MS: i64 = 5 * 60 * 1000;
/// A device file has a few hundred bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// A paired vehicle: its id, its key, and the vault it belongs to.
pub struct Device {
    path: PathBuf,
    server: String,
    id: String,
    id_bytes: [u8; 16],
    key: DeviceKey,
    vault_public_key: [u8; 32],
}

/// The device file, JSON. Keys are base64url without padding.
#[derive(Serialize, Deserialize)]
struct DeviceFile {
    version: u32,
    server: String,
    device_id: String,
    /// The vehicle's Ed25519 key, PKCS#8.
    private_key: String,
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
            vault_public_key,
        }
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
        let failed = |source| ClientError::File {
            path: path.to_owned(),
            doing: Doing::Read,
            source,
        };
        if path.metadata().map_err(failed)?.len() > MAX_FILE_BYTES {
            return Err(not_a_device_file(path, "it is too long"));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let file: DeviceFile =
            serde_json::from_slice(&bytes).map_err(|error| not_a_device_file(path, &error.to_string()))?;
        file.open(path)
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
        let claims = DeviceClaims {
            device: self.id_bytes,
            issued_at_ms: now_ms,
            expires_at_ms: now_ms + TOKEN_LIFE_MS,
            nonce: digest::random(),
        };
        sign_device_token(&self.key, &claims)
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
        let key = BASE64URL_NOPAD
            .decode(self.private_key.as_bytes())
            .ok()
            .and_then(|bytes| DeviceKey::from_pkcs8(&bytes).ok());
        Ok(Device {
            path: path.to_owned(),
            server: self.server.clone(),
            id: self.device_id.clone(),
            id_bytes: id_bytes(&self.device_id).ok_or_else(|| wrong("device_id is no id"))?,
            key: key.ok_or_else(|| wrong("private_key is no Ed25519 key"))?,
            vault_public_key: key_bytes(&self.vault_public_key).ok_or_else(|| wrong("vault_public_key is no key"))?,
        })
    }
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
