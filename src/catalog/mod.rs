//! The catalogue: every row and all SQL, one text for SQLite and PostgreSQL.
//!
//! Reads are methods of [`Catalog`]; writes are methods of [`Tx`], so that a room composes what belongs together into
//! one transaction. Each table has a file of its own.

mod attestations;
mod begun;
mod brakes;
mod bucket_settings;
mod clip_keys;
mod clips;
mod connect;
mod credentials;
mod decoys;
mod deliveries;
mod device_keys;
mod devices;
mod erasures;
mod error;
mod events;
mod exposure;
mod intents;
mod inventory;
mod jobs;
mod keks;
mod links;
mod mirrors;
mod notices;
mod objects;
mod owners;
mod pairing_codes;
mod pieces;
mod quotas;
mod reach;
mod recoveries;
mod row;
mod standing;
mod system_records;
mod tenants;
mod upload_keys;
mod upload_parts;
mod uploads;
mod walks;
mod watchers;
mod wishes;

pub use attestations::{AttestationRow, WatchedRow};
pub use brakes::{Allowance, Used};
pub use bucket_settings::{BucketSetting, SettingChangeRow};
pub use clips::{ClipPublication, ClipRow, ClipTotals, ClipsStamp, MAX_CLIP_IDS, NewClip};
pub use connect::{Catalog, Config, Tx};
pub use credentials::{CredentialRow, NewCredential};
pub use decoys::{DecoyRow, NewDecoy};
pub use deliveries::{Claimed, DeliveryLease, DeliveryRow};
pub use device_keys::{DevicePlaces, HeldDevice, OldKey};
pub use devices::{DeviceRow, NewDevice};
pub use erasures::{ErasureKind, ErasureRow};
pub use error::CatalogError;
pub use events::{EventRow, NewEventRow, ViewingExtended};
pub use exposure::{
    CanaryRow, ExposureRow, MOST_ROWS, NewVerdict, Opening, ProbeWriteRow, VerdictChangeRow, VerdictRow, VerdictSet,
};
pub use intents::{IntentLocation, IntentRow};
pub use inventory::ShapeRow;
pub use jobs::{JobLease, JobRow, NewJob};
pub use keks::{EpochWraps, KekAge, KekRow};
pub use links::{LinkRow, LiveLinks, NewLink};
pub use mirrors::{MAX_MIRROR_IDS, MirrorRow, MirrorState, MirrorSubject, MirrorTotals};
pub use notices::{MOST_WAITING, NewNotice, NoticeNumbers, NoticeRow, ONCE_MS};
pub use objects::ObjectRow;
pub use owners::{NewOwner, OwnerRow, OwnerState};
pub use pairing_codes::{NewPairingCode, PairingCodeRow};
pub use pieces::PieceRow;
pub use quotas::{Kept, KeptBy, Quotas};
pub use reach::{Reachable, SpanRow};
pub use recoveries::Recovering;
pub use standing::Standing;
pub use system_records::SystemRecordRow;
pub use upload_keys::UploadKeyRow;
pub use uploads::{Begun, NewUpload, OpenUploads, UploadRow, UploadStep, UploadTraits};
pub use walks::{FindingRow, MOST_FINDINGS, NewFinding, WalkRow};
pub use watchers::{WatchGapRow, WatcherRow, silent_after_ms};
pub use wishes::{NewWish, OpenWish, WishRow};
