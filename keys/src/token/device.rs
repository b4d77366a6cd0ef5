//! A vehicle's own key, and the short-lived tokens that it signs with it.

use zeroize::Zeroizing;

/// The longest life of a vehicle's token, an hour: it is made anew for each request or so.
pub const MAX_DEVICE_TOKEN_MS: i64 = 60 * 60 * 1000;

/// The bytes are no Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8")]
pub struct KeyRefused;

/// A vehicle's Ed25519 key pair.
pub struct DeviceKey;

impl DeviceKey {
    /// A new pair.
    pub fn make() -> Self {
        todo!()
    }

    /// From PKCS#8, version 1 or 2 (RFC 5958).
    pub fn from_pkcs8(_bytes: &[u8]) -> Result<Self, KeyRefused> {
        todo!()
    }

    /// To PKCS#8 version 2.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        todo!()
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        todo!()
    }
}

/// What a vehicle's token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceClaims {
    /// The device's id.
    pub device: [u8; 16],
    /// Unix milliseconds by the vehicle's clock.
    pub issued_at_ms: i64,
    /// Unix milliseconds by the vehicle's clock; at most [`MAX_DEVICE_TOKEN_MS`] later.
    pub expires_at_ms: i64,
    /// Random, so that two tokens are never the same.
    pub nonce: [u8; 16],
}

/// A token that was read; nothing that it says is known to be true.
pub struct UnverifiedDeviceToken {
    /// Who it claims to be from: only to look the public key up.
    pub claims: DeviceClaims,
}

/// Signs a token: `dvd_` and base64url.
pub fn sign_device_token(_key: &DeviceKey, _claims: &DeviceClaims) -> String {
    todo!()
}

/// Reads a token's form; `None` when it is none, or lives longer than a token may.
pub fn parse_device_token(_text: &str) -> Option<UnverifiedDeviceToken> {
    todo!()
}

impl UnverifiedDeviceToken {
    /// The claims, if the vehicle's key signed them. Times are the caller's to judge.
    pub fn verify(self, _public_key: &[u8; 32]) -> Option<DeviceClaims> {
        todo!()
    }
}
