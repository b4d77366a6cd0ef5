//! A creation that is repeated leads to what was begun before, and never to anything of another vehicle's.

use dashvault::access::Principal;
use dashvault::catalog::ClipPublication;
use dashvault::ingest::UploadStatus;
use dashvault::model::{ClipId, ClipState, UploadState};
use dashvault::vault::{ClipDetails, Manifest};
use dashvault_keys::digest;
use data_encoding::{BASE64, HEXLOWER};

use crate::room::{Room, START_MS, WEEK_MS, noise, whole};

/// `Upload-Metadata` of these pairs.
fn said(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", BASE64.encode(value.as_bytes())));
    Vec::from_iter(pairs).join(",")
}

fn sum(bytes: &[u8]) -> String {
    HEXLOWER.encode(&digest::sha256(bytes))
}

async fn create(room: &Room, who: &Principal, length: u64, pairs: &[(&str, &str)]) -> UploadStatus {
    let created = room.ingest.create(who, Some(length), Some(&said(pairs))).await;
    created.expect("an upload")
}

/// What the finish job leaves of an upload whose bytes are all there, as far as it is looked for.
async fn finish(room: &Room, id: ClipId, bytes: &[u8], error_code: Option<&str>) {
    let row = room.catalog.upload(id).await.unwrap().unwrap();
    let owner = room.vault.owner_keys(row.owner).await.unwrap();
    let keys = room.vault.make_clip_keys(&owner, id);
    let details = ClipDetails {
        sha256: sum(bytes),
        bytes: bytes.len() as u64,
        ..ClipDetails::default()
    };
    let envelope = room.vault.envelope(&owner, &keys, 1, &Manifest::default()).unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    let publication = ClipPublication {
        id,
        state: error_code.map_or(ClipState::Ready, |_| ClipState::Failed),
        incomplete: false,
        error_code,
        kek_version: 1,
        envelope: &envelope,
        sealed_summary: b"",
        sealed_details: &keys.seal(id.as_bytes(), &details),
        sha256_index: Some(&owner.clip_index(row.device, &digest::sha256(bytes))),
    };
    assert!(tx.publish_clip(&publication, START_MS).await.unwrap());
    assert!(tx.finish_upload(id, START_MS).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_leads_to_the_same_upload_at_every_stage() {
    for room in [Room::new().await, Room::on_postgres().await] {
        goes_every_stage(room).await;
    }
}

async fn goes_every_stage(room: Room) {
    let bytes = noise(1000);
    let sum = sum(&bytes);
    let again = async || create(&room, &room.vehicle, 1000, &[("sha256", &sum)]).await;
    let begun = again().await;
    assert_eq!(begun.offset, 0);
    let second = again().await;
    assert_eq!((second.id, second.offset), (begun.id, 0));
    room.append(begun.id, 0, &bytes[..400]).await.unwrap();
    let third = again().await;
    assert_eq!((third.id, third.offset, third.is_complete()), (begun.id, 400, false));
    room.append(begun.id, 400, &bytes[400..]).await.unwrap();
    let fourth = again().await;
    assert_eq!((fourth.id, fourth.is_complete()), (begun.id, true));
    finish(&room, begun.id, &bytes, None).await;
    let last = again().await;
    assert_eq!((last.id, last.offset, last.length), (begun.id, 1000, Some(1000)));
    assert_eq!(last.sha256, Some(digest::sha256(&bytes)));
    let other = create(&room, &room.vehicle, 999, &[("sha256", &sum)]).await;
    assert_ne!(other.id, begun.id, "another length is another clip");
}

#[tokio::test]
async fn the_same_bytes_of_another_vehicle_or_owner_are_never_found() {
    let room = Room::new().await;
    let bytes = noise(1000);
    let sum = sum(&bytes);
    let pairs = [("sha256", &*sum), ("clip", "drive-1"), ("rendition", "small")];
    let held = create(&room, &room.vehicle, 1000, &pairs).await;
    let named = create(&room, &room.vehicle, 1000, &pairs[1..]).await;
    for finished in [false, true] {
        if finished {
            room.append(held.id, 0, &bytes).await.unwrap();
            finish(&room, held.id, &bytes, None).await;
        }
        let stranger = room.another_vehicle(&room.owner).await;
        let others = [stranger, room.owner.clone()];
        for who in &others {
            for pairs in [&pairs[..], &pairs[1..]] {
                // Nothing of the answer tells it from the answer about a clip that nobody has.
                let asked = room.ingest.create(who, Some(1000), Some(&said(pairs))).await.unwrap();
                let fresh = create(&room, who, 1000, &[("clip", &format!("{:?}", ClipId::random())[..20])]).await;
                assert!(asked.id != held.id && asked.id != named.id);
                let told = UploadStatus { id: fresh.id, ..asked };
                assert_eq!(told, fresh);
            }
        }
    }
    let foreign = room.another_owner().await;
    let foreign = room.another_vehicle(&foreign).await;
    let asked = create(&room, &foreign, 1000, &pairs).await;
    assert!(asked.id != held.id && asked.offset == 0);
}

#[tokio::test]
async fn a_question_about_another_vehicles_clip_goes_the_way_of_one_about_a_clip_that_nobody_has() {
    let room = Room::new().await;
    let bytes = noise(1000);
    let held = create(&room, &room.vehicle, 1000, &[("sha256", &sum(&bytes))]).await;
    room.append(held.id, 0, &bytes).await.unwrap();
    finish(&room, held.id, &bytes, None).await;
    let other = room.another_vehicle(&room.owner).await;
    let Principal::Device(session) = &other else {
        unreachable!()
    };
    // The same questions to the catalogue, of indexes that share nothing with those of the vehicle that holds it.
    let (keys, device) = (
        room.vault.owner_keys(session.owner()).await.unwrap(),
        Some(session.device()),
    );
    let row = room.catalog.clip_any(held.id).await.unwrap().unwrap();
    let mine = keys.clip_indexes(row.device, &digest::sha256(&bytes));
    assert_eq!(row.sha256_index.as_deref(), Some(&mine[0][..]));
    for asked in [digest::sha256(&bytes), digest::sha256(b"nobody's")] {
        let indexes = keys.clip_indexes(device, &asked);
        assert_eq!(indexes.len(), mine.len());
        assert_ne!(indexes, mine);
        let found = room.catalog.clip_of_sha256(session.owner(), &indexes).await.unwrap();
        assert_eq!(found, None);
    }
}

#[tokio::test]
async fn without_a_sum_the_vehicles_name_for_clip_and_rendition_leads_to_the_upload() {
    let room = Room::new().await;
    let small = [("clip", "drive-1"), ("rendition", "small")];
    let full = [("clip", "drive-1"), ("rendition", "full")];
    let begun = create(&room, &room.vehicle, 1000, &small).await;
    assert_eq!(create(&room, &room.vehicle, 1000, &small).await.id, begun.id);
    assert_ne!(create(&room, &room.vehicle, 1000, &full).await.id, begun.id);
    assert_ne!(create(&room, &room.vehicle, 1000, &small[..1]).await.id, begun.id);
    room.append(begun.id, 0, &noise(1000)).await.unwrap();
    finish(&room, begun.id, &noise(1000), None).await;
    let last = create(&room, &room.vehicle, 1000, &small).await;
    assert_eq!((last.id, last.offset), (begun.id, 1000));
    let unsaid = room.ingest.create(&room.vehicle, Some(1000), None).await.unwrap();
    let again = room.ingest.create(&room.vehicle, Some(1000), None).await.unwrap();
    assert_ne!(unsaid.id, again.id, "nothing was said that could be known again");
}

#[tokio::test]
async fn a_named_clip_that_is_finished_is_sent_anew_while_its_key_is_not_to_be_had() {
    for room in [Room::new().await, Room::on_postgres().await] {
        let small = [("clip", "drive-1"), ("rendition", "small")];
        let begun = create(&room, &room.vehicle, 1000, &small).await;
        room.append(begun.id, 0, &noise(1000)).await.unwrap();
        finish(&room, begun.id, &noise(1000), None).await;
        // It has nobody's key yet.
        let other = room.another_node().await;
        room.take_keyring_away();
        let header = said(&small);
        let anew = other.create(&room.vehicle, Some(1000), Some(&header)).await;
        let anew = anew.expect("receiving waits for no key");
        assert!(anew.id != begun.id && anew.offset == 0, "{anew:?}");
        let body = dashvault::ingest::Body::at(0, whole(&noise(1000)));
        let sent = other.append(&room.vehicle, anew.id, body).await.unwrap();
        assert!(sent.is_complete());
        room.bring_keyring_back();
        let last = create(&room, &room.vehicle, 1000, &small).await;
        assert_eq!(last.id, begun.id, "found by its name as before");
    }
}

#[tokio::test]
async fn creations_at_once_on_two_nodes_make_one_upload() {
    let room = Room::on_postgres().await;
    let other = room.another_node().await;
    let sum = sum(b"at once");
    let pairs = [("sha256", &*sum)];
    let header = said(&pairs);
    let here = || room.ingest.create(&room.vehicle, Some(7), Some(&header));
    let there = || other.create(&room.vehicle, Some(7), Some(&header));
    let (one, two, three, four) = tokio::join!(here(), there(), here(), there());
    let ids: Vec<_> = [one, two, three, four]
        .into_iter()
        .map(|made| made.unwrap().id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn what_is_quarantined_lost_or_over_is_sent_anew() {
    let room = Room::new().await;
    let (bytes, declared) = (noise(1000), sum(b"what the vehicle has"));
    let again = async |sum: &str| create(&room, &room.vehicle, 1000, &[("sha256", sum)]).await;
    // The bytes that came are others than were declared: neither their sum nor the declared one leads there.
    let wrong = again(&declared).await;
    room.append(wrong.id, 0, &bytes).await.unwrap();
    finish(&room, wrong.id, &bytes, Some("sha256_mismatch")).await;
    let second = again(&declared).await;
    assert_ne!(second.id, wrong.id);
    assert_ne!(again(&sum(&bytes)).await.id, wrong.id);
    // Lost before it was sealed.
    let lost = again(&sum(b"lost")).await;
    room.append(lost.id, 0, &bytes).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.fail_clip(lost.id, "internal", START_MS).await.unwrap());
    tx.commit().await.unwrap();
    let anew = again(&sum(b"lost")).await;
    assert_ne!(anew.id, lost.id);
    assert_eq!(again(&sum(b"lost")).await.id, anew.id);
    // Ended by its owner.
    room.ingest.terminate(&room.owner, second.id).await.unwrap();
    assert_ne!(again(&declared).await.id, second.id);
}

#[tokio::test]
async fn a_repeated_creation_puts_the_end_off_and_ends_no_request() {
    let room = Room::new().await;
    let sum = sum(b"slow");
    let begun = create(&room, &room.vehicle, 1000, &[("sha256", &sum)]).await;
    let epoch = room.catalog.upload(begun.id).await.unwrap().unwrap().epoch;
    room.clock.advance(WEEK_MS);
    let again = create(&room, &room.vehicle, 1000, &[("sha256", &sum)]).await;
    assert_eq!((again.id, again.expires_at), (begun.id, Some(START_MS + 2 * WEEK_MS)));
    let row = room.catalog.upload(begun.id).await.unwrap().unwrap();
    assert_eq!((row.epoch, row.expires_at), (epoch, START_MS + 2 * WEEK_MS));
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 0);
    assert_eq!(room.state(begun.id).await, UploadState::Open);
}

#[tokio::test]
async fn nothing_of_a_known_clip_stays_in_the_row_once_it_is_finished_or_over() {
    let room = Room::new().await;
    let bytes = noise(1000);
    let sum = sum(&bytes);
    let finished = create(&room, &room.vehicle, 1000, &[("sha256", &sum), ("kind", "event")]).await;
    let Principal::Device(session) = &room.vehicle else {
        unreachable!()
    };
    let about = dashvault::vault::UploadMetadata {
        sha256: Some(sum.clone()),
        ..Default::default()
    };
    let indexes = room
        .vault
        .begun_indexes(session.owner(), Some(session.device()), &about, Some(1000))
        .expect("a system record");
    let found = async || room.catalog.upload_begun(session.owner(), &indexes.all).await.unwrap();
    assert_eq!(
        found().await.map(|row| (row.id, row.is_event)),
        Some((finished.id, true))
    );
    room.append(finished.id, 0, &bytes).await.unwrap();
    finish(&room, finished.id, &bytes, None).await;
    assert_eq!(found().await, None, "from here the owner's key finds it");
    let row = room.catalog.upload(finished.id).await.unwrap().unwrap();
    assert!(!row.is_event && row.sealed_metadata.is_none());
}
