//! A sealed original as the media room reads it: at any offset, by whole pages, a few of which are kept.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use crate::media::Source;
use crate::model::ByteRange;
use crate::vault::{ClipKeys, StoredObject, Vault, VaultError};

/// Four segments a read: one request to the store, and no segment opened twice for its neighbour.
const PAGE_BYTES: u64 = 1 << 20;
/// Demuxers jump between picture, sound and index; more places at once than this are rare.
const PAGES: usize = 12;

/// Reads an original through the vault.
pub(super) struct SealedSource {
    vault: Vault,
    keys: Arc<ClipKeys>,
    original: StoredObject,
    /// The newest last.
    pages: Mutex<VecDeque<(u64, Bytes)>>,
    /// The first thing that went wrong, in the vault's own words.
    failure: Mutex<Option<VaultError>>,
}

impl SealedSource {
    pub(super) fn new(vault: Vault, keys: Arc<ClipKeys>, original: StoredObject) -> Self {
        Self {
            vault,
            keys,
            original,
            pages: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Why a read failed, if one did.
    pub(super) fn take_failure(&self) -> Option<VaultError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn kept(&self, page: u64) -> Option<Bytes> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pages.iter().position(|(number, _)| *number == page)?;
        let found = pages.remove(at)?;
        let bytes = found.1.clone();
        pages.push_back(found);
        Some(bytes)
    }

    fn keep(&self, page: u64, bytes: Bytes) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        while pages.len() >= PAGES {
            pages.pop_front();
        }
        pages.push_back((page, bytes));
    }

    async fn load(&self, page: u64) -> Result<Bytes, VaultError> {
        let start = page * PAGE_BYTES;
        let end = (start + PAGE_BYTES).min(self.original.about.length);
        let mut bytes = BytesMut::with_capacity(usize::try_from(end - start).unwrap_or(0));
        let mut stream = std::pin::pin!(self.vault.read(&self.keys, &self.original, ByteRange { start, end }));
        while let Some(part) = stream.try_next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    }
}

#[async_trait]
impl Source for SealedSource {
    fn len(&self) -> u64 {
        self.original.about.length
    }

    async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        if offset >= self.len() || len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "beyond the end of the original",
            ));
        }
        let page = offset / PAGE_BYTES;
        let bytes = match self.kept(page) {
            Some(bytes) => bytes,
            None => {
                let bytes = match self.load(page).await {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                        failure.get_or_insert(error);
                        return Err(io::Error::other("the vault could not read the original"));
                    }
                };
                self.keep(page, bytes.clone());
                bytes
            }
        };
        // Within a page, so both fit a usize.
        let from = usize::try_from(offset % PAGE_BYTES).unwrap_or(usize::MAX);
        if from >= bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the original is shorter than its row says",
            ));
        }
        Ok(bytes.slice(from..bytes.len().min(from.saturating_add(len))))
    }
}
