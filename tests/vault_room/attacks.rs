//! What somebody who can write the bucket or the database may try: nothing of it releases a byte.

use dashvault::model::ByteRange;
use dashvault::vault::{ClipKeys, ClipSummary, DeviceAbout, PairingAbout, StoredObject, VaultError};
use futures_util::StreamExt as _;

use crate::{Room, name, plain};

/// Bytes that left before the stream ended or failed, and whether it failed as damaged.
async fn leaked(room: &Room, keys: &ClipKeys, object: &StoredObject) -> (usize, bool) {
    let mut stream = Box::pin(room.vault.read(keys, object, ByteRange::whole(object.about.length)));
    let mut bytes = 0;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len(),
            Err(VaultError::Damaged { object: id, clip }) => return (bytes, id == object.id && clip == keys.clip()),
            Err(other) => panic!("{other:?}"),
        }
    }
    (bytes, false)
}

const REFUSED: (usize, bool) = (0, true);

#[tokio::test]
async fn two_objects_that_changed_places_are_refused() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let one = room.published(&keys, "1080p", &plain(300_000)).await;
    let two = room.published(&keys, "720p", &plain(300_000)).await;
    assert_eq!(one.size_bytes, two.size_bytes, "or the size alone gives it away");
    let (first, second) = (
        room.data.object(&name(one.id)).await,
        room.data.object(&name(two.id)).await,
    );
    room.data.replace(&name(one.id), second).await;
    room.data.replace(&name(two.id), first).await;
    assert_eq!(leaked(&room, &keys, &one).await, REFUSED);
    assert_eq!(leaked(&room, &keys, &two).await, REFUSED);
}

#[tokio::test]
async fn rows_that_changed_places_are_refused() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let one = room.published(&keys, "1080p", &plain(300_000)).await;
    let two = room.published(&keys, "720p", &plain(300_000)).await;
    // The whole row of one object under the other's id, as an attacker in the database would write it.
    let moved = StoredObject {
        id: two.id,
        ..one.clone()
    };
    assert_eq!(leaked(&room, &keys, &moved).await, REFUSED);
    let other_rendition = StoredObject {
        about: two.about.clone(),
        ..one.clone()
    };
    assert_eq!(leaked(&room, &keys, &other_rendition).await, REFUSED);
    let mut other_kind = one.clone();
    other_kind.about.kind = 2;
    assert_eq!(leaked(&room, &keys, &other_kind).await, REFUSED);
}

#[tokio::test]
async fn another_owners_or_clips_keys_open_nothing() {
    let room = Room::new().await;
    let annas = room.owner("anna").await;
    let annas = room.keys(annas).await;
    let keys = room.clip(&annas).await;
    let object = room.published(&keys, "original", &plain(1000)).await;
    let other_clip = room.clip(&annas).await;
    let other_owner = room.new_clip("bert").await;
    for wrong in [other_clip, other_owner] {
        assert_eq!(leaked(&room, &wrong, &object).await, REFUSED);
    }
    assert_eq!(leaked(&room, &keys, &object).await, (1000, false));
}

#[tokio::test]
async fn an_object_of_another_size_is_refused_before_a_byte_leaves() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "1080p", &plain(3_000_000)).await;
    let whole = room.data.object(&name(object.id)).await;
    let longer = [&whole[..], b"x"].concat();
    let without_last_segment = whole.slice(..whole.len() - 100_000);
    for changed in [longer.into(), without_last_segment] {
        room.data.replace(&name(object.id), changed).await;
        assert_eq!(leaked(&room, &keys, &object).await, REFUSED);
        // Not even of a range that lies in front of what is wrong.
        let front = ByteRange { start: 0, end: 10 };
        let first = Box::pin(room.vault.read(&keys, &object, front)).next().await;
        assert!(matches!(first, Some(Err(VaultError::Damaged { .. }))));
    }
}

#[tokio::test]
async fn a_row_bent_to_fit_a_cut_object_is_refused() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "1080p", &plain(3_000_000)).await;
    let whole = room.data.object(&name(object.id)).await;
    // The first two segments as if they were all, and a row that says so.
    let padded_size = (256 << 10) - 56 + (256 << 10) - 16;
    let size_bytes = 128 + padded_size + 32;
    room.data
        .replace(&name(object.id), whole.slice(..size_bytes as usize))
        .await;
    let mut bent = StoredObject {
        padded_size,
        size_bytes,
        ..object
    };
    bent.about.length = padded_size;
    assert_eq!(leaked(&room, &keys, &bent).await, REFUSED);
}

#[tokio::test]
async fn a_flipped_bit_stops_the_stream_at_its_segment() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let bytes = plain(6_000_000);
    let object = room.published(&keys, "1080p", &bytes).await;
    let mut changed = room.data.object(&name(object.id)).await.to_vec();
    changed[4_000_000] ^= 1;
    room.data.replace(&name(object.id), changed).await;
    let (leaked, damaged) = leaked(&room, &keys, &object).await;
    assert!(damaged && leaked < 4_000_000, "{leaked}");
}

#[tokio::test]
async fn a_weaker_suite_in_the_row_is_refused() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "1080p", &plain(1000)).await;
    for suite in [0, 2] {
        let weaker = StoredObject {
            suite,
            ..object.clone()
        };
        assert_eq!(leaked(&room, &keys, &weaker).await, REFUSED);
    }
}

#[tokio::test]
async fn a_field_opens_only_in_its_own_row_column_and_table() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let (here, there) = ([1; 16], [2; 16]);
    let about = DeviceAbout {
        label: "the red van".to_owned(),
        ..DeviceAbout::default()
    };
    let sealed = keys.seal(&here, &about);
    assert_eq!(keys.open::<DeviceAbout>(&here, &sealed).unwrap(), about);
    assert!(keys.open::<DeviceAbout>(&there, &sealed).is_err(), "another row");
    assert!(keys.open::<PairingAbout>(&here, &sealed).is_err(), "another table");
    let other = room.owner("bert").await;
    let other = room.keys(other).await;
    assert!(other.open::<DeviceAbout>(&here, &sealed).is_err(), "another owner");
}

#[tokio::test]
async fn a_summary_of_another_clip_is_refused() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let owner = room.keys(owner).await;
    let (one, two) = (room.clip(&owner).await, room.clip(&owner).await);
    let sealed = one.seal(one.clip().as_bytes(), &ClipSummary::default());
    let refused = two.open::<ClipSummary>(two.clip().as_bytes(), &sealed);
    assert!(matches!(
        refused,
        Err(VaultError::DamagedRow {
            table: "clips",
            column: "sealed_summary"
        })
    ));
    assert!(one.open::<ClipSummary>(one.clip().as_bytes(), &sealed).is_ok());
}

#[tokio::test]
async fn an_envelope_opens_only_for_its_own_clip_and_owner() {
    let room = Room::new().await;
    let (anna, bert) = (room.owner("anna").await, room.owner("bert").await);
    let (anna, bert) = (room.keys(anna).await, room.keys(bert).await);
    let clip = room.clip(&anna).await;
    let envelope = room.envelope(&anna, &clip);
    let opened = room.vault.clip_keys(&anna, clip.clip(), &envelope, 0).unwrap();
    // The same DEK: what one seals the other opens.
    let sealed = clip.seal(&[1; 16], &ClipSummary::default());
    assert!(opened.open::<ClipSummary>(&[1; 16], &sealed).is_ok());
    let other = room.clip(&anna).await;
    assert!(
        room.vault.clip_keys(&anna, other.clip(), &envelope, 0).is_err(),
        "another clip"
    );
    assert!(
        room.vault.clip_keys(&bert, clip.clip(), &envelope, 0).is_err(),
        "another owner"
    );
    for at in 0..envelope.len() {
        // The manifest is under the DEK and is not opened here; everything before it is.
        if at >= 188 {
            break;
        }
        let mut changed = envelope.clone();
        changed[at] ^= 1;
        assert!(
            room.vault.clip_keys(&anna, clip.clip(), &changed, 0).is_err(),
            "byte {at}"
        );
    }
}
