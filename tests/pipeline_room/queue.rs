//! Leases between nodes, and a shutdown.

use std::sync::Arc;
use std::time::Duration;

use dashvault::model::{ClipState, Clock as _, EventKind, JobId, JobKind, JobState};
use dashvault::vault::UploadMetadata;
use tokio_util::sync::CancellationToken;

use crate::fake::{FakeTranscoder, VIDEO};
use crate::finish::clip;
use crate::room::{LEASE_MS, Room};

/// Waits for what another task brings about.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited 30 s in vain: {what}");
}

fn numbered(number: u8) -> Vec<u8> {
    clip(&[VIDEO, &[b'0' + number]].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pipelines_on_one_queue_make_every_clip_once() {
    let room = Room::new().await;
    let transcoder = Arc::new(FakeTranscoder::new());
    let mut clips = Vec::new();
    for number in 0..6 {
        clips.push(room.receive(&numbered(number), &UploadMetadata::default()).await);
    }
    let shutdown = CancellationToken::new();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let pipeline = room.pipeline(transcoder.clone()).await;
        let shutdown = shutdown.clone();
        runs.push(tokio::spawn(async move { pipeline.run(shutdown).await }));
    }
    until("all clips are made", async || {
        room.catalog.count_jobs(JobState::Done).await.unwrap() == 6
    })
    .await;
    shutdown.cancel();
    for run in runs {
        run.await.unwrap();
    }
    assert_eq!(transcoder.times_made(), [1; 6]);
    assert!(transcoder.most_at_once() <= 2, "each pipeline makes one at a time");
    for id in &clips {
        assert_eq!(room.clip(*id).await.state, ClipState::Ready);
    }
    assert_eq!(room.events(EventKind::ClipReady).await, 6);
    room.settle(&room.pipeline(transcoder).await).await;
    room.assert_tidy(&clips).await;
}

#[tokio::test]
async fn a_node_that_lost_its_lease_writes_nothing_more() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let slow = Arc::new(FakeTranscoder::gated(0));
    let first = room.pipeline(slow.clone()).await;
    let sleeper = tokio::spawn(async move { first.work_once().await });
    until("the first node is in the middle of its make", async || {
        slow.at_work() == 1
    })
    .await;

    // It falls silent for longer than its lease, and another takes over and ends the job.
    room.clock.advance(LEASE_MS + 1);
    let second = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(second.work_once().await.unwrap());
    let (row, objects) = (room.clip(id).await, room.objects(id, None).await);
    assert_eq!(row.state, ClipState::Ready);

    // It wakes up and goes on as if nothing had happened.
    slow.open(1);
    sleeper.await.unwrap().unwrap();
    let now = room.clip(id).await;
    assert_eq!((now.updated_at, now.envelope), (row.updated_at, row.envelope));
    assert_eq!(room.objects(id, None).await, objects);
    assert_eq!(room.events(EventKind::ClipReady).await, 1);
    room.settle(&second).await;
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_node_that_lost_its_lease_cannot_fail_the_clip_of_the_one_that_has_it() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let (blind, slow) = (
        Arc::new(FakeTranscoder::gated_and_blind()),
        Arc::new(FakeTranscoder::gated(0)),
    );
    let first = room.pipeline(blind.clone()).await;
    let sleeper = tokio::spawn(async move { first.work_once().await });
    until("the first node makes", async || blind.at_work() == 1).await;
    room.clock.advance(LEASE_MS + 1);
    let second = room.pipeline(slow.clone()).await;
    let holder = tokio::spawn(async move { second.work_once().await });
    until("the second node makes", async || slow.at_work() == 1).await;

    blind.open(1);
    sleeper.await.unwrap().unwrap();
    let job = &room.catalog.jobs_of_clip(id).await.unwrap()[0];
    assert_eq!(job.state, JobState::Running, "the job is still the second node's");
    let row = room.clip(id).await;
    assert_eq!((row.state, row.error_code), (ClipState::Transcoding, None));
    assert_eq!(room.events(EventKind::ClipFailed).await, 0);

    slow.open(1);
    holder.await.unwrap().unwrap();
    assert_eq!(room.clip(id).await.state, ClipState::Ready);
    room.settle(&room.pipeline(slow).await).await;
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_long_job_keeps_its_lease_and_tells_its_progress() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let slow = Arc::new(FakeTranscoder::gated(0));
    let pipeline = room.pipeline(slow.clone()).await;
    let work = tokio::spawn(async move { pipeline.work_once().await });
    until("half of it is told", async || room.clip(id).await.progress > 400).await;
    let row = room.clip(id).await;
    assert_eq!(row.state, ClipState::Transcoding);
    assert!(row.progress < 1_000);
    let before = room.catalog.jobs_of_clip(id).await.unwrap()[0].lease_until;
    room.clock.advance(LEASE_MS - 1_000);
    until("the lease is extended", async || {
        room.catalog.jobs_of_clip(id).await.unwrap()[0].lease_until > before
    })
    .await;
    room.clock.advance(2_000);
    let other = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(!other.work_once().await.unwrap(), "it is still the first node's");
    other.sweep().await.unwrap();
    slow.open(1);
    work.await.unwrap().unwrap();
    assert_eq!(
        room.clip(id).await.state,
        ClipState::Ready,
        "the sweep took nothing that was being written"
    );
}

#[tokio::test]
async fn no_clip_fails_while_the_service_ends() {
    for doomed in [FakeTranscoder::gated_and_blind(), FakeTranscoder::gated_and_killed()] {
        let room = Room::new().await;
        let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
        let doomed = Arc::new(doomed);
        let pipeline = room.pipeline(doomed.clone()).await;
        let shutdown = CancellationToken::new();
        let run = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { pipeline.run(shutdown).await }
        });
        until("the make has begun", async || doomed.at_work() == 1).await;
        shutdown.cancel();
        doomed.open(1);
        run.await.unwrap();
        let row = room.clip(id).await;
        assert_eq!((row.state, row.error_code), (ClipState::Transcoding, None));
        let job = &room.catalog.jobs_of_clip(id).await.unwrap()[0];
        assert_eq!((job.state, job.attempts), (JobState::Queued, 0));
        room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
        assert_eq!(room.clip(id).await.state, ClipState::Ready);
        room.assert_tidy(&[id]).await;
    }
}

#[tokio::test]
async fn a_shutdown_gives_the_lease_back_at_once() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let slow = Arc::new(FakeTranscoder::gated(0));
    let pipeline = room.pipeline(slow.clone()).await;
    let shutdown = CancellationToken::new();
    let run = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { pipeline.run(shutdown).await }
    });
    until("the make has begun", async || slow.at_work() == 1).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), run)
        .await
        .expect("it drains")
        .unwrap();
    assert_eq!(slow.at_work(), 0, "the make was ended");
    let job = &room.catalog.jobs_of_clip(id).await.unwrap()[0];
    assert_eq!((job.state, job.attempts, job.lease), (JobState::Queued, 0, None));
    let next = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(next.work_once().await.unwrap(), "no lease has to end first");
    assert_eq!(room.clip(id).await.state, ClipState::Ready);
    room.settle(&next).await;
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_job_that_took_twenty_nodes_down_is_given_up_without_another_wait() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    for _ in 0..20 {
        let now = room.clock.now_ms();
        let mut tx = room.catalog.begin().await.unwrap();
        let leased = tx.lease_job([JobKind::Finish, JobKind::LinkMedia], JobId::random(), now, now - 1);
        assert!(leased.await.unwrap().is_some());
        tx.commit().await.unwrap();
    }
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(pipeline.work_once().await.unwrap());
    assert_eq!(room.clip(id).await.state, ClipState::Failed);
    let job = &room.catalog.jobs_of_clip(id).await.unwrap()[0];
    assert_eq!((job.state, job.lease), (JobState::Failed, None));
    assert!(!pipeline.work_once().await.unwrap(), "it is not tried again");
}
