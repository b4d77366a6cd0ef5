//! Where renditions go as they are made: each output streams through the sealer into an object of its own.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::media::{OutputKind, OutputSink, Plan};
use crate::model::ObjectKind;
use crate::vault::{ClipKeys, Holder, ObjectWriter, SealedObject, Vault, VaultError};

/// Seals the outputs of one plan.
pub(super) struct SealingSink {
    vault: Vault,
    keys: Arc<ClipKeys>,
    holder: Holder,
    outputs: Vec<OutputState>,
    failure: Option<VaultError>,
}

struct OutputState {
    name: String,
    kind: ObjectKind,
    /// None before its first byte.
    writer: Option<ObjectWriter>,
}

impl SealingSink {
    pub(super) fn new(vault: Vault, keys: Arc<ClipKeys>, holder: Holder, plan: &Plan) -> Self {
        let outputs = plan.outputs.iter().map(|output| OutputState {
            name: output.name.clone(),
            kind: match output.kind {
                OutputKind::Remux | OutputKind::Encode(_) => ObjectKind::Video,
                OutputKind::Poster { .. } => ObjectKind::Image,
            },
            writer: None,
        });
        Self {
            vault,
            keys,
            holder,
            outputs: outputs.collect(),
            failure: None,
        }
    }

    /// Why a write failed, if one did.
    pub(super) fn take_failure(&mut self) -> Option<VaultError> {
        self.failure.take()
    }

    /// Ends one output; none when it has no byte.
    pub(super) async fn finish(&mut self, output: usize) -> Result<Option<SealedObject>, VaultError> {
        match self.outputs.get_mut(output).and_then(|state| state.writer.take()) {
            Some(writer) => Ok(Some(writer.finish().await?)),
            None => Ok(None),
        }
    }

    /// Takes back every output that was not finished. What cannot be taken back now is left to the sweep.
    pub(super) async fn abort(&mut self) {
        for state in &mut self.outputs {
            if let Some(writer) = state.writer.take()
                && let Err(error) = writer.abort().await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an output that is not kept is left to the sweep"
                );
            }
        }
    }

    async fn seal(&mut self, output: usize, bytes: &[u8]) -> Result<(), VaultError> {
        let Some(state) = self.outputs.get_mut(output) else {
            return Err(VaultError::Refused("the plan has no such output".into()));
        };
        if state.writer.is_none() {
            let made = self
                .vault
                .create_object(&self.keys, state.kind, &state.name, self.holder);
            state.writer = Some(made.await?);
        }
        match &mut state.writer {
            Some(writer) => writer.write(bytes).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl OutputSink for SealingSink {
    async fn write(&mut self, output: usize, bytes: Bytes) -> io::Result<()> {
        match self.seal(output, &bytes).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.failure.get_or_insert(error);
                Err(io::Error::other("the vault could not seal an output"))
            }
        }
    }
}
