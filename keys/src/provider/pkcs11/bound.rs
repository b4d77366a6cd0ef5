//! How often one key on the token may wrap.

use std::collections::HashMap;
use std::sync::Mutex;

use data_encoding::HEXLOWER;

use super::token::lock;
use crate::provider::ProviderError;

/// Encryptions under one key with random nonces of 96 bits: NIST SP 800-38D, 8.3, allows 2^32, so that two are alike with a
/// chance below 2^-32. A wrap is made for each new owner and for each key that is wrapped anew, and each rotation is a new key:
/// two thousand times the owners of the largest leak that we know of stay below.
pub const MAX_WRAPS_A_KEY: u64 = 1 << 32;

/// The wraps that this process has made, by key. What others made is not in it: at the thousands a second that tokens do, one
/// process alone needs days of nothing else to come near, and whoever restarts it does not make it faster.
pub(super) struct Wraps {
    made: Mutex<HashMap<[u8; 16], u64>>,
    most: u64,
}

impl Default for Wraps {
    fn default() -> Self {
        Self {
            made: Mutex::default(),
            most: MAX_WRAPS_A_KEY,
        }
    }
}

impl Wraps {
    /// Counts one wrap under a key, before it is made.
    ///
    /// # Errors
    /// [`ProviderError::NotChanged`] when the key has made as many as it may.
    pub fn one_more(&self, key: &[u8; 16]) -> Result<(), ProviderError> {
        let mut made = lock(&self.made);
        let count = made.entry(*key).or_default();
        if *count >= self.most {
            return Err(ProviderError::NotChanged(format!(
                "root key {} has wrapped {} times, as often as one key may: add a newer one with `dashvault keys rotate --root`",
                HEXLOWER.encode(key),
                self.most
            )));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_wraps_as_often_as_it_may_and_another_goes_on() {
        let wraps = Wraps {
            most: 3,
            ..Wraps::default()
        };
        for _ in 0..3 {
            wraps.one_more(&[1; 16]).expect("it may");
        }
        let refused = wraps.one_more(&[1; 16]).expect_err("it may no more");
        assert!(
            !refused.is_passing() && refused.to_string().contains("keys rotate"),
            "{refused}"
        );
        wraps.one_more(&[2; 16]).expect("another key");
        assert_eq!(Wraps::default().most, 4_294_967_296);
    }
}
