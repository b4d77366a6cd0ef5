//! `dashvault recover` and `dashvault verify`.

use std::sync::Arc;

use serde_json::json;

use super::CommandError;
use super::cli::VerifyArgs;
use super::config::DataConfig;
use super::output::Output;
use super::progress::Shown;
use super::rooms::{self, NewVault};
use crate::model::{ClipId, SystemClock};
use crate::store::Store;
use crate::vault::{Flaw, Recovered, Stage, Unfit, Vault};

/// Owners that are asked for at once.
const PAGE: u32 = 500;
/// Clips that are opened when nobody says how many.
const SAMPLE: u64 = 100;
/// Findings that are printed one by one.
const MOST_TOLD: usize = 1_000;

pub(super) async fn recover(config: DataConfig, output: Output) -> Result<(), CommandError> {
    if !config.store.may_be_there() {
        return Err(CommandError::Refused(format!(
            "there are no objects in {}: point --data or the DASHVAULT_S3_* variables to data bucket and key plane",
            config.data.display()
        )));
    }
    let root = rooms::open_root(&config.vault.root).await?;
    let catalog = rooms::connect(&config, NewVault::Make).await?;
    let store = Store::open(&config.store).await.map_err(rooms::RoomsError::Store)?;
    let bar = Shown::new(output);
    let told = |stage, done, total| {
        let (phase, words) = match stage {
            Stage::Reading => ("reading", "reading the key plane"),
            Stage::Owners => ("owners", "rebuilding owners"),
            Stage::Clips => ("clips", "rebuilding clips"),
        };
        bar.show(phase, words, done, Some(total));
    };
    let clock = Arc::new(SystemClock);
    let done = Vault::recover(root, &config.vault, catalog.clone(), store, clock, &told).await;
    bar.clear();
    catalog.close().await;
    report(&done.map_err(rooms::RoomsError::Vault)?, output);
    Ok(())
}

fn report(done: &Recovered, output: Output) {
    for finding in &done.findings {
        let clip = finding.clip.map(|clip| clip.to_string());
        output.tell(
            &json!({ "finding": finding.reason, "object": finding.object.to_string(), "clip": clip }),
            &format!(
                "object {}{}: {}",
                finding.object,
                clip.as_ref()
                    .map_or_else(String::new, |clip| format!(" of clip {clip}")),
                finding.reason
            ),
        );
    }
    for orphan in &done.first_orphans {
        output.tell(
            &json!({ "orphan": orphan.to_string() }),
            &format!("object {orphan}: no manifest names it; left where it is"),
        );
    }
    output.tell(
        &json!({
            "owners": done.owners, "vehicles": done.vehicles, "clips": done.clips, "held": done.held,
            "objects": done.objects, "erased": done.erased, "missing": done.missing, "orphans": done.orphans,
            "unreadable": done.unreadable, "quotas": done.quotas,
            "gone": ["links", "sessions", "API tokens", "open uploads", "activity", "trash"],
        }),
        &format!(
            "Recovered {} owners with {} vehicles, and {} clips ({} held) of {} objects. {} that were erased stay erased.\n\
             {} objects are missing, {} records could not be read, {} objects belong to nothing (most often links' media).\n\
             Gone: links, sessions, API tokens, open uploads and the activity; what lay in the trash is out of it.\n\
             What was said of single owners' quotas is back for {}. One that an older program wrote, and no change of \
             the owner's vehicles or keys since, is forgotten: say it again with `dashvault owner quota --email …`.\n\
             Paired vehicles go on as before. Owners sign in with a link of `dashvault owner sign-in --email …`.",
            done.owners,
            done.vehicles,
            done.clips,
            done.held,
            done.objects,
            done.erased,
            done.missing,
            done.unreadable,
            done.orphans,
            done.quotas
        ),
    );
}

pub(super) async fn verify(args: VerifyArgs, config: DataConfig, output: Output) -> Result<(), CommandError> {
    let rooms = rooms::open(&config, NewVault::Refuse).await?;
    let mut clips = all_clips(&rooms, args.owner.as_deref()).await?;
    let wanted = match (args.all, args.sample) {
        (true, _) => clips.len() as u64,
        (false, sample) => sample.unwrap_or(SAMPLE),
    };
    choose(&mut clips, wanted);
    let bar = Shown::new(output);
    let (mut opened, mut unfit) = (0, Vec::new());
    for (done, clip) in (1..).zip(&clips) {
        let (found, objects) = rooms.vault.verify_clip(*clip).await.map_err(rooms::RoomsError::Vault)?;
        opened += objects;
        unfit.extend(found);
        bar.show("clips", "opening clips", done, Some(clips.len() as u64));
    }
    if args.all && args.owner.is_none() {
        let told = |looked| bar.show("bucket", "objects in the bucket", looked, None);
        unfit.extend(rooms.vault.orphans(&told).await.map_err(rooms::RoomsError::Vault)?);
    }
    bar.clear();
    rooms.catalog.close().await;
    for one in unfit.iter().take(MOST_TOLD) {
        tell(one, output);
    }
    output.tell(
        &json!({ "clips": clips.len(), "objects": opened, "findings": unfit.len() }),
        &format!(
            "Opened {opened} objects of {} clips: {} findings. Nothing was changed.",
            clips.len(),
            unfit.len()
        ),
    );
    match unfit.len() {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!("{n} findings need somebody to look"))),
    }
}

fn tell(unfit: &Unfit, output: Output) {
    let (clip, object) = (
        unfit.clip.map(|id| id.to_string()),
        unfit.object.map(|id| id.to_string()),
    );
    let what = match unfit.flaw {
        Flaw::Missing => "the store does not hold it",
        Flaw::Damaged => "it is not what was sealed",
        Flaw::Differs => "its row and the clip's manifest say different things",
        Flaw::Envelope => "the clip's envelope does not open, or is an older one",
        Flaw::Orphan => "nothing knows of it; left where it is",
    };
    let of = clip.as_ref().map_or_else(String::new, |clip| format!("clip {clip} "));
    let named = object.as_ref().map_or_else(String::new, |id| format!("object {id}"));
    output.tell(
        &json!({ "finding": unfit.flaw.as_str(), "clip": clip, "object": object }),
        &format!("{of}{named}: {what}"),
    );
}

async fn all_clips(rooms: &rooms::Rooms, owner: Option<&str>) -> Result<Vec<ClipId>, CommandError> {
    let catalog = &rooms.catalog;
    let ids = async |owner| {
        let versions = catalog.clip_versions(owner).await?;
        Ok::<_, CommandError>(versions.into_iter().map(|(id, _)| id))
    };
    if let Some(named) = owner {
        return Ok(ids(rooms.owner(named).await?).await?.collect());
    }
    let (mut clips, mut after) = (Vec::new(), None);
    loop {
        let owners = catalog.owners(rooms.vault.tenant(), after, PAGE).await?;
        let Some(last) = owners.last() else { return Ok(clips) };
        after = Some(last.id);
        for owner in &owners {
            clips.extend(ids(owner.id).await?);
        }
    }
}

/// Keeps so many, any of them: their ids are random, and so is where among them it begins.
fn choose(clips: &mut Vec<ClipId>, wanted: u64) {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if wanted >= clips.len() {
        return;
    }
    clips.sort_unstable();
    let from = ClipId::random();
    let at = clips.partition_point(|clip| *clip < from);
    clips.rotate_left(at);
    clips.truncate(wanted);
}
