//! One clip as its owner sees it, and the owner's account.

use std::collections::HashMap;
use std::sync::Arc;

use super::view::{ClipError, ClipView, MeView, RenditionView, Time};
use super::{Library, LibraryError};
use crate::access::OwnerSession;
use crate::catalog::{ClipRow, ObjectRow};
use crate::model::{ClipId, ClipState, ObjectKind, Trouble};
use crate::vault::{ClipDetails, ClipKeys, ClipSummary, OwnerKeys, StoredObject, Vault};

/// The word for a clip whose sealed columns do not open.
const DAMAGED: &str = "damaged";

impl Library {
    /// One clip of an owner; none when it is not there or another's.
    pub async fn clip(&self, session: &OwnerSession, clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        let Some(row) = self.inner.catalog.clip(session.owner(), clip).await? else {
            return Ok(None);
        };
        let keys = self.inner.vault.owner_keys(session.owner()).await?;
        Ok(self.views(&keys, &[row]).await?.pop())
    }

    /// The owner's account and how much it keeps.
    pub async fn me(&self, session: &OwnerSession) -> Result<MeView, LibraryError> {
        let keys = self.inner.vault.owner_keys(session.owner()).await?;
        let profile = self.inner.vault.profile(&keys).await?;
        let totals = self.inner.catalog.clip_totals(session.owner()).await?;
        Ok(MeView {
            owner_id: session.owner(),
            email: profile.email,
            name: profile.name,
            clips: totals.clips,
            storage_bytes: totals.stored_bytes,
        })
    }

    /// The views of some clips of one owner, in the order of the rows; two reads of the catalogue however many they are,
    /// and one more for each that is still uploading.
    pub(super) async fn views(&self, keys: &OwnerKeys, rows: &[ClipRow]) -> Result<Vec<ClipView>, LibraryError> {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut objects = HashMap::<ClipId, Vec<ObjectRow>>::new();
        for object in self.inner.catalog.objects_of_clips(&ids).await? {
            objects.entry(object.clip).or_default().push(object);
        }
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let mut view = from_row(row);
            if row.state == ClipState::Uploading
                && let Some(upload) = self.inner.catalog.upload(row.id).await?
            {
                view.bytes = upload.length;
                view.progress = share(upload.received, upload.length.unwrap_or(0));
            }
            match self.fill(keys, row, objects.remove(&row.id).unwrap_or_default(), &mut view) {
                Ok(()) => {}
                // One damaged clip must not hide the others from a list; what is known in clear is told.
                Err(error) if error.trouble() == Trouble::Damaged => {
                    tracing::error!(
                        clip = %row.id,
                        error = &error as &dyn std::error::Error,
                        "what is sealed about a clip does not open"
                    );
                    view.error = Some(ClipError {
                        code: DAMAGED.to_owned(),
                        detail: Some("What is kept about this clip is damaged.".to_owned()),
                    });
                }
                Err(error) => return Err(error),
            }
            views.push(view);
        }
        Ok(views)
    }

    /// Adds what is sealed under the clip's key.
    fn fill(
        &self,
        keys: &OwnerKeys,
        row: &ClipRow,
        objects: Vec<ObjectRow>,
        view: &mut ClipView,
    ) -> Result<(), LibraryError> {
        let Some(sealed) = Sealed::open(self, keys, row)? else {
            return Ok(());
        };
        let objects = Vault::open_objects(&sealed.keys, objects)?;
        let (summary, details) = (sealed.summary, sealed.details);
        view.recorded_at = summary.recorded_at.map(Time);
        view.duration_ms = summary.duration_ms;
        view.bytes = Some(details.bytes);
        view.sha256 = Some(details.sha256).filter(|hex| !hex.is_empty());
        view.filename = details.filename;
        view.camera = details.camera;
        view.kind = summary.kind;
        view.has_audio = summary.has_audio;
        view.has_track = summary.has_track;
        view.renditions = renditions(&objects);
        if let Some(error) = &mut view.error {
            error.detail = details.error_detail;
        }
        Ok(())
    }
}

/// What is sealed in a clip's row, opened.
pub(super) struct Sealed {
    pub keys: Arc<ClipKeys>,
    pub summary: ClipSummary,
    pub details: ClipDetails,
}

impl Sealed {
    /// None for a clip that has no keys: not finished yet, or erased.
    pub fn open(library: &Library, keys: &OwnerKeys, row: &ClipRow) -> Result<Option<Self>, LibraryError> {
        let (Some(envelope), Some(summary), Some(details)) = (&row.envelope, &row.sealed_summary, &row.sealed_details)
        else {
            return Ok(None);
        };
        let keys = library
            .inner
            .vault
            .clip_keys(keys, row.id, envelope, row.least_revision)?;
        let summary = keys.open(row.id.as_bytes(), summary)?;
        let details = keys.open(row.id.as_bytes(), details)?;
        let keys = Arc::new(keys);
        Ok(Some(Self { keys, summary, details }))
    }
}

/// What the clear columns tell.
fn from_row(row: &ClipRow) -> ClipView {
    ClipView {
        id: row.id,
        state: row.state,
        progress: match row.state_before.unwrap_or(row.state) {
            ClipState::Ready => 1.0,
            _ => share(row.progress, 1_000),
        },
        incomplete: row.incomplete,
        recorded_at: None,
        received_at: Time(row.created_at),
        duration_ms: None,
        bytes: None,
        sha256: None,
        device_id: row.device,
        filename: None,
        camera: None,
        kind: None,
        renditions: Vec::new(),
        has_audio: false,
        has_track: false,
        error: row.error_code.clone().map(|code| ClipError { code, detail: None }),
        erase_at: row.erase_at.filter(|_| row.state == ClipState::Trashed).map(Time),
        held: row.held,
    }
}

/// `part` of `whole`, 0 to 1.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        // Exact to more digits than a progress bar has.
        _ => (part as f64 / whole as f64).min(1.0),
    }
}

/// What can be played of some objects: video with an index, the largest first.
pub(super) fn renditions(objects: &[StoredObject]) -> Vec<RenditionView> {
    let indexed = |name: &str| {
        let kind = ObjectKind::Index as u8;
        let index = |object: &StoredObject| {
            object.about.kind == kind && object.about.rendition.strip_suffix(".index") == Some(name)
        };
        objects.iter().any(index)
    };
    let mut views: Vec<_> = objects
        .iter()
        .map(|object| &object.about)
        .filter(|about| about.kind == ObjectKind::Video as u8 && indexed(&about.rendition))
        .map(|about| RenditionView {
            name: about.rendition.clone(),
            width: about.width.unwrap_or(0),
            height: about.height.unwrap_or(0),
            codec: about.codec.clone().unwrap_or_default(),
            bytes: about.length,
        })
        .collect();
    views.sort_by(|one, other| (other.height, other.bytes, &one.name).cmp(&(one.height, one.bytes, &other.name)));
    views
}
