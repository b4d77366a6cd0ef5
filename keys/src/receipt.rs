//! Receipts: the vault's signed word that a clip is sealed and was read back, after which a vehicle may delete its own; and
//! that something was erased.
//!
//! Text: `dvr_` and base64url of `version 1 · key id 8 · clip 16 · SHA-256 32 · length u64 · time i64 · signature 64`, or
//! `dve_` and base64url of `version 1 · key id 8 · what 1 · subject 16 · ordered i64 · done i64 · signature 64`.

use data_encoding::HEXLOWER;

use crate::Secret32;
use crate::bytes::Reader;
use crate::digest::sha256;
use crate::signing;
use crate::tombstone::Erased;

const PREFIX: &str = "dvr_";
const DOMAIN: &[u8] = b"dcv1/receipt\0";
const VERSION: u8 = 1;
const PAYLOAD_BYTES: usize = 73;
/// Bytes of a key's id.
pub(crate) const KEY_ID_BYTES: usize = 8;
const ERASURE_PREFIX: &str = "dve_";
const ERASURE_DOMAIN: &[u8] = b"dcv1/erasure\0";
const ERASURE_PAYLOAD_BYTES: usize = 42;

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The clip.
    pub clip: [u8; 16],
    /// SHA-256 of the bytes that were uploaded.
    pub sha256: [u8; 32],
    /// How many they were.
    pub length: u64,
    /// When the original was read back; unix milliseconds.
    pub at_ms: i64,
}

/// What an erasure's receipt says: every wrap of the subject's keys is destroyed, and nothing of it is left in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureReceipt {
    /// What was erased; a clip or an owner.
    pub what: Erased,
    /// Which one.
    pub subject: [u8; 16],
    /// When the erasure was ordered: the time of its tombstone; unix milliseconds.
    pub ordered_at_ms: i64,
    /// When nothing was left; unix milliseconds.
    pub done_at_ms: i64,
}

/// Signs receipts.
pub struct ReceiptSigner {
    seed: Secret32,
    public_key: [u8; 32],
}

impl ReceiptSigner {
    /// From the system record's seed.
    pub fn new(seed: &Secret32) -> Self {
        Self {
            public_key: signing::public_key(seed),
            seed: seed.duplicate(),
        }
    }

    /// The public half, which a vehicle keeps from its pairing.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// The receipt's text.
    pub fn sign(&self, receipt: &Receipt) -> String {
        let mut payload = [VERSION; PAYLOAD_BYTES];
        payload[1..9].copy_from_slice(&short_id(&self.public_key));
        payload[9..25].copy_from_slice(&receipt.clip);
        payload[25..57].copy_from_slice(&receipt.sha256);
        payload[57..65].copy_from_slice(&receipt.length.to_be_bytes());
        payload[65..].copy_from_slice(&receipt.at_ms.to_be_bytes());
        signing::sign_text(&self.seed, PREFIX, DOMAIN, &payload)
    }

    /// The text of an erasure's receipt.
    pub fn sign_erasure(&self, receipt: &ErasureReceipt) -> String {
        let mut payload = [VERSION; ERASURE_PAYLOAD_BYTES];
        payload[1..9].copy_from_slice(&short_id(&self.public_key));
        payload[9] = receipt.what.to_byte();
        payload[10..26].copy_from_slice(&receipt.subject);
        payload[26..34].copy_from_slice(&receipt.ordered_at_ms.to_be_bytes());
        payload[34..].copy_from_slice(&receipt.done_at_ms.to_be_bytes());
        signing::sign_text(&self.seed, ERASURE_PREFIX, ERASURE_DOMAIN, &payload)
    }

    pub(crate) fn seed(&self) -> &Secret32 {
        &self.seed
    }
}

/// The id of a public key: the first 8 bytes of its SHA-256 in hex.
pub fn key_id(public_key: &[u8; 32]) -> String {
    HEXLOWER.encode(&short_id(public_key))
}

/// Which key a receipt says it was signed by; not checked, only to choose one of several.
pub fn signed_by(text: &str) -> Option<String> {
    let (payload, _) = signing::parse_text::<PAYLOAD_BYTES>(text, PREFIX)?;
    Some(HEXLOWER.encode(&payload[1..=KEY_ID_BYTES]))
}

/// The receipt, if `public_key` signed it. The caller compares clip, SHA-256 and length with what it sent.
pub fn verify(text: &str, public_key: &[u8; 32]) -> Option<Receipt> {
    let payload: [u8; PAYLOAD_BYTES] = signing::verify_text(text, PREFIX, DOMAIN, public_key)?;
    let mut reader = Reader::new(&payload);
    if reader.u8()? != VERSION || reader.take(KEY_ID_BYTES)? != short_id(public_key) {
        return None;
    }
    Some(Receipt {
        clip: reader.array()?,
        sha256: reader.array()?,
        length: reader.u64()?,
        at_ms: reader.i64()?,
    })
}

/// The erasure's receipt, if `public_key` signed it.
pub fn verify_erasure(text: &str, public_key: &[u8; 32]) -> Option<ErasureReceipt> {
    let payload: [u8; ERASURE_PAYLOAD_BYTES] = signing::verify_text(text, ERASURE_PREFIX, ERASURE_DOMAIN, public_key)?;
    let mut reader = Reader::new(&payload);
    if reader.u8()? != VERSION || reader.take(KEY_ID_BYTES)? != short_id(public_key) {
        return None;
    }
    Some(ErasureReceipt {
        what: Erased::from_byte(reader.u8()?)?,
        subject: reader.array()?,
        ordered_at_ms: reader.i64()?,
        done_at_ms: reader.i64()?,
    })
}

pub(crate) fn short_id(public_key: &[u8; 32]) -> [u8; KEY_ID_BYTES] {
    let [a, b, c, d, e, f, g, h, ..] = sha256(public_key);
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIPT: Receipt = Receipt {
        clip: [1; 16],
        sha256: [2; 32],
        length: 123_456_789,
        at_ms: 1_700_000_000_000,
    };

    #[test]
    fn a_receipt_is_believed_with_the_vault_s_key_only() {
        let signer = ReceiptSigner::new(&Secret32::make_random());
        let text = signer.sign(&RECEIPT);
        assert_eq!(verify(&text, &signer.public_key()), Some(RECEIPT));
        assert_eq!(signed_by(&text), Some(key_id(&signer.public_key())));
        let stranger = ReceiptSigner::new(&Secret32::make_random());
        assert_eq!(verify(&text, &stranger.public_key()), None);
    }

    #[test]
    fn any_changed_character_is_refused() {
        let signer = ReceiptSigner::new(&Secret32::make_random());
        let text = signer.sign(&RECEIPT);
        for at in 0..text.len() {
            for other in ["A", "b", "_", "="] {
                if &text[at..=at] == other {
                    continue;
                }
                let mut changed = text.clone();
                changed.replace_range(at..=at, other);
                assert_eq!(verify(&changed, &signer.public_key()), None, "{at} {other}");
            }
            assert_eq!(verify(&text[..at], &signer.public_key()), None);
        }
    }

    #[test]
    fn an_erasure_s_receipt_is_believed_with_the_vault_s_key_only_and_is_no_other_receipt() {
        let signer = ReceiptSigner::new(&Secret32::make_random());
        for what in [Erased::Clip, Erased::Owner] {
            let receipt = ErasureReceipt {
                what,
                subject: [1; 16],
                ordered_at_ms: 1_700_000_000_000,
                done_at_ms: 1_700_000_001_000,
            };
            let text = signer.sign_erasure(&receipt);
            assert_eq!(verify_erasure(&text, &signer.public_key()), Some(receipt));
            assert_eq!(verify(&text, &signer.public_key()), None);
            let stranger = ReceiptSigner::new(&Secret32::make_random());
            assert_eq!(verify_erasure(&text, &stranger.public_key()), None);
            for at in 0..text.len() {
                assert_eq!(verify_erasure(&text[..at], &signer.public_key()), None);
                let mut changed = text.clone();
                changed.replace_range(at..=at, if &text[at..=at] == "A" { "B" } else { "A" });
                assert_eq!(verify_erasure(&changed, &signer.public_key()), None, "{at}");
            }
        }
    }

    #[test]
    fn one_kind_of_signed_text_is_never_another() {
        // The same seed for two purposes is never done; the domain would still tell them apart.
        let seed = Secret32::make_random();
        let link = crate::token::LinkSigner::new(&seed);
        let text = link.sign(&crate::token::LinkToken::make([1; 16], 0));
        assert_eq!(verify(&text, &signing::public_key(&seed)), None);
        let receipt = ReceiptSigner::new(&seed).sign(&RECEIPT);
        assert!(
            link.verifier()
                .verify(receipt.strip_prefix(PREFIX).expect("its prefix"))
                .is_none()
        );
    }
}
