//! What an owner sees of one clip, and of the account.

use dashvault::catalog::{NewUpload, UploadStep, UploadTraits};
use dashvault::library::ListQuery;
use dashvault::model::{ClipId, ClipState, DeviceId, ObjectKind};
use serde_json::json;

use crate::house::{House, NOW, SHA256, Thing, Wish};
use crate::rendition::a_rendition;

#[tokio::test]
async fn a_ready_clip_has_the_shape_that_the_outside_face_promises() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let device = DeviceId::random();
    let wish = Wish {
        received_at: NOW - 1_000,
        recorded_at: Some(NOW - 60_000),
        device: Some(device),
        filename: Some("GH01\u{201c}0001.MP4".to_owned()),
        ..Wish::default()
    };
    let (bytes, index) = a_rendition(3, 500);
    let encoded = index.to_bytes();
    let thing = |kind, name, bytes| Thing { kind, name, bytes };
    let things = [
        thing(ObjectKind::Video, "original", &[1; 1_234][..]),
        thing(ObjectKind::Video, "360p", &bytes),
        thing(ObjectKind::Index, "360p.index", &encoded),
        thing(ObjectKind::Video, "720p", &bytes),
        thing(ObjectKind::Index, "720p.index", &encoded),
        thing(ObjectKind::Video, "1080p", b"its index was never made"),
        thing(ObjectKind::Image, "poster", b"a jpeg"),
    ];
    let id = house.clip(&owner, &wish, ClipState::Ready, &things).await;
    let view = house.library.clip(&owner, id).await.unwrap().unwrap();
    let rendition = |name, height| json!({"name": name, "width": 192, "height": height, "codec": "avc1.64000c", "bytes": bytes.len()});
    assert_eq!(
        serde_json::to_value(&view).unwrap(),
        json!({
            "id": id.to_string(),
            "state": "ready",
            "progress": 1.0,
            "incomplete": false,
            "recorded_at": "2026-09-21T14:12:20.000Z",
            "received_at": "2026-09-21T14:13:19.000Z",
            "duration_ms": 5_000,
            "bytes": 1_234,
            "sha256": SHA256,
            "device_id": device.to_string(),
            "filename": "GH01\u{201c}0001.MP4",
            "camera": "front",
            "kind": "event",
            "renditions": [rendition("720p", 720), rendition("360p", 360)],
            "has_audio": true,
            "has_track": false,
            "error": null,
            "erase_at": null,
            "held": false,
        })
    );
}

#[tokio::test]
async fn an_upload_under_way_tells_how_much_arrived() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house.begun(&owner, &Wish::default()).await;
    let mut tx = house.catalog.begin().await.unwrap();
    let upload = NewUpload {
        id,
        tenant: house.vault.tenant(),
        owner: owner.owner(),
        device: None,
        length: Some(4_000),
        sealed_metadata: vec![1],
        expires_at: NOW + 1_000,
        created_at: NOW,
        traits: UploadTraits::default(),
    };
    tx.insert_upload(&upload).await.unwrap();
    let epoch = tx.fence_upload(id, NOW + 1_000).await.unwrap().unwrap().epoch;
    let step = UploadStep {
        id,
        epoch,
        from: 0,
        to: 1_000,
        expires_at: NOW + 1_000,
    };
    assert!(tx.advance_upload(&step, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let view = house.library.clip(&owner, id).await.unwrap().unwrap();
    assert_eq!((view.state, view.progress), (ClipState::Uploading, 0.25));
    assert_eq!((view.bytes, view.sha256, view.recorded_at), (Some(4_000), None, None));
}

#[tokio::test]
async fn a_failed_clip_says_why_and_the_word_stays_the_same_for_programs() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house.clip(&owner, &Wish::default(), ClipState::Failed, &[]).await;
    let view = house.library.clip(&owner, id).await.unwrap().unwrap();
    let error = serde_json::to_value(view.error).unwrap();
    assert_eq!(error, json!({"code": "no_video", "detail": "it has no picture"}));
    assert_eq!((view.state, view.sha256.as_deref()), (ClipState::Failed, Some(SHA256)));
}

#[tokio::test]
async fn a_clip_that_came_with_other_bytes_than_declared_stands_in_no_list_and_is_its_owners_by_id() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let other_bytes = Wish {
        error: Some("sha256_mismatch"),
        ..Wish::default()
    };
    let apart = house.clip(&owner, &other_bytes, ClipState::Failed, &[]).await;
    let failed = house.clip(&owner, &Wish::default(), ClipState::Failed, &[]).await;
    let ready = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    let page = house.library.list(&owner, &ListQuery::default()).await.unwrap();
    let mut listed: Vec<_> = page.clips.iter().map(|clip| clip.id).collect();
    let mut expected = vec![failed, ready];
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    let view = house.library.clip(&owner, apart).await.unwrap().unwrap();
    assert_eq!(view.state, ClipState::Failed);
}

#[tokio::test]
async fn another_owner_s_clip_is_not_there() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    assert!(house.library.clip(&other, id).await.unwrap().is_none());
    assert!(house.library.trash(&other, id).await.unwrap().is_none());
    assert!(house.library.restore(&other, id).await.unwrap().is_none());
    assert!(house.library.erase_now(&other, id).await.unwrap().is_none());
    assert!(house.library.clip(&owner, ClipId::random()).await.unwrap().is_none());
    let view = house.library.clip(&owner, id).await.unwrap().unwrap();
    assert_eq!(
        view.state,
        ClipState::Ready,
        "nothing of the other's tries did anything"
    );
}

#[tokio::test]
async fn an_account_counts_clips_and_stored_bytes() {
    let house = House::new().await;
    let owner = house.owner("Mia@Example.org").await;
    let me = house.library.me(&owner).await.unwrap();
    assert_eq!((me.clips, me.storage_bytes, me.owner_id), (0, 0, owner.owner()));
    assert!(me.email.eq_ignore_ascii_case("mia@example.org"), "another address");
    let original = Thing {
        kind: ObjectKind::Video,
        name: "original",
        bytes: &[1; 300_000],
    };
    house
        .clip(&owner, &Wish::default(), ClipState::Ready, &[original])
        .await;
    let me = house.library.me(&owner).await.unwrap();
    assert_eq!(me.clips, 1);
    assert!(me.storage_bytes >= 300_000, "{} bytes", me.storage_bytes);
}
