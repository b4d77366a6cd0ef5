//! `dashvault decoy`: credentials that open nothing, to be planted where nobody should look; beside a running service.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use super::CommandError;
use super::cli::{DataArgs, DecoyCommand};
use super::config::{DataConfig, environment};
use super::output::Output;
use super::owners::{base_url, sign_in_url};
use super::rooms::{self, NewVault, Rooms};
use crate::access::{Decoy, DecoySecret};
use crate::library::Time;
use crate::model::{DecoyId, DecoyKind, UnixMs};

pub(super) async fn run(command: DecoyCommand, output: Output) -> Result<(), CommandError> {
    match command {
        DecoyCommand::Add { kind, place, out, data } => {
            let (config, rooms) = open(&data).await?;
            let made = rooms.access.add_decoy(kind, &place).await?;
            let text = planted(kind, made.secret, &config);
            if let Some(out) = &out
                && let Err(error) = write(out, &text)
            {
                // What nobody can plant is no decoy.
                rooms.access.remove_decoy(made.id).await?;
                return Err(error);
            }
            tell_added(output, made.id, kind, &place, out.as_deref(), &text);
            rooms.catalog.close().await;
        }
        DecoyCommand::List { data } => {
            let (_, rooms) = open(&data).await?;
            for decoy in rooms.access.decoys().await? {
                tell_listed(output, &decoy);
            }
            rooms.catalog.close().await;
        }
        DecoyCommand::Remove { id, data } => {
            let (_, rooms) = open(&data).await?;
            let removed = rooms.access.remove_decoy(id).await?;
            rooms.catalog.close().await;
            if !removed {
                return Err(CommandError::Refused(format!("there is no decoy {id}")));
            }
            output.tell(
                &json!({ "decoy_id": id, "removed": true }),
                &format!("The decoy {id} is forgotten: its use raises no alarm any more."),
            );
        }
    }
    Ok(())
}

async fn open(args: &DataArgs) -> Result<(DataConfig, Rooms), CommandError> {
    let config = DataConfig::read(args, &environment)?;
    let rooms = rooms::open(&config, NewVault::Refuse).await?;
    Ok((config, rooms))
}

/// What is planted, as the real thing would look there.
fn planted(kind: DecoyKind, secret: DecoySecret, config: &DataConfig) -> String {
    let server = base_url(config);
    match (kind, secret) {
        (DecoyKind::SignIn, DecoySecret::Text(token)) => sign_in_url(config, &token),
        (DecoyKind::File, DecoySecret::Text(token)) => {
            format!("# dashvault, the export's account\nVAULT={server}\nTOKEN={token}")
        }
        (_, DecoySecret::Text(text)) => text,
        (_, DecoySecret::Link { id, token }) => format!("{server}/s/{id}#{token}"),
        (
            _,
            DecoySecret::Vehicle {
                device,
                key,
                vault_public_key,
            },
        ) => dashvault_client::decoy_device_file(&server, &device.to_string(), &key, &vault_public_key),
    }
}

/// A new file, readable by its owner alone: what is planted more openly is the operator's to open.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()))
        .map_err(|source| CommandError::File {
            what: format!("the decoy cannot be written to {}, and none was made", path.display()),
            source,
        })
}

fn tell_added(output: Output, id: DecoyId, kind: DecoyKind, place: &str, out: Option<&Path>, text: &str) {
    let json = json!({
        "decoy_id": id, "kind": kind, "where": place.trim(), "file": out, "decoy": out.is_none().then_some(text),
    });
    let lines = match out {
        Some(out) => format!("Wrote the decoy {id} to {}: plant it at {place}.", out.display()),
        None => format!("The decoy {id}, shown once; plant it at {place}:\n\n{text}"),
    };
    output.tell(&json, &lines);
}

fn tell_listed(output: Output, decoy: &Decoy) {
    let json = json!({
        "decoy_id": decoy.id, "kind": decoy.kind, "where": decoy.place, "created_at": Time(decoy.created_at),
        "uses": decoy.uses, "first_used_at": decoy.first_used_at.map(Time), "last_used_at": decoy.last_used_at.map(Time),
    });
    let line = format!(
        "{}  {:<12}  {}  {}",
        decoy.id,
        decoy.kind.as_str(),
        used(decoy.uses, decoy.last_used_at),
        decoy.place
    );
    output.tell(&json, &line);
}

fn used(uses: u64, last: Option<UnixMs>) -> String {
    match last {
        None => "never used".to_owned(),
        Some(last) => format!(
            "USED {uses} times, last {}",
            json!(Time(last)).as_str().unwrap_or_default()
        ),
    }
}
