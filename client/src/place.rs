//! Where a token was made: this start of this machine, as a mark that tells nothing else.
//!
//! A vehicle that starts anew has another mark and never the one before it again, whatever addresses it has on the way. Two
//! machines with a copy of one key have two marks in turn, and that is how the vault sees the copy.

use std::sync::OnceLock;

use dashvault_keys::digest;

/// Linux's own id of this start, the same for every process.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const DOMAIN: &[u8] = b"dcv1/place\0";

/// The mark of this start of this machine for one vehicle: no two vehicles have the same one.
pub(crate) fn place(device: &[u8; 16]) -> [u8; 8] {
    static START: OnceLock<Vec<u8>> = OnceLock::new();
    let start = START.get_or_init(|| match std::fs::read(BOOT_ID) {
        Ok(id) if !id.is_empty() => id,
        // Elsewhere each process is a start: then two at a time look like a copy, and an owner is told once a day.
        _ => digest::random::<16>().to_vec(),
    });
    let hash = digest::sha256(&[DOMAIN, device, start].concat());
    hash[..8].try_into().expect("a hash is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_vehicles_and_stays_the_same_until_the_next_start() {
        assert_eq!(place(&[1; 16]), place(&[1; 16]));
        assert_ne!(place(&[1; 16]), place(&[2; 16]));
    }
}
