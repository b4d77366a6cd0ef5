//! What becomes of an upload whose bytes are all there.

use std::sync::Arc;

use dashvault::media::{OutputKind, plan};
use dashvault::model::{ClipState, Clock as _, EventKind, JobId, JobKind, JobState, UploadState};
use dashvault::vault::{ClipDetails, ClipSummary, UploadMetadata};
use dashvault_keys::digest::sha256;
use data_encoding::HEXLOWER;

use crate::fake::{BROKEN, FakeTranscoder, POISON, VIDEO, probed};
use crate::room::{LEASE_MS, Room};

/// A clip of several pages and segments that begins with `head`.
pub fn clip(head: &[u8]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend((0..700_000_u32).map(|n| (n * 31 % 251) as u8));
    bytes
}

fn said() -> UploadMetadata {
    UploadMetadata {
        filename: Some("front.mp4".to_owned()),
        recorded_at: Some(1_650_000_000_000),
        camera: Some("front".to_owned()),
        kind: Some("event".to_owned()),
        lat: Some(35.5),
        lon: Some(139.7),
        ..UploadMetadata::default()
    }
}

/// The objects of a finished clip, sorted: the original, what the plan says, and an index of each rendition.
pub fn planned(clip: &[u8]) -> Vec<String> {
    let mut names = vec!["original".to_owned()];
    for output in plan(&probed(clip.len() as u64)).outputs {
        if !matches!(output.kind, OutputKind::Poster { .. }) {
            names.push(format!("{}.index", output.name));
        }
        names.push(output.name);
    }
    names.sort();
    names
}

#[tokio::test]
async fn an_upload_becomes_a_clip_that_can_be_watched() {
    let room = Room::new().await;
    let bytes = clip(VIDEO);
    let sum = HEXLOWER.encode(&sha256(&bytes));
    let metadata = UploadMetadata {
        sha256: Some(sum.to_uppercase()),
        ..said()
    };
    let id = room.receive(&bytes, &metadata).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(pipeline.work_once().await.unwrap());
    assert!(!pipeline.work_once().await.unwrap(), "one upload is one job");

    let row = room.clip(id).await;
    assert_eq!(
        (row.state, row.progress, row.error_code),
        (ClipState::Ready, 1_000, None)
    );
    assert_eq!(room.read(id, None, "original").await, bytes);
    assert_eq!(room.names(id, None).await, planned(&bytes));
    for name in ["360p", "poster"] {
        assert!(
            room.read(id, None, name).await.ends_with(&bytes),
            "{name} is made of the clip"
        );
    }

    let keys = room.keys(id).await;
    let summary: ClipSummary = keys.open(id.as_bytes(), &row.sealed_summary.unwrap()).unwrap();
    assert_eq!(summary.recorded_at, said().recorded_at);
    assert_eq!((summary.bytes, summary.duration_ms), (bytes.len() as u64, Some(10_000)));
    assert_eq!((summary.width, summary.height), (Some(1280), Some(720)));
    let details: ClipDetails = keys.open(id.as_bytes(), &row.sealed_details.unwrap()).unwrap();
    assert_eq!((details.sha256, details.bytes), (sum, bytes.len() as u64));
    assert_eq!((details.filename, details.lat), (said().filename, said().lat));

    let upload = room.catalog.upload(id).await.unwrap().unwrap();
    assert_eq!(
        (upload.state, upload.length, upload.received),
        (UploadState::Finished, None, 0)
    );
    assert_eq!(upload.sealed_metadata, None);
    assert_eq!(room.events(EventKind::ClipReady).await, 1);
    assert_eq!(room.catalog.count_jobs(JobState::Done).await.unwrap(), 1);
    room.settle(&pipeline).await;
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn bytes_that_differ_from_what_was_declared_are_never_ready() {
    let room = Room::new().await;
    let bytes = clip(VIDEO);
    let metadata = UploadMetadata {
        sha256: Some(HEXLOWER.encode(&sha256(b"something else"))),
        ..said()
    };
    let id = room.receive(&bytes, &metadata).await;
    let transcoder = Arc::new(FakeTranscoder::new());
    let pipeline = room.pipeline(transcoder.clone()).await;
    room.settle(&pipeline).await;
    let row = room.clip(id).await;
    assert_eq!(
        (row.state, row.error_code.as_deref()),
        (ClipState::Failed, Some("sha256_mismatch"))
    );
    assert_eq!(transcoder.times_made(), [0; 0], "nothing is made of it");
    assert_eq!(
        room.read(id, None, "original").await,
        bytes,
        "its owner can see what came"
    );
    assert_eq!(room.events(EventKind::ClipFailed).await, 1);
    assert_eq!(room.events(EventKind::ClipReady).await, 0);
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn an_upload_of_parts_becomes_one_clip_and_its_parts_go() {
    let room = Room::new().await;
    let bytes = clip(VIDEO);
    let parts = [&bytes[..250_001], &bytes[250_001..400_000], &bytes[400_000..]];
    let metadata = UploadMetadata {
        sha256: Some(HEXLOWER.encode(&sha256(&bytes))),
        ..said()
    };
    let (id, ids) = room.receive_parts(&parts, &metadata).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    assert_eq!(room.clip(id).await.state, ClipState::Ready);
    assert_eq!(room.read(id, None, "original").await, bytes);
    for part in ids {
        let row = room.catalog.upload(part).await.unwrap().unwrap();
        assert_eq!((row.state, row.length), (UploadState::Ended, None));
        assert!(room.catalog.pieces_of(part, None, 1).await.unwrap().is_empty());
        assert!(room.catalog.upload_keys_of(part).await.unwrap().is_empty());
    }
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn parts_that_together_are_not_what_was_declared_are_never_ready() {
    let room = Room::new().await;
    let bytes = clip(VIDEO);
    let metadata = UploadMetadata {
        sha256: Some(HEXLOWER.encode(&sha256(&bytes))),
        ..said()
    };
    // Joined in the wrong order.
    let (id, _) = room
        .receive_parts(&[&bytes[300_000..], &bytes[..300_000]], &metadata)
        .await;
    room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
    let row = room.clip(id).await;
    assert_eq!(
        (row.state, row.error_code.as_deref()),
        (ClipState::Failed, Some("sha256_mismatch"))
    );
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn attempts_that_power_cuts_ended_do_not_count_as_failures() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &said()).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::killed(2))).await;
    assert!(pipeline.work_once().await.unwrap());
    room.clock.advance(LEASE_MS);
    let now = room.clock.now_ms();
    for _ in 0..10 {
        let mut tx = room.catalog.begin().await.unwrap();
        // A lease that is over already: whoever took it is gone.
        let leased = tx.lease_job([JobKind::Finish, JobKind::LinkMedia], JobId::random(), now, now - 1);
        assert!(leased.await.unwrap().is_some());
        tx.commit().await.unwrap();
    }
    room.settle(&pipeline).await;
    assert_eq!(room.clip(id).await.state, ClipState::Ready, "two failures are not five");
}

#[tokio::test]
async fn a_worker_that_is_ended_from_outside_is_started_again_and_not_for_ever() {
    for (kills, state, code) in [
        (1, ClipState::Ready, None),
        (4, ClipState::Ready, None),
        (usize::MAX, ClipState::Failed, Some("worker_killed")),
    ] {
        let room = Room::new().await;
        let bytes = clip(VIDEO);
        let id = room.receive(&bytes, &said()).await;
        let transcoder = Arc::new(FakeTranscoder::killed(kills));
        let pipeline = room.pipeline(transcoder.clone()).await;
        assert!(pipeline.work_once().await.unwrap());
        let row = room.clip(id).await;
        assert_eq!((row.state, row.error_code), (ClipState::Transcoding, None), "after one");
        room.settle(&pipeline).await;
        let row = room.clip(id).await;
        assert_eq!((row.state, row.error_code.as_deref()), (state, code), "after {kills}");
        assert_eq!(transcoder.times_made(), [kills.saturating_add(1).min(5)]);
        assert_eq!(room.read(id, None, "original").await, bytes);
        room.assert_tidy(&[id]).await;
    }
}

#[tokio::test]
async fn a_clip_that_cannot_be_decoded_keeps_its_original_and_says_why() {
    let room = Room::new().await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    for (number, (head, code)) in [(&b"text: no video"[..], "unsupported_format"), (BROKEN, "invalid")]
        .into_iter()
        .enumerate()
    {
        let bytes = clip(head);
        let id = room.receive(&bytes, &said()).await;
        room.settle(&pipeline).await;
        let row = room.clip(id).await;
        assert_eq!((row.state, row.error_code.as_deref()), (ClipState::Failed, Some(code)));
        let details: ClipDetails = room
            .keys(id)
            .await
            .open(id.as_bytes(), &row.sealed_details.unwrap())
            .unwrap();
        assert!(
            details.error_detail.is_some_and(|text| text.len() > 10),
            "a reason to read"
        );
        assert_eq!(room.read(id, None, "original").await, bytes);
        assert_eq!(room.names(id, None).await, ["original"]);
        let upload = room.catalog.upload(id).await.unwrap().unwrap();
        assert_eq!(upload.state, UploadState::Finished, "a receipt is due");
        assert_eq!(room.events(EventKind::ClipFailed).await, number + 1);
        let original = room.objects(id, None).await[0].id;
        assert!(room.catalog.all_objects_of(id).await.unwrap().contains(&original));
    }
}

#[tokio::test]
async fn a_job_that_panics_ends_as_a_failed_clip_and_takes_nothing_with_it() {
    let room = Room::new().await;
    let poison = room.receive(&clip(POISON), &said()).await;
    let transcoder = Arc::new(FakeTranscoder::new());
    let pipeline = room.pipeline(transcoder.clone()).await;
    room.settle(&pipeline).await;
    let row = room.clip(poison).await;
    assert_eq!(
        (row.state, row.error_code.as_deref()),
        (ClipState::Failed, Some("internal"))
    );
    assert_eq!(transcoder.times_made(), [5], "it was tried five times");
    assert_eq!(room.read(poison, None, "original").await, clip(POISON));
    let fine = room.receive(&clip(VIDEO), &said()).await;
    room.settle(&pipeline).await;
    assert_eq!(room.clip(fine).await.state, ClipState::Ready);
    room.assert_tidy(&[poison, fine]).await;
}

#[tokio::test]
async fn a_clip_in_the_trash_is_finished_there_and_comes_back_ready() {
    let room = Room::new().await;
    let id = room.receive(&clip(VIDEO), &said()).await;
    let mut tx = room.catalog.begin().await.unwrap();
    let now = dashvault::model::Clock::now_ms(&*room.clock);
    assert!(tx.trash_clip(room.owner, id, now, now + 600_000).await.unwrap());
    tx.commit().await.unwrap();
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    let row = room.clip(id).await;
    assert_eq!(
        (row.state, row.state_before),
        (ClipState::Trashed, Some(ClipState::Ready))
    );
    assert_eq!(room.names(id, None).await, planned(&clip(VIDEO)));
}

#[tokio::test]
async fn a_small_clip_of_many_small_pieces_is_put_together_in_order() {
    let room = Room::new().await;
    let bytes = &clip(VIDEO)[..5_000];
    let id = room.receive_pieces(bytes, &said(), 31).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    assert_eq!(room.read(id, None, "original").await, bytes);
    room.assert_tidy(&[id]).await;
}
