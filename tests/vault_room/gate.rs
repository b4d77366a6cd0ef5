//! The write gate: what the watch's verdict keeps out of the buckets, and what it never touches.

use dashvault::catalog::{NewVerdict, Opening};
use dashvault::model::{Bucket, ObjectKind, Verdict};
use dashvault::vault::{GateRule, Vault, VaultError};

use crate::room::{MINUTE, Room, holder, put_piece};

const BUCKETS: [Bucket; 3] = [Bucket::Data, Bucket::Staging, Bucket::KeyPlane];

async fn say(room: &Room, bucket: Bucket, verdict: Verdict) {
    let way = Opening {
        form: "path-style".to_owned(),
        probe: "list-v2".to_owned(),
        object: None,
    };
    let told = NewVerdict {
        bucket,
        verdict,
        reason: "as the test says".to_owned(),
        openings: (verdict == Verdict::Exposed).then_some(way).into_iter().collect(),
        is_whole: verdict != Verdict::Unknown,
        watcher: "test".to_owned(),
    };
    use dashvault::model::Clock as _;
    let now = room.clock.now_ms();
    let mut tx = room.catalog.begin().await.unwrap();
    tx.set_verdict(&told, now).await.unwrap();
    tx.commit().await.unwrap();
    // The gate keeps what it knows for ten seconds.
    room.clock.advance(10_000);
}

async fn gated(room: &Room) -> Vault {
    room.second_process().await.gated(GateRule::Enforce)
}

fn is_withheld<T>(done: &Result<T, VaultError>) -> bool {
    matches!(done, Err(VaultError::Withheld { .. }))
}

#[tokio::test]
async fn no_clip_is_sealed_before_the_watch_has_looked_nor_while_a_bucket_is_open() {
    let room = Room::new().await;
    let vault = gated(&room).await;
    let keys = room.new_clip("gate").await;
    let begun = async || {
        vault
            .create_object(&keys, ObjectKind::Video, "original", holder())
            .await
            .map(drop)
    };
    assert!(is_withheld(&begun().await), "nobody looked yet");
    room.clock.advance(10_000);
    for bucket in BUCKETS {
        assert!(
            is_withheld(&vault.may_take_clips().await),
            "{bucket} is not looked at yet"
        );
        say(&room, bucket, Verdict::Private).await;
    }
    begun().await.expect("every bucket is private");
    for bucket in BUCKETS {
        say(&room, bucket, Verdict::Exposed).await;
        assert!(is_withheld(&vault.may_take_clips().await), "{bucket}");
        // Not shut by being asked without an answer.
        say(&room, bucket, Verdict::Unknown).await;
        assert!(is_withheld(&vault.may_take_clips().await), "{bucket}");
        say(&room, bucket, Verdict::Private).await;
        vault.may_take_clips().await.expect("it is shut again");
    }
    say(&room, Bucket::Data, Verdict::Exposed).await;
    let before = room.data.names().await;
    assert!(is_withheld(&begun().await));
    assert_eq!(room.data.names().await, before, "nothing came, and nothing was deleted");
}

#[tokio::test]
async fn an_open_staging_bucket_gets_no_piece() {
    let room = Room::new().await;
    let vault = gated(&room).await;
    for bucket in BUCKETS {
        say(&room, bucket, Verdict::Private).await;
    }
    let owner = room.owner("piece").await;
    let clip = dashvault::model::ClipId::random();
    let key = vault.make_upload_key(clip).unwrap();
    let names = [room.piece_name(clip).await, room.piece_name(clip).await];
    put_piece(&vault, &key, owner, (names[0], 0), b"bytes").await.unwrap();
    say(&room, Bucket::Staging, Verdict::Exposed).await;
    let put = put_piece(&vault, &key, owner, (names[1], 5), b"bytes").await;
    assert!(is_withheld(&put));
    assert_eq!(room.staging.names().await.len(), 1);
}

#[tokio::test]
async fn a_proof_lasts_a_day_and_alert_only_lets_all_pass() {
    let room = Room::new().await;
    let (vault, lenient) = (
        gated(&room).await,
        room.second_process().await.gated(GateRule::AlertOnly),
    );
    for bucket in BUCKETS {
        say(&room, bucket, Verdict::Private).await;
    }
    vault.may_take_clips().await.expect("proven a moment ago");
    room.clock.advance(24 * 60 * MINUTE);
    assert!(is_withheld(&vault.may_take_clips().await));
    lenient.may_take_clips().await.expect("it only warns");
}

#[tokio::test]
async fn an_open_bucket_is_read_and_erased_from_as_ever() {
    let room = Room::new().await;
    let owner = room.owner("reader").await;
    let keys = room.ready_clip(&room.keys(owner).await).await;
    let vault = gated(&room).await;
    for bucket in BUCKETS {
        say(&room, bucket, Verdict::Exposed).await;
    }
    let keys = vault
        .read_clip_keys(owner, keys.clip())
        .await
        .unwrap()
        .expect("its keys");
    let objects = vault.objects(&keys, None).await.unwrap();
    let ids: Vec<_> = objects.iter().map(|object| object.id).collect();
    assert_eq!(ids.len(), 1);
    vault.remove_objects(&ids).await.unwrap();
    assert_eq!(room.data.names().await, Vec::<String>::new());
}
