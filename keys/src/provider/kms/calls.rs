//! The calls of KMS that root keys need, as types.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::client::{Again, Client, Failed};
use super::error::Meaning;
use super::{KmsConfig, MAX_CIPHERTEXT_BYTES};
use crate::provider::KeyCondition;

/// Aliases a page, the most that KMS gives.
const PAGE: u32 = 100;
/// Pages of aliases: ten thousand of them in one account and region are somebody's mistake.
const MAX_PAGES: u32 = 100;
/// What stands in a request beside its longest value: names, key, context.
const REST_BYTES: usize = 2048;
/// An alias and the id of its key, if it has one.
pub(super) struct Alias {
    pub name: String,
    pub key: Option<String>,
}

/// What KMS says of a key.
pub(super) struct Described {
    pub id: String,
    pub condition: KeyCondition,
}

pub(super) struct Calls {
    client: Client,
}

impl Calls {
    pub fn new(config: &KmsConfig) -> Self {
        Self {
            client: Client::new(config),
        }
    }

    /// Encrypts, and gives the id of the key that did and the ciphertext.
    pub fn encrypt(&self, key: &str, plain: &[u8], context: &str) -> Result<(String, Vec<u8>), Failed> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Encrypt<'a> {
            key_id: &'a str,
            plaintext: &'a str,
            encryption_context: Context<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Encrypted<'a> {
            key_id: &'a str,
            ciphertext_blob: &'a str,
        }
        let plaintext = encoded(plain);
        let body = body(&Encrypt {
            key_id: key,
            plaintext: std::str::from_utf8(&plaintext).expect("base64 is ASCII"),
            encryption_context: Context { place: context },
        });
        let answer = self.client.call("Encrypt", &body, Again::May)?;
        let told: Encrypted<'_> = read(&answer)?;
        let sealed = BASE64.decode(told.ciphertext_blob.as_bytes()).map_err(|_| odd())?;
        Ok((id_of(told.key_id), sealed))
    }

    /// Decrypts with one key and no other, and gives its id and the plaintext.
    pub fn decrypt(&self, key: &str, sealed: &[u8], context: &str) -> Result<(String, Zeroizing<Vec<u8>>), Failed> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Decrypt<'a> {
            key_id: &'a str,
            ciphertext_blob: &'a str,
            encryption_context: Context<'a>,
            encryption_algorithm: &'a str,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Decrypted<'a> {
            key_id: &'a str,
            plaintext: &'a str,
        }
        let body = body(&Decrypt {
            key_id: key,
            ciphertext_blob: &BASE64.encode(sealed),
            encryption_context: Context { place: context },
            encryption_algorithm: "SYMMETRIC_DEFAULT",
        });
        let answer = self.client.call("Decrypt", &body, Again::May)?;
        let told: Decrypted<'_> = read(&answer)?;
        Ok((id_of(told.key_id), decoded(told.plaintext).ok_or_else(odd)?))
    }

    /// Makes a key, tagged with what it is for, and gives its id.
    pub fn create_key(&self, vault: &str, epoch: u32, version: u32) -> Result<String, Failed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created<'a> {
            #[serde(borrow)]
            key_metadata: Metadata<'a>,
        }
        let tag = |key: &str, value: String| json!({ "TagKey": key, "TagValue": value });
        let body = body(&json!({
            "Description": format!("root key of the dashvault {vault}, epoch {epoch}, version {version}"),
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "Tags": [
                tag("dashvault:vault", vault.to_owned()),
                tag("dashvault:epoch", epoch.to_string()),
                tag("dashvault:version", version.to_string()),
            ],
        }));
        let answer = self.client.call("CreateKey", &body, Again::MustNot)?;
        let told: Created<'_> = read(&answer)?;
        Ok(id_of(told.key_metadata.key_id))
    }

    pub fn create_alias(&self, alias: &str, key: &str) -> Result<(), Failed> {
        let body = body(&json!({ "AliasName": alias, "TargetKeyId": key }));
        self.client.call("CreateAlias", &body, Again::May).map(drop)
    }

    pub fn update_alias(&self, alias: &str, key: &str) -> Result<(), Failed> {
        let body = body(&json!({ "AliasName": alias, "TargetKeyId": key }));
        self.client.call("UpdateAlias", &body, Again::May).map(drop)
    }

    pub fn schedule_deletion(&self, key: &str, days: u8) -> Result<(), Failed> {
        let body = body(&json!({ "KeyId": key, "PendingWindowInDays": days }));
        match self.client.call("ScheduleKeyDeletion", &body, Again::May) {
            // Another process was faster, or an answer was lost.
            Err(failed) if failed.is(Meaning::SwitchedOff) => match self.describe(key)? {
                Some(told) if told.condition != KeyCondition::PendingDeletion => Err(failed),
                _ => Ok(()),
            },
            done => done.map(drop),
        }
    }

    /// How a key, or the one that an alias stands for, is; none where there is none.
    pub fn describe(&self, key: &str) -> Result<Option<Described>, Failed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Told<'a> {
            #[serde(borrow)]
            key_metadata: Metadata<'a>,
        }
        let answer = match self
            .client
            .call("DescribeKey", &body(&json!({ "KeyId": key })), Again::May)
        {
            Err(failed) if failed.is(Meaning::Missing) => return Ok(None),
            answer => answer?,
        };
        let told: Told<'_> = read(&answer)?;
        Ok(Some(Described {
            id: id_of(told.key_metadata.key_id),
            condition: match told.key_metadata.key_state {
                "Enabled" | "Updating" => KeyCondition::Enabled,
                "PendingDeletion" | "PendingReplicaDeletion" => KeyCondition::PendingDeletion,
                _ => KeyCondition::Disabled,
            },
        }))
    }

    /// Every alias of the account in this region.
    pub fn aliases(&self) -> Result<Vec<Alias>, Failed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            aliases: Vec<Listed>,
            #[serde(default)]
            truncated: bool,
            next_marker: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listed {
            alias_name: String,
            target_key_id: Option<String>,
        }
        let mut found = Vec::new();
        let mut marker: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let body = match &marker {
                Some(marker) => body(&json!({ "Limit": PAGE, "Marker": marker })),
                None => body(&json!({ "Limit": PAGE })),
            };
            let answer = self.client.call("ListAliases", &body, Again::May)?;
            let page: Page = read(&answer)?;
            found.extend(page.aliases.into_iter().map(|listed| Alias {
                name: listed.alias_name,
                key: listed.target_key_id,
            }));
            marker = page.next_marker.filter(|_| page.truncated);
            if marker.is_none() {
                return Ok(found);
            }
        }
        Err(Failed::Lost(format!(
            "the account has more than {} aliases in this region",
            PAGE * MAX_PAGES
        )))
    }
}

/// The encryption context: KMS writes it into its records. The place of a wrap has nothing of an owner's but random ids.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(rename = "dashvault")]
    place: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    key_id: &'a str,
    key_state: &'a str,
}

/// A request's body, erased when it was sent. It fits where it is written (a ciphertext is the longest), so that it is not
/// moved while it grows.
fn body(request: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BASE64.encode_len(MAX_CIPHERTEXT_BYTES) + REST_BYTES));
    serde_json::to_writer(&mut *bytes, request).expect("it goes into memory");
    bytes
}

fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(answer).map_err(|_| odd())
}

/// Something between this program and KMS answers in its place.
fn odd() -> Failed {
    Failed::Lost("what answers is not AWS KMS, or of another version".to_owned())
}

/// A key's id, of its ARN too.
fn id_of(key: &str) -> String {
    key.rsplit_once(":key/").map_or(key, |(_, id)| id).to_owned()
}

fn encoded(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(vec![0; BASE64.encode_len(plain.len())]);
    BASE64.encode_mut(plain, &mut text);
    text
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(vec![0; BASE64.decode_len(text.len()).ok()?]);
    let length = BASE64.decode_mut(text.as_bytes(), &mut plain).ok()?;
    plain.truncate(length);
    Some(plain)
}
