//! Lists held against a plain model: order, cursor, filters, and what another process changed meanwhile.

use std::cmp::Reverse;
use std::sync::Arc;

use dashvault::access::OwnerSession;
use dashvault::library::{Library, LibraryError, ListQuery};
use dashvault::model::{ClipId, ClipState, DeviceId, UnixMs};
use dashvault_test_support::rounds;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::house::{House, NOW, Wish};

/// What the test does to an owner's clips.
#[derive(Debug, Clone)]
enum Step {
    Add {
        recorded: Option<i64>,
        received: i64,
        device: Option<usize>,
    },
    Begin {
        received: i64,
    },
    Trash(Index),
    Restore(Index),
    Erase(Index),
    Forget(Index),
    List(Asked),
}

/// A query, and the number of clips a page.
#[derive(Debug, Clone)]
struct Asked {
    limit: usize,
    from: Option<i64>,
    to: Option<i64>,
    device: Option<usize>,
    trashed: bool,
}

/// What the model knows of a clip.
#[derive(Debug, Clone)]
struct Known {
    id: ClipId,
    at: UnixMs,
    device: Option<DeviceId>,
    state: ClipState,
}

fn step() -> impl Strategy<Value = Step> {
    // Few times and vehicles, so that they meet.
    let time = 0..6_i64;
    let asked = (
        1..5_usize,
        any::<[Option<bool>; 2]>(),
        [time.clone(), time.clone()],
        any::<bool>(),
        0..3_usize,
    )
        .prop_map(|(limit, [from, to], [low, high], trashed, device)| Asked {
            limit,
            from: from.map(|_| low.min(high)),
            to: to.map(|_| low.max(high)),
            device: (device < 2).then_some(device),
            trashed,
        });
    prop_oneof![
        6 => (proptest::option::of(time.clone()), time.clone(), proptest::option::of(0..2_usize))
            .prop_map(|(recorded, received, device)| Step::Add { recorded, received, device }),
        1 => time.prop_map(|received| Step::Begin { received }),
        2 => any::<Index>().prop_map(Step::Trash),
        1 => any::<Index>().prop_map(Step::Restore),
        1 => any::<Index>().prop_map(Step::Erase),
        1 => any::<Index>().prop_map(Step::Forget),
        4 => asked.prop_map(Step::List),
    ]
}

async fn pages(library: &Library, owner: &OwnerSession, query: &ListQuery) -> Vec<ClipId> {
    let (mut ids, mut query) = (Vec::new(), query.clone());
    loop {
        let page = library.list(owner, &query).await.unwrap();
        assert!(page.clips.len() <= query.limit.unwrap());
        assert!(page.next_cursor.is_none() || page.clips.len() == query.limit.unwrap());
        ids.extend(page.clips.iter().map(|clip| clip.id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return ids;
        }
    }
}

fn expected(known: &[Known], query: &ListQuery) -> Vec<ClipId> {
    let mut fit: Vec<_> = known
        .iter()
        .filter(|clip| clip.state != ClipState::Erasing)
        .filter(|clip| (clip.state == ClipState::Trashed) == query.trashed)
        .filter(|clip| query.from.is_none_or(|from| clip.at >= from) && query.to.is_none_or(|to| clip.at <= to))
        .filter(|clip| query.device.is_none() || clip.device == query.device)
        .collect();
    fit.sort_by_key(|clip| Reverse((clip.at, clip.id)));
    fit.into_iter().map(|clip| clip.id).collect()
}

async fn walk(house: &House, owner: &OwnerSession, steps: Vec<Step>) {
    let devices = [DeviceId::random(), DeviceId::random()];
    let other = house.another_library();
    let mut known: Vec<Known> = Vec::new();
    for step in steps {
        let chosen = |index: &Index| (!known.is_empty()).then(|| index.index(known.len()));
        match step {
            Step::Add {
                recorded,
                received,
                device,
            } => {
                let wish = Wish {
                    received_at: NOW + received,
                    recorded_at: recorded.map(|at| NOW + at),
                    device: device.map(|n| devices[n]),
                    ..Wish::default()
                };
                known.push(Known {
                    id: house.clip(owner, &wish, ClipState::Ready, &[]).await,
                    at: NOW + recorded.unwrap_or(received),
                    device: wish.device,
                    state: ClipState::Ready,
                });
            }
            Step::Begin { received } => {
                let wish = Wish {
                    received_at: NOW + received,
                    ..Wish::default()
                };
                known.push(Known {
                    id: house.begun(owner, &wish).await,
                    at: NOW + received,
                    device: None,
                    state: ClipState::Uploading,
                });
            }
            Step::Trash(index) => {
                let Some(clip) = chosen(&index).map(|n| &mut known[n]) else {
                    continue;
                };
                let answer = other.trash(owner, clip.id).await;
                if clip.state == ClipState::Ready {
                    clip.state = answer.unwrap().unwrap().state;
                    assert_eq!(clip.state, ClipState::Trashed);
                }
            }
            Step::Restore(index) => {
                let Some(clip) = chosen(&index).map(|n| &mut known[n]) else {
                    continue;
                };
                let answer = other.restore(owner, clip.id).await;
                if clip.state == ClipState::Trashed {
                    clip.state = answer.unwrap().unwrap().state;
                    assert_eq!(clip.state, ClipState::Ready);
                } else {
                    assert!(matches!(answer, Err(LibraryError::WrongState { .. })));
                }
            }
            Step::Erase(index) => {
                let Some(clip) = chosen(&index).map(|n| &mut known[n]) else {
                    continue;
                };
                let view = other.erase_now(owner, clip.id).await.unwrap().unwrap();
                assert_eq!(view.state, ClipState::Erasing);
                clip.state = view.state;
            }
            Step::Forget(index) => {
                let Some(n) = chosen(&index).filter(|n| known[*n].state == ClipState::Erasing) else {
                    continue;
                };
                let mut tx = house.catalog.begin().await.unwrap();
                tx.delete_links_of(known[n].id).await.unwrap();
                assert!(tx.delete_clip(known[n].id).await.unwrap());
                tx.commit().await.unwrap();
                known.remove(n);
            }
            Step::List(asked) => {
                let query = ListQuery {
                    limit: Some(asked.limit),
                    cursor: None,
                    from: asked.from.map(|at| NOW + at),
                    to: asked.to.map(|at| NOW + at),
                    device: asked.device.map(|n| devices[n]),
                    trashed: asked.trashed,
                };
                let want = expected(&known, &query);
                assert_eq!(
                    pages(&house.library, owner, &query).await,
                    want,
                    "{query:?} of {known:?}"
                );
                assert_eq!(pages(&other, owner, &query).await, want, "the other process: {query:?}");
            }
        }
    }
}

#[test]
fn a_list_is_what_a_plain_model_says_whatever_happened_before() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let house = Arc::new(runtime.block_on(House::new()));
    let config = Config {
        cases: rounds("lists against a model", 24, 1_000),
        ..Config::default()
    };
    let number = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&proptest::collection::vec(step(), 1..40), |steps| {
            number.set(number.get() + 1);
            runtime.block_on(async {
                let owner = house.owner(&format!("owner{}@example.org", number.get())).await;
                walk(&house, &owner, steps).await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_clip_that_came_with_the_times_of_one_that_went_is_listed() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let gone = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    let query = ListQuery {
        limit: Some(10),
        ..ListQuery::default()
    };
    assert_eq!(pages(&house.library, &owner, &query).await, [gone]);
    let changed_at = house.catalog.clip_any(gone).await.unwrap().unwrap().updated_at;
    house.another_library().erase_now(&owner, gone).await.unwrap();
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.delete_clip(gone).await.unwrap());
    tx.commit().await.unwrap();
    let wish = Wish {
        received_at: changed_at,
        ..Wish::default()
    };
    let came = house.begun(&owner, &wish).await;
    let row = house.catalog.clip_any(came).await.unwrap().unwrap();
    assert_eq!(row.updated_at, changed_at, "one clip, with the very times of the other");
    assert_eq!(pages(&house.library, &owner, &query).await, [came]);
}

#[tokio::test]
async fn many_clips_are_listed_by_pages_newest_first() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    house.many(&owner, 1_234).await;
    let mut query = ListQuery {
        limit: Some(1_000),
        ..ListQuery::default()
    };
    let mut times = Vec::new();
    loop {
        let page = house.library.list(&owner, &query).await.unwrap();
        assert!(page.clips.len() <= 100, "a page has a limit of its own");
        times.extend(page.clips.iter().map(|clip| clip.recorded_at.unwrap().0));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    let want: Vec<_> = (0..1_234).map(|minute| NOW - minute * 60_000).collect();
    assert_eq!(times, want);
}

#[tokio::test]
async fn a_cursor_goes_on_where_its_clip_was_even_when_that_is_gone() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let mut ids = Vec::new();
    for at in 0..4 {
        let wish = Wish {
            recorded_at: Some(NOW - at),
            ..Wish::default()
        };
        ids.push(house.clip(&owner, &wish, ClipState::Ready, &[]).await);
    }
    let mut query = ListQuery {
        limit: Some(2),
        ..ListQuery::default()
    };
    let page = house.library.list(&owner, &query).await.unwrap();
    house.library.erase_now(&owner, ids[1]).await.unwrap();
    query.cursor = page.next_cursor;
    assert_eq!(pages(&house.library, &owner, &query).await, ids[2..]);
}

#[tokio::test]
async fn a_cursor_tells_nothing_and_is_good_for_its_owner_alone() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    for _ in 0..2 {
        house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    }
    let mut query = ListQuery {
        limit: Some(1),
        ..ListQuery::default()
    };
    let once = house.library.list(&owner, &query).await.unwrap().next_cursor.unwrap();
    let twice = house.library.list(&owner, &query).await.unwrap().next_cursor.unwrap();
    assert_ne!(once, twice, "sealed anew each time");
    let mut bent = once.clone().into_bytes();
    bent[60] = if bent[60] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    for (session, cursor) in [
        (&other, once.as_str()),
        (&owner, "AAAA"),
        (&owner, "not a cursor"),
        (&owner, &bent),
    ] {
        query.cursor = Some(cursor.to_owned());
        let refused = house.library.list(session, &query).await;
        assert!(matches!(refused, Err(LibraryError::Cursor)), "{cursor}");
    }
}

#[tokio::test]
async fn one_damaged_row_does_not_hide_the_other_clips() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let good = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    // Its envelope is another clip's: what an old backup of one row would bring.
    let foreign = house.catalog.clip_any(good).await.unwrap().unwrap();
    let bad = house.begun(&owner, &Wish::default()).await;
    let mut tx = house.catalog.begin().await.unwrap();
    tx.set_clip_state(bad, &[ClipState::Uploading], ClipState::Queued, NOW)
        .await
        .unwrap();
    let publication = dashvault::catalog::ClipPublication {
        id: bad,
        state: ClipState::Ready,
        incomplete: false,
        error_code: None,
        kek_version: 1,
        envelope: foreign.envelope.as_deref().unwrap(),
        sealed_summary: foreign.sealed_summary.as_deref().unwrap(),
        sealed_details: foreign.sealed_details.as_deref().unwrap(),
        sha256_index: None,
    };
    assert!(tx.publish_clip(&publication, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let page = house.library.list(&owner, &ListQuery::default()).await.unwrap();
    assert_eq!(page.clips.len(), 2);
    for clip in page.clips {
        let code = clip.error.map(|error| error.code);
        assert_eq!(code.as_deref(), (clip.id == bad).then_some("damaged"));
        assert_eq!(clip.sha256.is_some(), clip.id == good);
    }
}
