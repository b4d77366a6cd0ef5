//! Random 128-bit ids, one type a noun, written as 26 characters of lower-case base32.

use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    // RFC 4648 alphabet, lower case, no padding: safe in paths, host names and on the telephone.
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("the alphabet is a constant")
});

/// The text is not 26 characters of lower-case base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of a-z and 2-7 are expected")]
pub struct IdError;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Wraps 16 bytes that are random already.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A new id of 128 random bits from the operating system.
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE32.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = BASE32.decode(text.as_bytes()).map_err(|_| IdError)?;
                bytes.try_into().map(Self).map_err(|_| IdError)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

id! {
    /// A brand or a fleet; `SYS` in every derivation.
    TenantId;
    /// A person who owns clips.
    OwnerId;
    /// A vehicle's recorder.
    DeviceId;
    /// A clip, and the upload that brought it.
    ClipId;
    /// One sealed object in a bucket.
    ObjectId;
    /// A version of an owner's key-encryption key.
    KekId;
    /// A key that seals the pieces one process received of one upload.
    UploadKeyId;
    /// A piece of work in the queue, and its lease.
    JobId;
    /// A signed link.
    LinkId;
    /// A bearer token, web session, sign-in link or link session.
    CredentialId;
    /// Something that happened.
    EventId;
    /// A vehicle's pairing code.
    PairingId;
    /// Something that somebody must be told.
    NoticeId;
    /// A notice on its way to one sink.
    DeliveryId;
    /// An erasure that was ordered; an owner's receipt is fetched by it.
    ErasureId;
    /// A credential that opens nothing and is planted to be found.
    DecoyId;
    /// A walk through a bucket by the rolling inventory, and a node that walks.
    WalkId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = ClipId::random();
        assert_eq!(id.to_string().len(), 26);
        assert_eq!(id.to_string().parse::<ClipId>(), Ok(id));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "abc",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "../../../../../../../etc/pw",
            "aaaaaaaaaaaaaaaaaaaaaaaaab",
        ] {
            assert_eq!(text.parse::<ClipId>(), Err(IdError), "{text}");
        }
    }
}
