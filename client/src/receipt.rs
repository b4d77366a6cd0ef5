//! The vault's signed word that it holds a file: asked for, and believed only when it stands for exactly these bytes.

use dashvault_keys::receipt;
use dashvault_keys::system::{ReceiptKey, trusted_from};
use data_encoding::BASE64URL_NOPAD;
use reqwest::Method;
use serde::Deserialize;

use crate::ask::{Setback, setback};
use crate::device::id_bytes;
use crate::{Client, ClientError};

/// What a receipt has to be for.
pub(crate) struct Delivered<'a> {
    /// The upload's URL.
    pub url: &'a str,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its SHA-256.
    pub digest: &'a [u8; 32],
}

#[derive(Deserialize)]
struct KeysAnswer {
    keys: Vec<KeyAnswer>,
}

#[derive(Deserialize)]
struct KeyAnswer {
    version: u32,
    since_ms: i64,
    public_key: String,
    endorsement: String,
}

#[derive(Deserialize)]
struct ReceiptAnswer {
    receipt: String,
}

/// The id of the clip that an upload becomes: it ends the upload's address.
pub(crate) fn clip_id_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

impl Delivered<'_> {
    /// The clip's id, which is also the upload's.
    pub fn clip_id(&self) -> &str {
        clip_id_of(self.url)
    }

    /// The receipt, verified; none while the vault still seals the original.
    pub async fn receipt(&self, client: &Client) -> Result<Option<String>, Setback> {
        let target = format!("{}/receipt", self.url);
        let answer = client.ask(Method::GET, &target, &[]).await?;
        match answer.status() {
            200 => {
                let answer: ReceiptAnswer = answer.json().await?;
                self.check(&answer.receipt, client).await?;
                Ok(Some(answer.receipt))
            }
            202 => Ok(None),
            // The bytes that arrived are not those that were announced: no waiting brings a receipt for them.
            409 => Err(Setback::Final(answer.refused().await)),
            _ => Err(setback(answer).await),
        }
    }

    /// Checks that a receipt is the vault's word for exactly this file.
    async fn check(&self, text: &str, client: &Client) -> Result<(), Setback> {
        let wrong = |reason| Err(Setback::Final(ClientError::Receipt { reason }));
        let paired = client.device().vault_public_key();
        let mut receipt = receipt::verify(text, paired);
        if receipt.is_none() {
            // The vault may have rotated its key since the pairing: what the old one vouches for is believed, nothing else.
            let keys = receipt_keys(client).await?;
            let trusted = trusted_from(paired, &keys);
            receipt = trusted.iter().find_map(|key| receipt::verify(text, key));
        }
        let Some(receipt) = receipt else {
            return wrong("it is not signed by the vault that this vehicle was paired with");
        };
        if Some(receipt.clip) != id_bytes(self.clip_id()) {
            return wrong("it is for another clip");
        }
        if receipt.length != self.bytes || receipt.sha256 != *self.digest {
            return wrong("it is for other bytes");
        }
        Ok(())
    }
}

async fn receipt_keys(client: &Client) -> Result<Vec<ReceiptKey>, Setback> {
    let answer = client.ask(Method::GET, "/v1/receipt-keys", &[]).await?;
    if answer.status() != 200 {
        // A vault that knows no such list has rotated nothing.
        return Ok(Vec::new());
    }
    let answer: KeysAnswer = answer.json().await?;
    let keys = answer.keys.iter().map(|key| {
        Some(ReceiptKey {
            version: key.version,
            since_ms: key.since_ms,
            public_key: bytes(&key.public_key)?,
            endorsement: bytes(&key.endorsement)?,
        })
    });
    Ok(keys.collect::<Option<_>>().unwrap_or_default())
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}
