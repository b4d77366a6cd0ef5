//! Whatever dies or fails in the middle, the end is the same: nothing lost, nothing twice, nothing left over.

use std::sync::Arc;
use std::time::Duration;

use dashvault::model::{ClipState, EventKind, JobState};
use dashvault::pipeline::Pipeline;
use dashvault::vault::UploadMetadata;
use dashvault_test_support::rounds;

use crate::fake::{FakeTranscoder, VIDEO};
use crate::faults::Fault;
use crate::finish::{clip, planned};
use crate::room::{LEASE_MS, Room};

/// More operations on the store than a job makes.
pub const MAX_OPERATIONS: usize = 400;

/// Runs what is due until the process dies or nothing is due.
pub async fn run_until_death(room: &Room, pipeline: &Pipeline) {
    let work = async { while pipeline.work_once().await.expect("the queue answers") {} };
    tokio::select! {
        () = work => {}
        () = room.faults.death() => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("neither dead nor done"),
    }
}

/// Finishes a clip with one fault at every operation in turn, then again without.
async fn finish_with(fault: Fault) {
    let bytes = clip(VIDEO);
    for at in 0..MAX_OPERATIONS {
        let room = Room::new().await;
        let id = room.receive_pieces(&bytes, &UploadMetadata::default(), 250_000).await;
        room.faults.arm(at, fault);
        let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
        run_until_death(&room, &pipeline).await;
        drop(pipeline);
        let was_struck = room.faults.heal();
        room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;

        let row = room.clip(id).await;
        assert_eq!(
            (row.state, row.error_code),
            (ClipState::Ready, None),
            "{fault:?} at {at}"
        );
        assert_eq!(room.read(id, None, "original").await, bytes, "{fault:?} at {at}");
        assert_eq!(room.names(id, None).await, planned(&bytes), "{fault:?} at {at}");
        assert_eq!(room.events(EventKind::ClipReady).await, 1, "{fault:?} at {at}");
        assert_eq!(
            room.catalog.count_jobs(JobState::Done).await.unwrap(),
            1,
            "{fault:?} at {at}"
        );
        room.assert_tidy(&[id]).await;
        if !was_struck {
            assert!(at > 10, "only {at} operations were struck");
            return;
        }
    }
    panic!("a job of more than {MAX_OPERATIONS} operations");
}

#[tokio::test]
async fn a_finish_that_dies_before_any_operation_comes_to_the_same_end() {
    finish_with(Fault::DiesBefore).await;
}

#[tokio::test]
async fn a_finish_that_dies_after_any_operation_comes_to_the_same_end() {
    finish_with(Fault::DiesAfter).await;
}

#[tokio::test]
async fn a_finish_whose_store_fails_once_comes_to_the_same_end() {
    finish_with(Fault::Fails).await;
}

#[tokio::test]
async fn a_finish_whose_store_loses_an_answer_comes_to_the_same_end() {
    finish_with(Fault::LandsAndFails).await;
}

/// Finishes a clip with a death at a moment that `die` brings about, then again in another process.
async fn finish_after_death(bytes: &[u8], what: &str, die: impl AsyncFnOnce(&Room, Pipeline)) {
    let room = Room::new().await;
    let id = room.receive_pieces(bytes, &UploadMetadata::default(), 1 << 20).await;
    die(&room, room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
    room.faults.heal();
    room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
    let row = room.clip(id).await;
    assert_eq!((row.state, row.error_code), (ClipState::Ready, None), "{what}");
    assert_eq!(room.read(id, None, "original").await, bytes, "{what}");
    assert_eq!(room.names(id, None).await, planned(bytes), "{what}");
    assert_eq!(room.events(EventKind::ClipReady).await, 1, "{what}");
    room.assert_tidy(&[id]).await;
}

pub fn random_below(end: u64) -> u64 {
    u64::from_be_bytes(dashvault_keys::digest::random()) % end
}

#[tokio::test]
async fn a_finish_that_is_killed_at_any_moment_comes_to_the_same_end() {
    let bytes = clip(VIDEO);
    // How long a finish takes here and now, so that moments fall within it: also between two transactions, where the
    // store sees nothing.
    let started = std::time::Instant::now();
    finish_after_death(&bytes, "not killed", async |_, pipeline| {
        assert!(pipeline.work_once().await.unwrap());
    })
    .await;
    let whole = u64::try_from(started.elapsed().as_micros()).unwrap();
    for _ in 0..rounds("kills of a finish job", 40, 1_000) {
        let moment = Duration::from_micros(random_below(whole));
        let what = format!("killed after {moment:?}");
        finish_after_death(&bytes, &what, async |_, pipeline| {
            tokio::select! {
                worked = pipeline.work_once() => assert!(worked.unwrap()),
                () = tokio::time::sleep(moment) => {}
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_large_clip_that_goes_up_in_parts_comes_to_the_same_end() {
    let mut bytes = VIDEO.to_vec();
    bytes.resize(9 << 20, b'x');
    let mut operations = 0;
    finish_after_death(&bytes, "no death", async |room, pipeline| {
        room.faults.arm(usize::MAX, Fault::Fails);
        assert!(pipeline.work_once().await.unwrap());
        operations = room.faults.operations();
    })
    .await;
    assert!(operations > 40, "only {operations} operations");
    for _ in 0..rounds("deaths of a large finish job", 6, 200) {
        let at = usize::try_from(random_below(operations as u64)).unwrap();
        let fault = if random_below(2) == 0 {
            Fault::DiesBefore
        } else {
            Fault::DiesAfter
        };
        finish_after_death(
            &bytes,
            &format!("{fault:?} at {at} of {operations}"),
            async |room, pipeline| {
                room.faults.arm(at, fault);
                run_until_death(room, &pipeline).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_store_that_is_down_for_long_is_not_held_against_the_clip() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    for attempt in 0..30 {
        room.faults.arm(attempt % 7, Fault::Fails);
        pipeline.work_once().await.unwrap();
        room.clock.advance(LEASE_MS);
        let job = &room.catalog.jobs_of_clip(id).await.unwrap()[0];
        if job.state == JobState::Done {
            break;
        }
        assert!(job.attempts <= 1, "{} attempts are counted", job.attempts);
    }
    room.faults.heal();
    room.settle(&pipeline).await;
    assert_eq!(room.clip(id).await.state, ClipState::Ready);
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn an_erasure_that_dies_at_any_operation_leaves_nothing_of_the_clip() {
    for fault in Fault::ALL {
        let mut struck = None;
        for at in 0..MAX_OPERATIONS {
            let room = Room::new().await;
            let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
            let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
            room.settle(&pipeline).await;
            room.queue(&room.job(dashvault::model::JobKind::EraseClip, id, None))
                .await;
            room.faults.arm(at, fault);
            run_until_death(&room, &pipeline).await;
            let was_struck = room.faults.heal();
            room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
            assert!(room.catalog.clip_any(id).await.unwrap().is_none(), "{fault:?} at {at}");
            assert_eq!(room.stored().await, (0, 0), "{fault:?} at {at}");
            assert_eq!(room.events(EventKind::ClipErased).await, 1, "{fault:?} at {at}");
            room.assert_tidy(&[id]).await;
            if !was_struck {
                break;
            }
            struck = Some(at);
        }
        assert!(struck >= Some(2), "{fault:?}: the last operation struck was {struck:?}");
    }
}
