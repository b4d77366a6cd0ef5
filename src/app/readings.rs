//! What an operator can watch of keys, decoys, buckets and notices: no owner, no clip, no reader.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::catalog::{Catalog, CatalogError};
use crate::http::{Reading, Readings};
use crate::model::{Bucket, Clock, Verdict};
use crate::vault::{Vault, why_withheld};

/// A catalogue that does not answer by then is left out; what is missing is an alarm of its own.
const LOOK_TIME: Duration = Duration::from_secs(3);

/// Numbers of the rooms that the HTTP face does not know.
pub(super) fn readings(vault: Vault, access: Access, catalog: Catalog, clock: Arc<dyn Clock>) -> Readings {
    Arc::new(move || {
        let (vault, access, catalog, clock) = (vault.clone(), access.clone(), catalog.clone(), clock.clone());
        Box::pin(async move {
            let mut all = of_keys(&vault);
            all.extend(of_disk(&vault).await);
            all.push(counter(
                "decoys_used",
                "Uses of decoys: each is somebody who has read the place where one was planted",
                &[],
                access.decoy_uses(),
            ));
            all.extend(in_time(of_buckets(&catalog, clock.as_ref())).await);
            all.extend(in_time(of_watchers(&catalog)).await);
            all.extend(in_time(of_notices(&catalog)).await);
            all
        })
    })
}

async fn in_time(asked: impl Future<Output = Result<Vec<Reading>, CatalogError>>) -> Vec<Reading> {
    match tokio::time::timeout(LOOK_TIME, asked).await {
        Ok(Ok(readings)) => readings,
        Ok(Err(error)) => {
            tracing::warn!(%error, "numbers of the catalogue cannot be read now");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

async fn of_disk(vault: &Vault) -> Option<Reading> {
    let used = tokio::time::timeout(LOOK_TIME, vault.store_used_permille()).await;
    let used = used.ok()?.ok()??;
    Some(gauge(
        "store_disk_used_permille",
        "How full the disk of the clips is: from 850 on routine clips wait, from 950 on all but events",
        &[],
        u64::from(used),
    ))
}

fn of_keys(vault: &Vault) -> Vec<Reading> {
    let numbers = vault.custody_numbers();
    vec![
        gauge("keys_in_memory", "Owners' keys in memory", &[], numbers.in_memory),
        counter(
            "keys_unwrapped",
            "Owners' keys that the root key's provider unwrapped",
            &[],
            numbers.unwrapped,
        ),
        counter(
            "keys_not_unwrapped",
            "Owners' keys that it did not unwrap",
            &[],
            numbers.not_unwrapped,
        ),
        counter(
            "keys_on_grace",
            "Requests served with a key after its time, in an outage",
            &[],
            numbers.on_grace,
        ),
        counter(
            "reads_braked",
            "Reads refused because one reader opened too many clips",
            &[],
            numbers.braked,
        ),
        gauge(
            "root_key_outage",
            "1 while the root key's provider does not answer",
            &[],
            u64::from(numbers.outage_since.is_some()),
        ),
    ]
}

async fn of_buckets(catalog: &Catalog, clock: &dyn Clock) -> Result<Vec<Reading>, CatalogError> {
    let rows = catalog.verdicts().await?;
    let now = clock.now_ms();
    let mut all = Vec::new();
    for row in &rows {
        for &verdict in Verdict::ALL {
            all.push(gauge(
                "exposure_verdict",
                "1 for the verdict that counts of a bucket",
                &[("bucket", row.bucket.as_str()), ("verdict", verdict.as_str())],
                u64::from(row.verdict == verdict),
            ));
        }
    }
    for row in rows.iter().filter(|row| row.private_at.is_some()) {
        all.push(gauge(
            "exposure_private_timestamp_seconds",
            "When a bucket was last proven private",
            &[("bucket", row.bucket.as_str())],
            seconds(row.private_at),
        ));
    }
    for &bucket in Bucket::ALL {
        let row = rows.iter().find(|row| row.bucket == bucket);
        all.push(gauge(
            "write_gate_shut",
            "1 while new clips are withheld from a bucket, unless the gate only alerts",
            &[("bucket", bucket.as_str())],
            u64::from(why_withheld(row, now).is_some()),
        ));
    }
    Ok(all)
}

async fn of_watchers(catalog: &Catalog) -> Result<Vec<Reading>, CatalogError> {
    let rows = catalog.watchers().await?;
    let last = rows.iter().map(|row| {
        gauge(
            "exposure_last_round_timestamp_seconds",
            "When a watch last looked at every bucket",
            &[("watcher", row.watcher.as_str())],
            seconds(Some(row.round_at)),
        )
    });
    let mut all: Vec<_> = last.collect();
    all.extend(rows.iter().map(|row| {
        counter(
            "exposure_rounds",
            "Rounds of a watch",
            &[("watcher", row.watcher.as_str())],
            row.rounds,
        )
    }));
    Ok(all)
}

async fn of_notices(catalog: &Catalog) -> Result<Vec<Reading>, CatalogError> {
    let numbers = catalog.notice_numbers().await?;
    let deliveries = [
        ("sent", numbers.sent),
        ("dead", numbers.dead),
        ("dropped", numbers.dropped),
    ];
    let mut all = vec![
        gauge(
            "notices_waiting",
            "Notices that some sink has not got",
            &[],
            numbers.waiting,
        ),
        gauge(
            "notice_deliveries_failing",
            "Deliveries of notices that failed and are tried again",
            &[],
            numbers.failing,
        ),
    ];
    all.extend(deliveries.map(|(outcome, count)| {
        counter(
            "notice_deliveries",
            "Deliveries of notices that ended",
            &[("outcome", outcome)],
            count,
        )
    }));
    Ok(all)
}

fn seconds(at: Option<i64>) -> u64 {
    u64::try_from(at.unwrap_or(0) / 1_000).unwrap_or(0)
}

fn gauge(name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: u64) -> Reading {
    Reading {
        name,
        help,
        is_counter: false,
        labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        value,
    }
}

fn counter(name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: u64) -> Reading {
    Reading {
        is_counter: true,
        ..gauge(name, help, labels, value)
    }
}
