//! `dashvault keys rotate` and `dashvault keys roll-epoch`: work beside running services, on the same database.

use serde_json::{Value, json};

use super::CommandError;
use super::cli::{RollArgs, RotateArgs};
use super::config::{DataConfig, environment};
use super::output::{Output, line};
use super::progress::Shown;
use super::rooms::{self, NewVault, Rooms};
use crate::model::OwnerId;
use crate::vault::rotation::{Failures, Phase, Progress, SystemKey};

pub(super) async fn rotate(args: RotateArgs, output: Output) -> Result<(), CommandError> {
    let system = system_keys(&args);
    let owners_too = args.all_owners || !args.owner.is_empty();
    if !(args.root || args.all || owners_too || !system.is_empty()) {
        return Err(CommandError::Refused(
            "nothing to rotate: name --root, --owner, --all-owners, --links, --tokens, --receipts, --index, or --all"
                .to_owned(),
        ));
    }
    let config = DataConfig::read(&args.data, &environment)?;
    let rooms = open(&config).await?;
    let bar = Shown::new(output);
    let tell = |progress| show(&bar, progress);
    let mut failures = Vec::new();
    if args.root || args.all {
        let done = rooms.vault.rotate_root(&tell).await?;
        bar.clear();
        output.tell(
            &json!({ "rotated": "root", "rewrapped": done.rewrapped, "already": done.already,
                "failures": told(&done.failures) }),
            &format!(
                "A new root key wraps: {} owners' keys got a wrap of it, {} had one. No clip was read or written. The root keys \
                 before it still unwrap; they go with their epoch (`dashvault keys roll-epoch`).{}",
                done.rewrapped,
                done.already,
                match config.vault.root.keyring_path() {
                    Some(_) => format!(" Back {} up again.", config.vault.root),
                    None => String::new(),
                }
            ),
        );
        failures.push(done.failures);
    }
    if !system.is_empty() {
        let failed = rooms.vault.rotate_system_keys(&system, &tell).await?;
        bar.clear();
        let words: Vec<_> = system.iter().map(|key| key.as_str()).collect();
        output.tell(
            &json!({ "rotated": words, "failures": told(&failed) }),
            &format!(
                "New keys for {}: they sign in ten seconds, when every node has read them. What the old ones signed stays valid until \
                 it ends by itself.",
                words.join(", ")
            ),
        );
        failures.push(failed);
    }
    if owners_too {
        let owners = owners(&rooms, &args).await?;
        let done = rooms.vault.rotate_owners(&owners, &tell).await?;
        bar.clear();
        output.tell(
            &json!({ "rotated": "owners", "owners": done.owners, "envelopes": done.envelopes,
                "destroyed": done.destroyed, "failures": told(&done.failures) }),
            &format!(
                "{} owners have a new key; {} clips were re-wrapped under it and {} old keys destroyed. No clip was read or written.",
                done.owners, done.envelopes, done.destroyed
            ),
        );
        failures.push(done.failures);
    }
    rooms.catalog.close().await;
    let left: u64 = failures.iter().map(|found| found.count).sum();
    if left == 0 {
        return Ok(());
    }
    list(&failures, output);
    Err(CommandError::Refused(format!(
        "{left} keys do not open and were left as they are; everything else is rotated"
    )))
}

pub(super) async fn roll_epoch(args: RollArgs, output: Output) -> Result<(), CommandError> {
    let config = DataConfig::read(&args.data, &environment)?;
    let rooms = open(&config).await?;
    let bar = Shown::new(output);
    let done = rooms.vault.roll_epoch(&|progress| show(&bar, progress)).await?;
    bar.clear();
    rooms.catalog.close().await;
    let report = json!({
        "epoch": done.epoch, "destroyed": done.destroyed, "resumed": done.resumed, "rewrapped": done.rewrapped,
        "renewed_owners": done.renewed, "resealed_clips": done.envelopes, "verified": done.verified,
        "failures": told(&done.failures),
    });
    if !done.failures.is_empty() {
        output.tell(&report, "The old root key was not destroyed:");
        list(std::slice::from_ref(&done.failures), output);
        return Err(CommandError::Refused(format!(
            "{} things do not open under epoch {}, and nothing was destroyed: mend or erase them and run this again, it goes on. \
             Until then old backups still open with {}",
            done.failures.count, done.epoch, config.vault.root
        )));
    }
    let destroyed: Vec<_> = done.destroyed.iter().map(u32::to_string).collect();
    let began = if done.resumed {
        "went on with a roll that was cut off"
    } else {
        "rolled"
    };
    output.tell(
        &report,
        &format!(
            "The root epoch is {} ({began}). {} owners' keys were re-wrapped, {} owners who had erased clips got new keys, {} keys \
             were opened under the new root key alone; then the root keys of epoch {} were destroyed.\n\
             Worthless from now on: every backup of database and key plane from before this moment. Make new ones now, of {} too, \
             and destroy what older backups of its keys there are: with one of them, old backups of the database would open \
             again.",
            done.epoch,
            done.rewrapped,
            done.renewed,
            done.verified,
            destroyed.join(", "),
            config.vault.root
        ),
    );
    Ok(())
}

async fn open(config: &DataConfig) -> Result<Rooms, CommandError> {
    Ok(rooms::open(config, NewVault::Refuse).await?)
}

fn system_keys(args: &RotateArgs) -> Vec<SystemKey> {
    let asked = [
        (args.links, SystemKey::Links),
        (args.tokens, SystemKey::Tokens),
        (args.receipts, SystemKey::Receipts),
        (args.index, SystemKey::Index),
    ];
    asked
        .into_iter()
        .filter_map(|(asked, key)| (asked || args.all).then_some(key))
        .collect()
}

async fn owners(rooms: &Rooms, args: &RotateArgs) -> Result<Vec<OwnerId>, CommandError> {
    if args.all_owners {
        return Ok(rooms.vault.living_owners().await?);
    }
    let mut owners = Vec::with_capacity(args.owner.len());
    for named in &args.owner {
        owners.push(rooms.owner(named).await?);
    }
    Ok(owners)
}

fn told(failures: &Failures) -> Value {
    json!({ "count": failures.count, "named": failures.named })
}

fn list(failures: &[Failures], output: Output) {
    // Machines have them in the report.
    if output.json {
        return;
    }
    for found in failures {
        for name in &found.named {
            line(&format!("  {name}"));
        }
        let more = found.count - found.named.len() as u64;
        if more > 0 {
            line(&format!("  and {more} more"));
        }
    }
}

fn show(bar: &Shown, progress: Progress) {
    let phase = progress.phase;
    bar.show(phase.as_str(), words(phase), progress.done, Some(progress.total));
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Rewrap => "re-wrapping owners' keys",
        Phase::Reindex => "new e-mail indexes",
        Phase::Renew => "new keys for owners",
        Phase::Reseal => "re-wrapping clips' keys",
        Phase::Destroy => "destroying old keys",
        Phase::Verify => "opening every key",
    }
}
