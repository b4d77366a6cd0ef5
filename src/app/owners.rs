//! `dashvault owner`: works beside a running service, on the same database.

use std::time::Duration;

use serde_json::json;

use super::CommandError;
use super::cli::{DataArgs, OwnerCommand};
use super::config::{DataConfig, environment};
use super::output::Output;
use super::rooms::{self, NewVault, Rooms};
use super::serve::noted_url;
use crate::access::AccessError;
use crate::ingest::Quotas;
use crate::library::Time;
use crate::model::ErasureId;

/// A clip of a few objects is erased in less.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// An hour: then no vault is running, or a clip is held.
const MOST_LOOKS: u32 = 7_200;
/// Where a vault is reached of which nothing is known.
const USUAL_URL: &str = "http://127.0.0.1:8080";

pub(super) async fn run(command: OwnerCommand, output: Output) -> Result<(), CommandError> {
    match command {
        OwnerCommand::Add { email, name, data } => {
            let (config, rooms) = open(&data).await?;
            let added = rooms.access.add_owner(&email, name.as_deref()).await?;
            let url = sign_in_url(&config, &added.sign_in.token);
            output.tell(
                &json!({ "owner_id": added.owner, "token": added.token, "sign_in_url": url }),
                &format!(
                    "Added the owner {}.\n  API token, shown once:  {}\n  Sign in once:           {url}",
                    added.owner, added.token
                ),
            );
            rooms.catalog.close().await;
        }
        OwnerCommand::List { data } => {
            let (_, rooms) = open(&data).await?;
            for owner in rooms.access.owners().await? {
                let name = owner.name.clone().unwrap_or_default();
                output.tell(
                    &json!({ "owner_id": owner.id, "email": owner.email, "name": owner.name, "created_at": Time(owner.created_at) }),
                    format!("{}  {}  {name}", owner.id, owner.email).trim_end(),
                );
            }
            rooms.catalog.close().await;
        }
        OwnerCommand::SignIn { email, data } => {
            let (config, rooms) = open(&data).await?;
            let made = rooms
                .access
                .make_sign_in(&email)
                .await
                .map_err(|e| unknown(e, &email))?;
            let url = sign_in_url(&config, &made.token);
            output.tell(
                &json!({ "sign_in_url": url, "expires_at": Time(made.expires_at) }),
                &format!("Sign in once: {url}"),
            );
            rooms.catalog.close().await;
        }
        OwnerCommand::Quota {
            email,
            bytes,
            clips,
            vehicle_bytes: bytes_each,
            vehicle_clips: clips_each,
            data,
        } => {
            let (_, rooms) = open(&data).await?;
            let owner = rooms.access.find_owner(&email).await?;
            let owner = owner.ok_or_else(|| CommandError::Refused(format!("there is no owner {email}")))?;
            let quotas = Quotas {
                bytes,
                clips,
                bytes_each,
                clips_each,
            };
            rooms.access.set_quotas(owner, quotas).await?;
            output.tell(
                &json!({
                    "owner_id": owner, "bytes": bytes, "clips": clips, "vehicle_bytes": bytes_each,
                    "vehicle_clips": clips_each,
                }),
                "Said; it counts from the next upload that begins. What is not named is what everybody may keep.",
            );
            rooms.catalog.close().await;
        }
        OwnerCommand::Erase { email, yes, wait, data } => {
            let (config, rooms) = open(&data).await?;
            let owner = rooms.access.find_owner(&email).await?;
            let owner = owner.ok_or_else(|| CommandError::Refused(format!("there is no owner {email}")))?;
            if !yes {
                return Err(CommandError::Refused(format!(
                    "this erases {email} and every clip of theirs, for good: say --yes if that is meant"
                )));
            }
            let erasure = rooms.access.erase_owner(owner).await?;
            output.tell(
                &json!({ "owner_id": owner, "erasing": true, "erasure_id": erasure }),
                &format!(
                    "The owner can no longer sign in; a running vault erases the clips now.\n  \
                     Receipt, once it is done:  {}/v1/erasures/{erasure}",
                    base_url(&config)
                ),
            );
            if wait {
                tell_receipt(&rooms, erasure, &output).await?;
            }
            rooms.catalog.close().await;
        }
    }
    Ok(())
}

async fn open(args: &DataArgs) -> Result<(DataConfig, Rooms), CommandError> {
    let config = DataConfig::read(args, &environment)?;
    let rooms = rooms::open(&config, NewVault::Refuse).await?;
    Ok((config, rooms))
}

pub(super) fn sign_in_url(config: &DataConfig, token: &str) -> String {
    format!("{}/sign-in#{token}", base_url(config))
}

/// Where the vault is reached: as configured, else as the service beside said.
pub(super) fn base_url(config: &DataConfig) -> String {
    match &config.public_url {
        Some(url) => url.as_str().to_owned(),
        None => noted_url(&config.data).unwrap_or_else(|| USUAL_URL.to_owned()),
    }
}

/// Prints the receipt of an erasure as soon as a running vault has signed it.
async fn tell_receipt(rooms: &Rooms, erasure: ErasureId, output: &Output) -> Result<(), CommandError> {
    for _ in 0..MOST_LOOKS {
        let row = rooms.catalog.erasure(erasure).await?;
        if let Some((receipt, done_at)) = row.and_then(|row| Some((row.receipt?, row.done_at?))) {
            output.tell(
                &json!({ "erasure_id": erasure, "erased_at": Time(done_at), "receipt": receipt }),
                &format!("Everything of the owner is erased.\n  Receipt:  {receipt}"),
            );
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(CommandError::Refused(
        "not everything is erased after an hour; nothing has to be done again: start a vault if none is running, and ask for \
         the receipt later"
            .to_owned(),
    ))
}

fn unknown(error: AccessError, email: &str) -> CommandError {
    match error {
        AccessError::NotFound => CommandError::Refused(format!("there is no owner {email}")),
        other => other.into(),
    }
}
