//! The formats as others see them: known answers, frozen samples, a second implementation, and attacks on bare Tink.

mod attestation;
mod frozen;
mod mirror;
mod secrets;
mod tink;
mod twins;
mod two_keys;
mod wycheproof;
