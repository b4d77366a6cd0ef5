//! Sealed fields of catalogue rows, bound to table, column and row; and keyed look-ups inside one owner.

use zeroize::Zeroizing;

use crate::Secret32;

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

/// Seals a field with a fresh salt; 50 bytes longer than `plain`.
pub fn seal(_key: &Secret32, _place: &FieldPlace<'_>, _plain: &[u8]) -> Vec<u8> {
    todo!()
}

/// Opens a field.
pub fn open(_key: &Secret32, _place: &FieldPlace<'_>, _sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FieldError> {
    todo!()
}

/// The look-up value of `value` under `key`, for one purpose (`email`, `vin`, `sha256`).
pub fn index(_key: &Secret32, _system: &[u8], _purpose: &str, _value: &[u8]) -> [u8; 32] {
    todo!()
}
