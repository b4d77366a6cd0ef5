//! A link's own media: made to the span, removed when the link is over.

use std::sync::Arc;

use dashvault::catalog::NewLink;
use dashvault::model::{ClipId, Clock as _, JobKind, LinkId, LinkMediaState};
use dashvault::vault::{LinkAbout, UploadMetadata};

use crate::fake::{FakeTranscoder, VIDEO};
use crate::faults::Fault;
use crate::finish::clip;
use crate::room::Room;

const LASTS_MS: i64 = 3_600_000;

async fn a_ready_clip(room: &Room) -> ClipId {
    let id = room.receive(&clip(VIDEO), &UploadMetadata::default()).await;
    room.settle(&room.pipeline(Arc::new(FakeTranscoder::new())).await).await;
    id
}

async fn make_link(room: &Room, clip: ClipId) -> LinkId {
    let id = LinkId::random();
    let about = LinkAbout {
        recipient: "an insurer".to_owned(),
        from_ms: Some(2_000),
        to_ms: Some(6_000),
        audio: false,
        location: false,
        download: false,
    };
    let now = room.clock.now_ms();
    let mut tx = room.catalog.begin().await.unwrap();
    tx.insert_link(&NewLink {
        id,
        tenant: room.vault.tenant(),
        owner: room.owner,
        clip,
        secret_hash: &[7; 32],
        sealed_about: &room.keys(clip).await.seal(id.as_bytes(), &about),
        max_opens: 3,
        created_at: now,
        expires_at: now + LASTS_MS,
    })
    .await
    .unwrap();
    tx.queue_job(&room.job(JobKind::LinkMedia, clip, Some(id)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}

async fn media_state(room: &Room, link: LinkId) -> LinkMediaState {
    room.catalog.link_any(link).await.unwrap().unwrap().media_state
}

#[tokio::test]
async fn a_link_gets_media_of_its_own_of_the_span_alone() {
    let room = Room::new().await;
    let id = a_ready_clip(&room).await;
    let of_clip = room.names(id, None).await;
    let link = make_link(&room, id).await;
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    assert!(pipeline.work_once().await.unwrap());
    assert_eq!(media_state(&room, link).await, LinkMediaState::Ready);
    assert_eq!(
        room.names(id, None).await,
        of_clip,
        "the clip's own objects are as they were"
    );
    let names = room.names(id, Some(link)).await;
    assert!(names.contains(&"poster".to_owned()), "{names:?}");
    assert!(
        !names.contains(&"original".to_owned()) && !names.contains(&"source".to_owned()),
        "{names:?}"
    );
    let video = names
        .iter()
        .find(|name| names.contains(&format!("{name}.index")))
        .expect("a rendition");
    let made = room.read(id, Some(link), video).await;
    let told = String::from_utf8_lossy(&made[..100]).into_owned();
    assert!(told.contains("from_ms: 2000") && told.contains("to_ms: 6000"), "{told}");
    room.settle(&pipeline).await;
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn media_of_a_link_that_is_over_are_removed() {
    for revoked in [true, false] {
        let room = Room::new().await;
        let id = a_ready_clip(&room).await;
        let of_clip = room.stored().await;
        let link = make_link(&room, id).await;
        let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
        room.settle(&pipeline).await;
        assert!(room.stored().await.0 > of_clip.0);
        if revoked {
            let mut tx = room.catalog.begin().await.unwrap();
            let now = room.clock.now_ms();
            assert!(tx.revoke_link(room.owner, link, now).await.unwrap());
            tx.commit().await.unwrap();
        } else {
            room.clock.advance(LASTS_MS);
        }
        // The store loses one answer; the next sweep ends what this one began.
        room.faults.arm(1, Fault::LandsAndFails);
        assert!(pipeline.sweep().await.is_err());
        assert!(room.faults.heal());
        pipeline.sweep().await.unwrap();
        assert_eq!(media_state(&room, link).await, LinkMediaState::Removed);
        assert_eq!(room.stored().await, of_clip);
        room.assert_tidy(&[id]).await;
    }
}

#[tokio::test]
async fn media_that_cannot_be_removed_are_not_in_the_way_of_other_links() {
    let room = Room::new().await;
    let id = a_ready_clip(&room).await;
    let of_clip = room.stored().await;
    let (first, second) = (make_link(&room, id).await, make_link(&room, id).await);
    let pipeline = room.pipeline(Arc::new(FakeTranscoder::new())).await;
    room.settle(&pipeline).await;
    // The one that comes first in the walk: both end at the same time, so by its id.
    let (stuck, free) = (first.min(second), first.max(second));
    room.faults.stick(room.objects(id, Some(stuck)).await[0].id);
    room.clock.advance(LASTS_MS);
    assert!(pipeline.sweep().await.is_err(), "it is told");
    assert_eq!(media_state(&room, stuck).await, LinkMediaState::Ready);
    assert_eq!(media_state(&room, free).await, LinkMediaState::Removed);
    room.faults.unstick();
    pipeline.sweep().await.unwrap();
    assert_eq!(media_state(&room, stuck).await, LinkMediaState::Removed);
    assert_eq!(room.stored().await, of_clip);
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_link_that_is_over_before_its_media_are_made_gets_none() {
    let room = Room::new().await;
    let id = a_ready_clip(&room).await;
    let of_clip = room.stored().await;
    let link = make_link(&room, id).await;
    let slow = Arc::new(FakeTranscoder::gated(0));
    let pipeline = room.pipeline(slow.clone()).await;
    let work = tokio::spawn({
        let pipeline = pipeline.clone();
        async move { pipeline.work_once().await }
    });
    crate::queue::until("its media are being made", async || slow.at_work() == 1).await;
    let now = room.clock.now_ms();
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.revoke_link(room.owner, link, now).await.unwrap());
    tx.commit().await.unwrap();
    pipeline.sweep().await.unwrap();
    slow.open(1);
    work.await.unwrap().unwrap();
    room.settle(&pipeline).await;
    assert_eq!(media_state(&room, link).await, LinkMediaState::Removed);
    assert_eq!(room.stored().await, of_clip);
    room.assert_tidy(&[id]).await;
}

#[tokio::test]
async fn a_link_job_whose_store_fails_anywhere_comes_to_the_same_end() {
    let room = Room::new().await;
    let id = a_ready_clip(&room).await;
    let transcoder = Arc::new(FakeTranscoder::new());
    for at in 0.. {
        let link = make_link(&room, id).await;
        let pipeline = room.pipeline(transcoder.clone()).await;
        room.faults.arm(at, Fault::LandsAndFails);
        pipeline.work_once().await.unwrap();
        let was_struck = room.faults.heal();
        room.settle(&pipeline).await;
        assert_eq!(media_state(&room, link).await, LinkMediaState::Ready, "at {at}");
        room.assert_tidy(&[id]).await;
        if !was_struck {
            assert!(at > 8, "only {at} operations were struck");
            return;
        }
    }
}
