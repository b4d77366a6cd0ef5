//! Tokens: vehicles' (signed by the vehicle), links' (signed by the vault), random bearer secrets, pairing codes and proofs.

mod bearer;
mod device;
mod link;
mod next_key;
mod pairing;

pub use bearer::{bearer_hash, make_bearer};
pub use device::{
    DeviceClaims, DeviceKey, KeyRefused, MAX_DEVICE_TOKEN_MS, UnverifiedDeviceToken, parse_device_token,
    sign_device_token, sign_placed_token,
};
pub use link::{LinkSigner, LinkToken, LinkVerifier};
pub use next_key::{NextKeyProof, sign_next_key, verify_next_key};
pub use pairing::{
    make_pairing_code, pairing_code_finder, pairing_code_hash, pairing_code_spelling, sign_pairing_proof,
    verify_pairing_proof,
};
