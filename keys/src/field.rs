//! Sealed fields of catalogue rows, bound to table, column and row; and keyed look-ups.
//!
//! `version 1 · suite 1 · salt 32 · ciphertext and tag`.

use zeroize::Zeroizing;

use crate::Secret32;
use crate::digest::{derive, hmac_sha256, lp};
use crate::part::{self, SALT_BYTES, SUITE, TAG_BYTES};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 2 + SALT_BYTES;
/// A sealed field is longer than its plaintext by so much.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// Why a field does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The key, the place or the bytes do not fit; deliberately nothing more.
    #[error("the field does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("field version {0} is not known")]
    UnknownVersion(u8),
}

/// Where a field stands.
#[derive(Clone, Copy)]
pub struct FieldPlace<'a> {
    /// The tenant's id.
    pub system: &'a [u8],
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's id.
    pub row: &'a [u8; 16],
}

impl FieldPlace<'_> {
    fn lp(&self) -> Vec<u8> {
        lp(&[self.system, self.table.as_bytes(), self.column.as_bytes(), self.row])
    }
}

/// Seals a field with a fresh salt; [`OVERHEAD_BYTES`] longer than `plain`.
pub fn seal(key: &Secret32, place: &FieldPlace<'_>, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
    out.extend_from_slice(&[VERSION, SUITE]);
    out.extend_from_slice(&part::make_salt());
    let sealed = part::seal(key, &out[2..], &[b"dcv1/field\0", &place.lp()], &out, plain);
    out.extend_from_slice(&sealed);
    out
}

/// Opens a field.
///
/// # Errors
/// See [`FieldError`].
pub fn open(key: &Secret32, place: &FieldPlace<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
    let (head, rest) = sealed.split_at_checked(HEAD_BYTES).ok_or(FieldError::Refused)?;
    if head[0] != VERSION {
        return Err(FieldError::UnknownVersion(head[0]));
    }
    if head[1] != SUITE {
        return Err(FieldError::Refused);
    }
    part::open(key, &head[2..], &[b"dcv1/field\0", &place.lp()], head, rest).ok_or(FieldError::Refused)
}

/// The look-up value of `value` under `key`, for one purpose (`email`, `vin`, `sha256`): equal values give equal look-ups
/// under one key, and nothing else can be told from them without it.
pub fn index(key: &Secret32, system: &[u8], purpose: &str, value: &[u8]) -> [u8; 32] {
    let purpose_key = derive(key, &[], &[b"dcv1/index\0", &lp(&[system, purpose.as_bytes()])]);
    hmac_sha256(&purpose_key, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: FieldPlace<'static> = FieldPlace {
        system: b"tenant",
        table: "clips",
        column: "sealed_summary",
        row: &[1; 16],
    };

    fn key() -> Secret32 {
        Secret32::from_bytes([5; 32])
    }

    #[test]
    fn a_field_opens_at_its_place_only() {
        let sealed = seal(&key(), &HERE, b"35.6586 N");
        assert_eq!(sealed.len(), 9 + OVERHEAD_BYTES);
        assert_eq!(**open(&key(), &HERE, &sealed).expect("it opens"), *b"35.6586 N");
        let elsewhere = [
            FieldPlace {
                system: b"other",
                ..HERE
            },
            FieldPlace { table: "links", ..HERE },
            FieldPlace {
                column: "sealed_details",
                ..HERE
            },
            FieldPlace { row: &[2; 16], ..HERE },
            // The same letters, cut elsewhere.
            FieldPlace {
                table: "clipss",
                column: "ealed_summary",
                ..HERE
            },
        ];
        for place in elsewhere {
            assert_eq!(open(&key(), &place, &sealed).err(), Some(FieldError::Refused));
        }
        assert_eq!(
            open(&Secret32::make_random(), &HERE, &sealed).err(),
            Some(FieldError::Refused)
        );
    }

    #[test]
    fn a_changed_or_cut_field_is_refused() {
        let sealed = seal(&key(), &HERE, b"a plate");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(), &HERE, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(&key(), &HERE, &sealed[..length]).is_err(), "{length} bytes");
        }
        let mut newer = sealed;
        newer[0] = 2;
        assert_eq!(open(&key(), &HERE, &newer).err(), Some(FieldError::UnknownVersion(2)));
    }

    #[test]
    fn the_same_field_is_never_sealed_the_same() {
        assert_ne!(seal(&key(), &HERE, b"x"), seal(&key(), &HERE, b"x"));
    }

    #[test]
    fn a_look_up_depends_on_key_system_purpose_and_value() {
        let base = index(&key(), b"tenant", "email", b"a@example.com");
        assert_eq!(base, index(&key(), b"tenant", "email", b"a@example.com"));
        assert_ne!(
            base,
            index(&Secret32::make_random(), b"tenant", "email", b"a@example.com")
        );
        assert_ne!(base, index(&key(), b"other", "email", b"a@example.com"));
        assert_ne!(base, index(&key(), b"tenant", "vin", b"a@example.com"));
        assert_ne!(base, index(&key(), b"tenant", "email", b"b@example.com"));
    }
}
