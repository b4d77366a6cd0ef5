//! Reads columns into the types of `model`; a bad value is an error that names table and column.

use std::str::FromStr;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::CatalogError;
use crate::model::UnixMs;

/// Where a walk over times and ids goes on, as the two values that are compared; before everything at its beginning.
pub(super) fn cursor(after: Option<(UnixMs, [u8; 16])>) -> (UnixMs, Vec<u8>) {
    after.map_or((UnixMs::MIN, Vec::new()), |(time, id)| (time, id.to_vec()))
}

/// `$1, $2, …`: the places of so many values in a statement.
pub(super) fn places(count: usize) -> String {
    let places: Vec<_> = (1..=count).map(|n| format!("${n}")).collect();
    places.join(", ")
}

/// Lines of one statement: enough that its way to the database is shared, far from what either takes in places.
pub(super) const LINES_A_STATEMENT: usize = 128;

/// `($1, $2), ($3, $4), …`: the places of so many lines of `width` values each.
pub(super) fn lines_of_places(lines: usize, width: usize) -> String {
    let line = |first: usize| {
        let places: Vec<_> = (first..first + width).map(|n| format!("${n}")).collect();
        format!("({})", places.join(", "))
    };
    let lines: Vec<_> = (0..lines).map(|n| line(n * width + 1)).collect();
    lines.join(", ")
}

/// A row of a named table.
pub(super) struct Row<'r> {
    pub table: &'static str,
    pub row: &'r AnyRow,
}

impl<'r> Row<'r> {
    pub fn new(table: &'static str, row: &'r AnyRow) -> Self {
        Self { table, row }
    }

    fn bad(&self, column: &'static str) -> CatalogError {
        CatalogError::BadRow {
            table: self.table,
            column,
        }
    }

    /// An id of 16 bytes.
    pub fn id<T: for<'b> TryFrom<&'b [u8]>>(&self, column: &'static str) -> Result<T, CatalogError> {
        self.maybe_id(column)?.ok_or_else(|| self.bad(column))
    }

    /// An id that may be absent.
    pub fn maybe_id<T: for<'b> TryFrom<&'b [u8]>>(&self, column: &'static str) -> Result<Option<T>, CatalogError> {
        self.maybe_bytes(column)?
            .map(|bytes| T::try_from(&bytes).map_err(|_| self.bad(column)))
            .transpose()
    }

    pub fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CatalogError> {
        self.maybe_bytes(column)?.ok_or_else(|| self.bad(column))
    }

    pub fn maybe_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, CatalogError> {
        self.row.try_get(column).map_err(|_| self.bad(column))
    }

    pub fn int(&self, column: &'static str) -> Result<i64, CatalogError> {
        self.maybe_int(column)?.ok_or_else(|| self.bad(column))
    }

    pub fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, CatalogError> {
        self.row.try_get(column).map_err(|_| self.bad(column))
    }

    /// A count or size, never negative.
    pub fn size(&self, column: &'static str) -> Result<u64, CatalogError> {
        u64::try_from(self.int(column)?).map_err(|_| self.bad(column))
    }

    /// A small number, such as a version.
    pub fn count(&self, column: &'static str) -> Result<u32, CatalogError> {
        u32::try_from(self.int(column)?).map_err(|_| self.bad(column))
    }

    pub fn byte(&self, column: &'static str) -> Result<u8, CatalogError> {
        u8::try_from(self.int(column)?).map_err(|_| self.bad(column))
    }

    /// Bytes of a fixed number: an id without a type of its own, a digest.
    pub fn array<const N: usize>(&self, column: &'static str) -> Result<[u8; N], CatalogError> {
        self.bytes(column)?.try_into().map_err(|_| self.bad(column))
    }

    pub fn flag(&self, column: &'static str) -> Result<bool, CatalogError> {
        Ok(self.int(column)? != 0)
    }

    pub fn maybe_text(&self, column: &'static str) -> Result<Option<String>, CatalogError> {
        self.row.try_get(column).map_err(|_| self.bad(column))
    }

    pub fn text(&self, column: &'static str) -> Result<String, CatalogError> {
        self.maybe_text(column)?.ok_or_else(|| self.bad(column))
    }

    /// A word that names a state.
    pub fn state<T: FromStr>(&self, column: &'static str) -> Result<T, CatalogError> {
        self.maybe_text(column)?
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| self.bad(column))
    }
}
