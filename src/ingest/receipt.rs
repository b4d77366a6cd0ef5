//! Receipts: the vault's signed word that it holds exactly the bytes that a vehicle may now delete.

use dashvault_keys::receipt::Receipt;

use super::{Ingest, IngestError, ReceiptState};
use crate::access::Principal;
use crate::model::{ClipId, ClipState, Concat, NOT_AS_DECLARED, UploadState};
use crate::vault::ClipDetails;

impl Ingest {
    pub(super) async fn find_receipt(&self, who: &Principal, id: ClipId) -> Result<ReceiptState, IngestError> {
        let upload = self.upload_of(who, id).await?;
        if matches!(upload.state, UploadState::Ended | UploadState::Expired) {
            return Err(IngestError::Gone);
        }
        if upload.concat == Concat::Partial {
            // A part is no clip.
            return Err(IngestError::NotFound);
        }
        let clip = self
            .inner
            .catalog
            .clip(upload.owner, id)
            .await?
            .ok_or(IngestError::Gone)?;
        let failed = clip.state == ClipState::Failed || clip.state_before == Some(ClipState::Failed);
        let code = clip.error_code.unwrap_or_default();
        if upload.state != UploadState::Finished {
            // Failed before the original could be sealed: it never will be.
            return Ok(if failed {
                ReceiptState::Refused(code)
            } else {
                ReceiptState::Pending
            });
        }
        if code == NOT_AS_DECLARED {
            return Ok(ReceiptState::Refused(code));
        }
        let details = self.details(&upload, clip.sealed_details).await?;
        let sha256 = details
            .sha256()
            .ok_or_else(|| IngestError::Broken("a clip's details hold no SHA-256".into()))?;
        let receipt = Receipt {
            clip: *id.as_bytes(),
            sha256,
            length: details.bytes,
            at_ms: details.received_at,
        };
        Ok(ReceiptState::Signed(self.inner.vault.receipt_signer()?.sign(&receipt)))
    }

    /// What is sealed about the clip of a finished upload.
    pub(super) async fn details(
        &self,
        upload: &crate::catalog::UploadRow,
        sealed: Option<Vec<u8>>,
    ) -> Result<ClipDetails, IngestError> {
        let (owner, id) = (upload.owner, upload.id);
        let keys = self
            .inner
            .vault
            .read_clip_keys(owner, id)
            .await?
            .ok_or(IngestError::Gone)?;
        let sealed = sealed.ok_or(IngestError::Gone)?;
        Ok(keys.open::<ClipDetails>(id.as_bytes(), &sealed)?)
    }
}
