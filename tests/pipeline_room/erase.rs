//! Erasure: the key first, then every byte, and the trash whose days are over.

use std::sync::Arc;

use dashvault::model::{ClipId, ClipState, Clock as _, EventKind, JobId, JobKind, JobState, UploadState};
use dashvault::vault::UploadMetadata;
use dashvault_test_support::{Postgres, Reader};

use crate::fake::{FakeTranscoder, VIDEO};
use crate::finish::clip;
use crate::queue::until;
use crate::room::{LEASE_MS, Room};

const DAY_MS: i64 = 24 * 3_600 * 1_000;

#[tokio::test]
async fn an_erased_clip_leaves_nothing_but_the_event() {
    let room = Room::new().await;
    let kept = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let gone = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    room.queue(&room.job(JobKind::EraseClip, gone, None)).await;
    room.settle(&pipeline).await;
    assert!(room.catalog.clip_any(gone).await.unwrap().is_none());
    assert!(room.vault.read_clip_keys(room.owner, gone).await.unwrap().is_none());
    let upload = room.catalog.upload(gone).await.unwrap().unwrap();
    assert_eq!(
        (upload.state, upload.length),
        (UploadState::Ended, None),
        "the vehicle is told 410"
    );
    assert_eq!(room.events(EventKind::ClipErased).await, 1);
    assert_eq!(room.clip(kept).await.state, ClipState::Ready);
    room.assert_tidy(&[kept]).await;
}

#[tokio::test]
async fn a_clip_can_be_erased_while_it_is_being_made() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let slow = Arc::new(FakeTranscoder::gated(0));
    let first = room.pipeline(slow.clone()).await;
    let work = tokio::spawn(async move { first.work_once().await });
    until("it is being made", async || slow.at_work() == 1).await;
    room.queue(&room.job(JobKind::EraseClip, id, None)).await;
    let second = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(second.work_once().await.unwrap());
    assert!(room.catalog.clip_any(id).await.unwrap().is_none());
    slow.open(1);
    work.await.unwrap().unwrap();
    room.settle(&second).await;
    assert_eq!(room.stored().await, (0, 0));
    assert_eq!(room.events(EventKind::ClipReady).await, 0);
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_clip_of_parts_is_erased_before_it_was_sealed_and_nothing_of_them_is_left() {
    let room = Room::new().await;
    let bytes = clip(VIDEO);
    let parts = [&bytes[..300_000], &bytes[300_000..]];
    let (id, ids) = room.receive_parts(&parts, &UploadMetadata::default()).await;
    let job = room.job(JobKind::EraseClip, id, None);
    let mut tx = room.catalog.begin().await.unwrap();
    tx.cancel_jobs_of_clip(id, job.id, room.clock.now_ms()).await.unwrap();
    tx.queue_job(&job).await.unwrap();
    tx.commit().await.unwrap();
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    assert!(room.catalog.clip_any(id).await.unwrap().is_none());
    for part in ids {
        let state = room.catalog.upload(part).await.unwrap().unwrap().state;
        assert_eq!(state, UploadState::Ended);
    }
    assert_eq!(room.stored().await, (0, 0));
    room.assert_tidy(&[]).await;
}

#[tokio::test]
async fn a_clip_is_erased_before_its_original_was_ever_sealed() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let job = room.job(JobKind::EraseClip, id, None);
    let mut tx = room.catalog.begin().await.unwrap();
    tx.cancel_jobs_of_clip(id, job.id, room.clock.now_ms()).await.unwrap();
    tx.queue_job(&job).await.unwrap();
    tx.commit().await.unwrap();
    room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
    assert!(room.catalog.clip_any(id).await.unwrap().is_none());
    assert_eq!(room.stored().await, (0, 0));
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn the_sweep_erases_trash_that_is_due_and_no_other() {
    let room = Room::new().await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    let mut clips = Vec::new();
    for _ in 0..3 {
        clips.push(room.receive(&clip(VIDEO), &UploadMetadata::default()).await);
    }
    room.settle(&pipeline).await;
    let now = room.clock.now_ms();
    let mut tx = room.catalog.begin().await.unwrap();
    for (id, days) in [(clips[0], 1), (clips[1], 3)] {
        assert!(tx.trash_clip(room.owner, id, now, now + days * DAY_MS).await.unwrap());
    }
    tx.commit().await.unwrap();
    let a_moment_before = now + DAY_MS - 1;
    room.clock.advance(DAY_MS);
    for _ in 0..2 {
        pipeline.sweep().await.unwrap();
    }
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(
        !tx.restore_clip(room.owner, clips[0], a_moment_before).await.unwrap(),
        "a slow request for the way back came too late: the erasure is queued"
    );
    tx.rollback().await.unwrap();
    assert_eq!(room.clip(clips[0]).await.state, ClipState::Erasing);
    assert_eq!(
        room.catalog.count_jobs(JobState::Queued).await.unwrap(),
        1,
        "it is queued once"
    );
    room.settle(&pipeline).await;
    assert!(room.catalog.clip_any(clips[0]).await.unwrap().is_none());
    assert_eq!(room.clip(clips[1]).await.state, ClipState::Trashed);
    assert_eq!(room.clip(clips[2]).await.state, ClipState::Ready);
    room.assert_tidy(&clips).await;
}

#[tokio::test]
async fn an_erasure_does_not_wait_for_what_others_left_and_cannot_be_removed() {
    let room = Room::new().await;
    let gone = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    let of_another = ClipId::random();
    let left = room.piece_name(of_another, room.clock.now_ms()).await;
    room.faults.stick(left);
    room.queue(&room.job(JobKind::EraseClip, gone, None)).await;
    assert!(pipeline.work_once().await.unwrap());
    assert!(room.catalog.clip_any(gone).await.unwrap().is_none(), "erased at once");
    assert!(pipeline.sweep().await.is_err(), "the sweep tells of it");
    room.faults.unstick();
    room.settle(&pipeline).await;
    room.assert_tidy(&[]).await;
}

#[tokio::test]
async fn an_erasure_waits_for_its_own_leftovers() {
    let room = Room::new().await;
    let gone = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    let left = room.piece_name(gone, room.clock.now_ms() + LEASE_MS).await;
    room.faults.stick(left);
    room.queue(&room.job(JobKind::EraseClip, gone, None)).await;
    assert!(pipeline.work_once().await.unwrap());
    assert_eq!(room.clip(gone).await.state, ClipState::Erasing, "not told as erased");
    room.faults.unstick();
    room.settle(&pipeline).await;
    assert!(room.catalog.clip_any(gone).await.unwrap().is_none());
    room.assert_tidy(&[]).await;
}

#[tokio::test]
async fn an_erasure_ends_with_an_empty_log_or_the_sweep_empties_it() {
    let room = Room::new().await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    for read_meanwhile in [false, true] {
        let gone = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
        room.settle(&pipeline).await;
        let reader = read_meanwhile.then(|| Reader::of(&room.database()));
        room.queue(&room.job(JobKind::EraseClip, gone, None)).await;
        assert!(pipeline.work_once().await.unwrap());
        assert!(room.catalog.clip_any(gone).await.unwrap().is_none());
        assert_eq!(room.log_bytes() > 0, read_meanwhile);
        drop(reader);
        pipeline.sweep().await.unwrap();
        assert_eq!(room.log_bytes(), 0);
    }
}

#[tokio::test]
async fn an_erasure_and_a_finish_never_wait_for_each_other_crosswise() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let room = Room::on_postgres(url.clone()).await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    // As an owner's erasure begins.
    let mut erasure = room.catalog.begin().await.unwrap();
    assert!(erasure.erase_upload(id, room.clock.now_ms()).await.unwrap());
    let finish = tokio::spawn({
        let pipeline = pipeline.clone();
        async move { pipeline.work_once().await }
    });
    until("the finish waits for the upload's row", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock'";
        postgres.psql(&url, waiting) == "1"
    })
    .await;
    let erased = erasure.erase_clip_keys(id, room.clock.now_ms()).await;
    assert!(erased.expect("no deadlock"));
    erasure.rollback().await.unwrap();
    finish.await.unwrap().unwrap();
    let state = room.clip(id).await.state;
    assert_eq!(
        state,
        ClipState::Ready,
        "nor was the finish the one that had to give way"
    );
    room.settle(&pipeline).await;
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_held_clip_is_not_erased() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.hold_clip(id, true, room.clock.now_ms()).await.unwrap());
    tx.commit().await.unwrap();
    room.queue(&room.job(JobKind::EraseClip, id, None)).await;
    room.settle(&pipeline).await;
    assert_eq!(room.clip(id).await.state, ClipState::Ready);
    assert_eq!(room.read(id, None, "original").await, clip(VIDEO));
}

#[tokio::test]
async fn ended_jobs_are_forgotten_after_a_day() {
    let room = Room::new().await;
    room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    assert_eq!(room.catalog.count_jobs(JobState::Done).await.unwrap(), 1);
    room.clock.advance(DAY_MS + LEASE_MS);
    pipeline.sweep().await.unwrap();
    assert_eq!(room.catalog.count_jobs(JobState::Done).await.unwrap(), 0);
}

#[tokio::test]
async fn an_erasure_whose_processes_died_again_and_again_is_still_done() {
    let room = Room::new().await;
    let gone = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    room.queue(&room.job(JobKind::EraseClip, gone, None)).await;
    let now = room.clock.now_ms();
    for _ in 0..30 {
        let mut tx = room.catalog.begin().await.unwrap();
        // A lease that is over already: whoever took it is gone.
        let leased = tx.lease_job([JobKind::EraseClip, JobKind::EraseOwner], JobId::random(), now, now - 1);
        assert!(leased.await.unwrap().is_some());
        tx.commit().await.unwrap();
    }
    room.settle(&pipeline).await;
    assert!(room.catalog.clip_any(gone).await.unwrap().is_none());
    room.assert_tidy(&[]).await;
}
