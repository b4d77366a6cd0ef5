//! What an owner and a vehicle may keep: refused at the beginning, counted where it is added, so that no race gets more in.

use dashvault::access::Principal;
use dashvault::ingest::{Body, Config, IngestError, Quota, Quotas, UploadEnd};
use dashvault::model::ClipId;
use futures_util::future::join_all;

use crate::room::{Room, noise, whole};

fn with(quotas: Quotas) -> Config {
    Config {
        quotas,
        ..Config::default()
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_when_it_begins_and_what_was_let_in_fits_to_its_end() {
    let room = Room::with(with(Quotas {
        bytes: Some(10_000),
        ..Quotas::default()
    }))
    .await;
    let first = room.begin(6_000).await;
    for length in [4_001, 1 << 30] {
        let refused = room.ingest.create(&room.vehicle, Some(length), None).await;
        let quota = Quota::OwnerBytes;
        assert!(
            matches!(refused, Err(IngestError::OverQuota { quota: q, limit: 10_000 }) if q == quota),
            "{refused:?}"
        );
    }
    let second = room.begin(4_000).await;
    // An owner has one quota, whoever sends.
    let refused = room.ingest.create(&room.owner, Some(1), None).await;
    assert!(matches!(refused, Err(IngestError::OverQuota { .. })), "{refused:?}");
    for (id, length) in [(first, 6_000), (second, 4_000)] {
        let status = room.append(id, 0, &noise(length)).await.expect("it was let in");
        assert_eq!(status.offset, length as u64);
    }
    // Another owner is another account.
    let other = room.another_owner().await;
    room.ingest
        .create(&other, Some(10_000), None)
        .await
        .expect("room of its own");
}

#[tokio::test]
async fn what_is_ended_makes_room_and_a_vehicles_quota_is_its_own() {
    let room = Room::with(with(Quotas {
        clips_each: Some(2),
        ..Quotas::default()
    }))
    .await;
    let first = room.begin(10).await;
    room.begin(10).await;
    let refused = room.ingest.create(&room.vehicle, Some(10), None).await;
    assert!(
        matches!(
            refused,
            Err(IngestError::OverQuota {
                quota: Quota::VehicleClips,
                limit: 2
            })
        ),
        "{refused:?}"
    );
    let sister = room.another_vehicle(&room.owner).await;
    room.ingest
        .create(&sister, Some(10), None)
        .await
        .expect("another vehicle");
    room.ingest
        .create(&room.owner, Some(10), None)
        .await
        .expect("the owner's app");
    let Principal::Owner(session) = &room.owner else {
        panic!("an owner")
    };
    let usage = room.ingest.usage(session).await.unwrap();
    assert_eq!((usage.kept.clips, usage.kept.bytes, usage.open_uploads), (4, 40, 4));
    assert_eq!(usage.by_device.len(), 3);
    assert_eq!(usage.quotas.clips_each, Some(2));
    room.ingest.terminate(&room.owner, first).await.unwrap();
    let usage = room.ingest.usage(session).await.unwrap();
    assert_eq!((usage.kept.bytes, usage.open_uploads), (30, 3));
}

#[tokio::test]
async fn an_owners_own_quota_goes_before_everybodys() {
    let room = Room::with(with(Quotas {
        bytes: Some(100),
        clips: Some(5),
        ..Quotas::default()
    }))
    .await;
    let Principal::Owner(session) = &room.owner else {
        panic!("an owner")
    };
    let own = Quotas {
        bytes: Some(1_000),
        ..Quotas::default()
    };
    room.access.set_quotas(session.owner(), own).await.unwrap();
    room.begin(900).await;
    let refused = room.ingest.create(&room.vehicle, Some(101), None).await;
    assert!(
        matches!(refused, Err(IngestError::OverQuota { limit: 1_000, .. })),
        "{refused:?}"
    );
    let usage = room.ingest.usage(session).await.unwrap();
    assert_eq!((usage.quotas.bytes, usage.quotas.clips), (Some(1_000), Some(5)));
    room.access
        .set_quotas(session.owner(), Quotas::default())
        .await
        .unwrap();
    let refused = room.ingest.create(&room.vehicle, Some(1), None).await;
    assert!(
        matches!(refused, Err(IngestError::OverQuota { limit: 100, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn creations_at_once_on_two_nodes_get_no_more_in() {
    let quotas = Quotas {
        bytes: Some(10_000),
        ..Quotas::default()
    };
    for room in [
        Room::with(with(quotas)).await,
        Room::on_postgres_with(with(quotas)).await,
    ] {
        let other = room.another_node().await;
        let tries = (0..20).map(|n| {
            let ingest = if n % 2 == 0 { &room.ingest } else { &other };
            ingest.create(&room.vehicle, Some(1_500), None)
        });
        let begun = join_all(tries).await;
        let let_in = begun.iter().filter(|one| one.is_ok()).count();
        assert_eq!(let_in, 6, "{begun:?}");
        let Principal::Owner(session) = &room.owner else {
            panic!("an owner")
        };
        assert_eq!(room.ingest.usage(session).await.unwrap().kept.bytes, 9_000);
    }
}

#[tokio::test]
async fn parts_count_as_a_clip_when_they_are_joined_and_their_bytes_when_they_begin() {
    let room = Room::with(with(Quotas {
        bytes: Some(1_000),
        clips: Some(2),
        ..Quotas::default()
    }))
    .await;
    let part = async |length: usize| {
        let begun = room.ingest.create_partial(&room.vehicle, Some(length as u64), None);
        let id = begun.await?.id;
        room.append(id, 0, &noise(length)).await.map(|_| id)
    };
    let join = async |parts: &[ClipId]| room.ingest.join(&room.vehicle, parts, None).await;
    // Parts are no clips: any number of them may lie there.
    let (one, two) = (part(300).await.unwrap(), part(300).await.unwrap());
    let (three, four) = (part(300).await.unwrap(), part(100).await.unwrap());
    let refused = part(1).await;
    let over = |error: &IngestError, which, most| matches!(error, IngestError::OverQuota { quota, limit } if (*quota, *limit) == (which, most));
    assert!(over(&refused.unwrap_err(), Quota::OwnerBytes, 1_000));
    // Joining takes no byte more, so that full bytes do not keep it from being a clip.
    let made = join(&[one, two]).await.expect("the first clip").id;
    join(&[three]).await.expect("the second clip");
    let refused = join(&[four]).await;
    assert!(over(&refused.unwrap_err(), Quota::OwnerClips, 2));
    assert_eq!(room.offset(four).await, 100, "a refusal changes nothing");
    let again = join(&[one, two]).await.expect("the answer was lost");
    assert_eq!(again.id, made, "and it is no further clip");
    let Principal::Owner(session) = &room.owner else {
        panic!("an owner")
    };
    let more = Quotas {
        clips: Some(3),
        ..Quotas::default()
    };
    room.access.set_quotas(session.owner(), more).await.unwrap();
    join(&[four]).await.expect("more is allowed");
    let usage = room.ingest.usage(session).await.unwrap();
    assert_eq!((usage.kept.clips, usage.kept.bytes), (3, 1_000));
}

#[tokio::test]
async fn an_upload_without_a_length_ends_where_the_quota_does() {
    let room = Room::with(with(Quotas {
        bytes: Some(5_000),
        ..Quotas::default()
    }))
    .await;
    let begun = room.ingest.create(&room.vehicle, None, None).await.unwrap();
    let append = async |offset: u64, length: usize, end: UploadEnd| {
        let body = Body {
            announced_bytes: Some(length as u64),
            end,
            ..Body::at(offset, whole(&noise(length)))
        };
        room.ingest.append(&room.vehicle, begun.id, body).await
    };
    assert_eq!(append(0, 4_000, UploadEnd::Unsaid).await.unwrap().offset, 4_000);
    for end in [UploadEnd::Unsaid, UploadEnd::At(5_001), UploadEnd::WithBody] {
        let refused = append(4_000, 1_001, end).await;
        assert!(
            matches!(refused, Err(IngestError::OverQuota { limit: 5_000, .. })),
            "{refused:?}"
        );
    }
    let last = append(4_000, 1_000, UploadEnd::WithBody).await.unwrap();
    assert_eq!((last.offset, last.length), (5_000, Some(5_000)));
    let refused = room.ingest.create(&room.vehicle, None, None).await;
    assert!(matches!(refused, Err(IngestError::OverQuota { .. })), "{refused:?}");
}
