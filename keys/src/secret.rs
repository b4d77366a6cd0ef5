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
        let mut bytes = Box::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// Takes over 32 bytes; the argument is erased.
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
        let mut secret = Self(Box::new([0; 32]));
        if bytes.len() != 32 {
            return Err(WrongLength(bytes.len()));
        }
        secret.0.copy_from_slice(bytes);
        Ok(secret)
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
