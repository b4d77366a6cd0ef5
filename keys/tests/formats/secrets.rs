//! Secrets can be neither printed nor copied by accident.

use std::fmt::{Debug, Display};
use std::marker::PhantomData;

use dashvault_keys::Secret32;
use dashvault_keys::envelope::{Manifest, ManifestObject};
use dashvault_keys::ingest::IngestSecret;
use dashvault_keys::kek::{Profile, ProfileAbout, Vehicle};
use dashvault_keys::object::{Opener, Sealer};
use dashvault_keys::provider::Keyring;
use dashvault_keys::receipt::ReceiptSigner;
use dashvault_keys::system::SystemRecord;
use dashvault_keys::token::{DeviceKey, LinkSigner, LinkToken};

struct Probe<T>(PhantomData<T>);

/// What is told of a type that has none: a type that has one tells of it through its own constant, which goes first.
trait Without {
    const PRINTS: bool = false;
    const SHOWS: bool = false;
    const COPIES: bool = false;
    const BECOMES_TEXT: bool = false;
}

impl<T> Without for Probe<T> {}

impl<T: Debug> Probe<T> {
    const PRINTS: bool = true;
}

impl<T: Display> Probe<T> {
    const SHOWS: bool = true;
}

impl<T: Clone> Probe<T> {
    const COPIES: bool = true;
}

impl<T: serde::Serialize> Probe<T> {
    const BECOMES_TEXT: bool = true;
}

macro_rules! told_of {
    ($kind:ident: $($name:ty),*) => {
        [$((stringify!($name), Probe::<$name>::$kind)),*]
    };
}

#[test]
fn the_probe_sees_what_is_there() {
    assert_eq!(told_of!(PRINTS: String, Secret32).map(|t| t.1), [true, false]);
    assert_eq!(told_of!(SHOWS: String, Secret32).map(|t| t.1), [true, false]);
    assert_eq!(told_of!(COPIES: String, Secret32).map(|t| t.1), [true, false]);
    assert_eq!(told_of!(BECOMES_TEXT: String, Secret32).map(|t| t.1), [true, false]);
}

#[test]
fn no_secret_prints_copies_or_becomes_text() {
    macro_rules! secrets {
        ($kind:ident) => {
            told_of!($kind: Secret32, IngestSecret, SystemRecord, Profile, Keyring, Sealer, Opener, DeviceKey, LinkSigner,
                LinkToken, ReceiptSigner)
        };
    }
    let all = [
        secrets!(PRINTS),
        secrets!(SHOWS),
        secrets!(COPIES),
        secrets!(BECOMES_TEXT),
    ]
    .concat();
    assert_eq!(all.len(), 44);
    let wrong: Vec<_> = all.into_iter().filter(|(_, has)| *has).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_is_an_owner_s_does_not_print() {
    let printing: Vec<_> = told_of!(PRINTS: Manifest, ManifestObject, Profile, ProfileAbout, Vehicle)
        .into_iter()
        .filter(|(_, has)| *has)
        .collect();
    assert!(printing.is_empty(), "{printing:?}");
}
