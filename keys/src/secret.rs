//! 32 secret bytes that are erased when dropped.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The bytes are not 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 bytes, not {0}")]
pub struct WrongLength(pub usize);

/// A key or seed of 32 bytes. It has no `Debug` and no `Clone`, and is erased when dropped.
///
/// The bytes live on the heap, so that moving the value leaves no copy behind on the stack.
pub struct Secret32(Box<[u8; 32]>);

impl Secret32 {
    /// 32 bytes from the operating system.
    pub fn make_random() -> Self {
        Self::filled(|bytes| {
            SystemRandom::new()
                .fill(bytes)
                .expect("the operating system gives random bytes");
        })
    }

    /// What `fill` writes, straight to the place where it will be erased.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut secret = Self(Box::new([0; 32]));
        fill(&mut secret.0);
        secret
    }

    /// Copies 32 bytes. The caller's own copy is the caller's to erase.
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let secret = Self(Box::new(bytes));
        bytes.zeroize();
        secret
    }

    /// Copies 32 bytes.
    ///
    /// # Errors
    /// When the slice has another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, WrongLength> {
        if bytes.len() != 32 {
            return Err(WrongLength(bytes.len()));
        }
        Ok(Self::filled(|secret| secret.copy_from_slice(bytes)))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second copy, where two owners must hold one key. Deliberately not `Clone`: it should be seen in the text.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Secret32 {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret32 {}
