//! Tombstones: the vault's signed word in the key plane that something is to be erased, which no older database may undo.
//!
//! ```text
//! version 1 · what 1 · 0 · 0 · key id 8 · subject 16 · time i64 · signature 64      100 bytes
//! ```
//! Signed by the receipt key over the domain, the tenant and the 36 bytes before the signature: whoever can write the key
//! plane and nothing else cannot make one.

use crate::bytes::Reader;
use crate::receipt::{KEY_ID_BYTES, ReceiptSigner, short_id};
use crate::signing::{self, SIGNATURE_BYTES};

const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"dcv1/tombstone\0";
const SIGNED_BYTES: usize = 36;
/// Bytes of a tombstone.
pub const TOMBSTONE_BYTES: usize = SIGNED_BYTES + SIGNATURE_BYTES;

/// Why a tombstone is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TombstoneError {
    /// No tombstone of this tenant, or signed by nobody whose key is known; deliberately nothing more.
    #[error("the tombstone is not signed by this vault")]
    Refused,
    /// A newer program wrote it.
    #[error("tombstone version {0} is not known")]
    UnknownVersion(u8),
}

/// What is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Erased {
    /// A clip; the subject is its id.
    Clip,
    /// An owner; the subject is the owner's id.
    Owner,
    /// A root epoch; the subject is 12 zero bytes and the epoch as u32.
    Epoch,
}

/// What a tombstone says. It names no owner of a clip, so that two of them tie nothing together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// What is erased.
    pub what: Erased,
    /// Which one.
    pub subject: [u8; 16],
    /// When the erasure was ordered; unix milliseconds.
    pub at_ms: i64,
}

impl Erased {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Clip, Self::Owner, Self::Epoch];

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Clip => 1,
            Self::Owner => 2,
            Self::Epoch => 3,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.to_byte() == byte)
    }
}

impl Tombstone {
    /// The subject that stands for a root epoch.
    pub fn epoch_subject(epoch: u32) -> [u8; 16] {
        u128::from(epoch).to_be_bytes()
    }

    /// The tombstone's bytes, signed.
    pub fn sign(&self, system: &[u8; 16], signer: &ReceiptSigner) -> [u8; TOMBSTONE_BYTES] {
        let mut bytes = [0; TOMBSTONE_BYTES];
        bytes[0] = VERSION;
        bytes[1] = self.what.to_byte();
        bytes[4..12].copy_from_slice(&short_id(&signer.public_key()));
        bytes[12..28].copy_from_slice(&self.subject);
        bytes[28..36].copy_from_slice(&self.at_ms.to_be_bytes());
        let signature = signing::sign(signer.seed(), DOMAIN, &signed(system, &bytes[..SIGNED_BYTES]));
        bytes[SIGNED_BYTES..].copy_from_slice(&signature);
        bytes
    }

    /// Reads a tombstone that one of `public_keys` signed: the vault's receipt keys, old ones too.
    ///
    /// # Errors
    /// See [`TombstoneError`].
    pub fn verify(bytes: &[u8], system: &[u8; 16], public_keys: &[[u8; 32]]) -> Result<Self, TombstoneError> {
        if let Some(&version) = bytes.first().filter(|version| **version != VERSION) {
            return Err(TombstoneError::UnknownVersion(version));
        }
        let (tombstone, key_id, signature) = read(bytes).ok_or(TombstoneError::Refused)?;
        let message = signed(system, &bytes[..SIGNED_BYTES]);
        public_keys
            .iter()
            .find(|key| short_id(key) == key_id && signing::verify(key, DOMAIN, &message, signature))
            .map(|_| tombstone)
            .ok_or(TombstoneError::Refused)
    }
}

fn signed(system: &[u8; 16], head: &[u8]) -> Vec<u8> {
    [system, head].concat()
}

fn read(bytes: &[u8]) -> Option<(Tombstone, [u8; KEY_ID_BYTES], &[u8])> {
    let mut reader = Reader::new(bytes);
    let [_, what, 0, 0] = reader.array()? else {
        return None;
    };
    let key_id = reader.array()?;
    let tombstone = Tombstone {
        what: Erased::from_byte(what)?,
        subject: reader.array()?,
        at_ms: reader.i64()?,
    };
    let signature = reader.take(SIGNATURE_BYTES)?;
    reader.end()?;
    Some((tombstone, key_id, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret32;

    const SYSTEM: [u8; 16] = [1; 16];
    const TOMBSTONE: Tombstone = Tombstone {
        what: Erased::Clip,
        subject: [2; 16],
        at_ms: 1_764_036_000_000,
    };

    fn signer() -> ReceiptSigner {
        ReceiptSigner::new(&Secret32::make_random())
    }

    #[test]
    fn a_tombstone_is_believed_with_one_of_the_vault_s_keys() {
        let (old, new, stranger) = (signer(), signer(), signer());
        let keys = [old.public_key(), new.public_key()];
        for signer in [&old, &new] {
            for what in Erased::ALL {
                let tombstone = Tombstone { what, ..TOMBSTONE };
                let bytes = tombstone.sign(&SYSTEM, signer);
                assert_eq!(Tombstone::verify(&bytes, &SYSTEM, &keys), Ok(tombstone));
            }
        }
        let forged = TOMBSTONE.sign(&SYSTEM, &stranger);
        assert_eq!(Tombstone::verify(&forged, &SYSTEM, &keys), Err(TombstoneError::Refused));
    }

    #[test]
    fn any_changed_bit_any_cut_and_another_tenant_are_refused() {
        let signer = signer();
        let keys = [signer.public_key()];
        let bytes = TOMBSTONE.sign(&SYSTEM, &signer);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstone::verify(&changed, &SYSTEM, &keys).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(
                Tombstone::verify(&bytes[..cut], &SYSTEM, &keys).is_err(),
                "cut at {cut}"
            );
        }
        assert_eq!(Tombstone::verify(&bytes, &[9; 16], &keys), Err(TombstoneError::Refused));
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(
            Tombstone::verify(&newer, &SYSTEM, &keys),
            Err(TombstoneError::UnknownVersion(2))
        );
    }
}
