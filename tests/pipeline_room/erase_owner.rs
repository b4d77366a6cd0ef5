//! An owner's erasure: every clip in whatever state, then the rows and the keys, and nothing of another owner's.

use std::sync::Arc;
use std::time::Duration;

use dashvault::catalog::{ErasureKind, NewCredential, NewDevice, NewPairingCode, OwnerState};
use dashvault::model::{
    ClipId, ClipState, Clock as _, CredentialId, CredentialKind, DeviceId, EventKind, JobId, JobKind, JobState,
    OwnerId, PairingId,
};
use dashvault::vault::UploadMetadata;
use dashvault_keys::receipt::verify_erasure;
use dashvault_keys::tombstone::Erased;
use dashvault_test_support::rounds;

use crate::crashes::{MAX_OPERATIONS, random_below, run_until_death};
use crate::fake::{BROKEN, FakeTranscoder, VIDEO};
use crate::faults::Fault;
use crate::finish::clip;
use crate::room::Room;

/// A vault of two owners; one has a ready clip, a failed one, an open upload and a partial one, and its erasure was asked for.
struct Scene {
    room: Room,
    erased: OwnerId,
    kept: ClipId,
}

impl Scene {
    async fn new() -> Self {
        let mut room = Room::new().await;
        let ready = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
        let failed = room.receive(&clip(BROKEN), &UploadMetadata::default()).await;
        let erased = room.change_owner("other@example.org").await;
        let kept = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
        room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
        assert_eq!(room.clip(ready).await.state, ClipState::Ready);
        assert_eq!(room.clip(failed).await.state, ClipState::Failed);
        let other = std::mem::replace(&mut room.owner, erased);
        let open = room
            .receive_open(&clip(VIDEO), &UploadMetadata::default(), 70_000)
            .await;
        room.receive_part(&clip(VIDEO)).await;
        room.owner = other;
        assert_eq!(room.clip(open).await.state, ClipState::Uploading);
        let scene = Self { room, erased, kept };
        scene.add_access().await;
        scene.ask().await;
        scene
    }

    /// A vehicle, a pairing code and an API token of the owner that is erased.
    async fn add_access(&self) {
        let (owner, tenant, now) = (self.erased, self.room.vault.tenant(), self.room.clock.now_ms());
        let mut tx = self.room.catalog.begin().await.unwrap();
        tx.insert_device(&NewDevice {
            id: DeviceId::random(),
            tenant,
            owner,
            public_key: &[1; 32],
            next_key: None,
            sealed_about: b"sealed",
            vin_index: None,
            paired_at: now,
        })
        .await
        .unwrap();
        let code = NewPairingCode {
            id: PairingId::random(),
            tenant,
            owner,
            finder: "ABCD",
            code_hash: &[2; 32],
            sealed_about: b"sealed",
            tries: 3,
            created_at: now,
            expires_at: now + 1_000_000,
        };
        assert!(tx.insert_pairing_code(&code).await.unwrap());
        tx.insert_credential(&NewCredential {
            id: CredentialId::random(),
            tenant,
            owner,
            kind: CredentialKind::Api,
            link: None,
            secret_hash: &[3; 32],
            created_at: now,
            expires_at: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// What access does when an owner is to be erased.
    async fn ask(&self) {
        let mut job = self.room.job(JobKind::EraseOwner, self.kept, None);
        (job.id, job.owner, job.clip) = (JobId::random(), self.erased, None);
        let buried = self.room.vault.bury(ErasureKind::Owner, self.erased.as_bytes(), None);
        let buried = buried.await.unwrap().expect("the first order");
        let mut tx = self.room.catalog.begin().await.unwrap();
        assert!(tx.begin_owner_erasure(self.erased).await.unwrap());
        self.room.vault.record_burial(&mut tx, &buried).await.unwrap();
        tx.queue_job(&job).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Works until nothing is left to do, in a process of its own, and looks into every corner.
    async fn assert_ends(&self, what: &str) {
        let room = &self.room;
        room.faults.heal();
        room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
        let catalog = &room.catalog;
        assert_eq!(catalog.clips_stamp(self.erased).await.unwrap().count, 0, "{what}");
        assert!(catalog.active_kek(self.erased).await.unwrap().is_none(), "{what}");
        let owner = catalog.owner(self.erased).await.unwrap().unwrap();
        assert_eq!(owner.state, OwnerState::Erased, "{what}");
        assert_eq!((owner.email_index, owner.sealed_profile), (None, None), "{what}");
        assert!(
            catalog.events_of(self.erased, None, 10).await.unwrap().is_empty(),
            "{what}"
        );
        let mut tx = catalog.begin().await.unwrap();
        let left = (
            tx.remove_devices_of(self.erased).await.unwrap(),
            tx.remove_pairing_codes_of(self.erased).await.unwrap(),
            tx.remove_credentials_of(self.erased).await.unwrap(),
        );
        tx.rollback().await.unwrap();
        assert_eq!(left, (0, 0, 0), "{what}: vehicles, codes or credentials are left");
        // The finish of the clip that could not be decoded, and no erasure.
        assert_eq!(catalog.count_jobs(JobState::Failed).await.unwrap(), 1, "{what}");
        // The other owner's, and only these objects.
        assert_eq!(room.clip(self.kept).await.state, ClipState::Ready, "{what}");
        assert_eq!(room.read(self.kept, None, "original").await, clip(VIDEO), "{what}");
        assert_eq!(room.events(EventKind::ClipReady).await, 1, "{what}");
        let erasure = catalog.erasure_of(ErasureKind::Owner, self.erased.as_bytes()).await;
        let receipt = erasure.unwrap().and_then(|erasure| erasure.receipt).expect("a receipt");
        let said = verify_erasure(&receipt, &room.vault.receipt_public_key().unwrap()).expect("it is the vault's");
        assert_eq!(
            (said.what, said.subject),
            (Erased::Owner, *self.erased.as_bytes()),
            "{what}"
        );
        room.assert_tidy(&[self.kept]).await;
        // One owner's KEK and one clip's envelope, the system record, and a tombstone for all that was erased.
        assert_eq!(room.key_plane().await.len(), 4, "{what}");
    }
}

#[tokio::test]
async fn an_erased_owner_leaves_no_clip_no_byte_and_no_key() {
    let scene = Scene::new().await;
    scene.assert_ends("not killed").await;
}

#[tokio::test]
async fn an_owner_stays_until_a_held_clip_is_let_go() {
    let scene = Scene::new().await;
    let room = &scene.room;
    let held = room.catalog.clip_versions(scene.erased).await.unwrap()[0].0;
    let set = async |hold| {
        let mut tx = room.catalog.begin().await.unwrap();
        assert!(tx.hold_clip(held, hold, room.clock.now_ms()).await.unwrap());
        tx.commit().await.unwrap();
    };
    set(true).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    for _ in 0..30 {
        while pipeline.work_once().await.unwrap() {}
        room.clock.advance(5_000);
    }
    assert_eq!(room.catalog.clips_stamp(scene.erased).await.unwrap().count, 1);
    assert!(room.catalog.active_kek(scene.erased).await.unwrap().is_some());
    set(false).await;
    scene.assert_ends("let go").await;
}

#[tokio::test]
async fn an_owners_erasure_that_dies_at_any_operation_comes_to_the_same_end() {
    for at in 0..MAX_OPERATIONS {
        let scene = Scene::new().await;
        scene.room.faults.arm(at, Fault::DiesBefore);
        let pipeline = scene.room.pipeline(Arc::new(FakeTranscoder::new())).await;
        run_until_death(&scene.room, &pipeline).await;
        drop(pipeline);
        let was_struck = scene.room.faults.heal();
        scene.assert_ends(&format!("dies before {at}")).await;
        if !was_struck {
            assert!(at > 5, "only {at} operations were struck");
            return;
        }
    }
    panic!("an erasure of more than {MAX_OPERATIONS} operations");
}

#[tokio::test]
async fn an_owners_erasure_that_is_killed_at_any_moment_comes_to_the_same_end() {
    let scene = Scene::new().await;
    let started = std::time::Instant::now();
    scene.assert_ends("not killed").await;
    let whole = u64::try_from(started.elapsed().as_micros()).unwrap();
    for _ in 0..rounds("kills of an owner's erasure", 12, 300) {
        let moment = Duration::from_micros(random_below(whole));
        let scene = Scene::new().await;
        let pipeline = scene.room.pipeline(Arc::new(FakeTranscoder::new())).await;
        tokio::select! {
            () = scene.room.settle(&pipeline) => {}
            () = tokio::time::sleep(moment) => {}
        }
        drop(pipeline);
        scene.assert_ends(&format!("killed after {moment:?}")).await;
    }
}
