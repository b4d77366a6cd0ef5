//! `dashvault inventory`.

use serde_json::json;

use super::CommandError;
use super::config::DataConfig;
use super::output::Output;
use super::progress::Shown;
use super::rooms::{self, NewVault, RoomsError};
use crate::model::Bucket;
use crate::store::Store;
use crate::vault::{Inventory, InventoryTotals, StoredFlaw, StoredUnfit};

/// Findings that are printed one by one.
const MOST_TOLD: usize = 1_000;

/// Needs the database and the buckets, and no root key.
pub(super) async fn run(config: DataConfig, output: Output) -> Result<(), CommandError> {
    rooms::require_vault(&config)?;
    let catalog = rooms::connect(&config, NewVault::Refuse).await?;
    let store = Store::open(&config.store).await.map_err(RoomsError::Store)?;
    let inventory = Inventory::new(catalog.clone(), store);
    let bar = Shown::new(output);
    let mut findings = 0;
    for &bucket in Bucket::ALL {
        let told = |looked| bar.show(bucket.as_str(), "objects in the buckets", looked, None);
        let totals = inventory.take(bucket, &told).await.map_err(RoomsError::Vault)?;
        bar.clear();
        findings += totals.unfit.len();
        tell(bucket, &totals, output);
    }
    catalog.close().await;
    match findings {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!("{n} findings need somebody to look"))),
    }
}

fn tell(bucket: Bucket, totals: &InventoryTotals, output: Output) {
    let name = bucket.as_str();
    for StoredUnfit { flaw, path, .. } in totals.unfit.iter().take(MOST_TOLD) {
        let what = match flaw {
            StoredFlaw::ForeignName => "its name is none of ours; left where it is",
            StoredFlaw::IllFormed => "it has not the form of what is sealed, and may be plaintext; left where it is",
            StoredFlaw::OtherName => "it is another object's bytes under this name; left where it is",
            StoredFlaw::Labelled => {
                "a type, an encoding, metadata or tags stand beside it, which tell of what is in it"
            }
            StoredFlaw::OtherSize => "it has another size than when it was sealed",
            StoredFlaw::OtherCommitment => "it is sealed under another key than when it was written",
            StoredFlaw::Unknown => "nothing knows of it; left where it is",
            StoredFlaw::Missing => "the database names it, and it is not there",
        };
        output.tell(
            &json!({ "finding": flaw.as_str(), "bucket": name, "object": path }),
            &format!("{name} {path:?}: {what}"),
        );
    }
    let more = if totals.is_cut {
        " at least, with more left out"
    } else {
        ""
    };
    output.tell(
        &json!({
            "bucket": name, "objects": totals.objects, "bytes": totals.bytes, "findings": totals.unfit.len(),
            "is_cut": totals.is_cut,
        }),
        &format!(
            "{name}: looked at {} objects of {} bytes: {} findings{more}. Nothing was changed.",
            totals.objects,
            totals.bytes,
            totals.unfit.len()
        ),
    );
}
