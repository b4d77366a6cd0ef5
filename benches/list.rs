//! The list of an owner with 10,000 clips against that of one with 10: first pages of 24, warm and cold told apart.
//!
//! Warm is what a page of the app asks for all day: the owner's index is in memory and one statement says that nothing has
//! changed. Cold is the first list after a start, when every summary is opened. Both run on SQLite, without HTTP.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dashvault::access::OwnerSession;
use dashvault::library::{Library, ListQuery};

#[expect(dead_code, reason = "the bench needs only a part of the tests' house")]
#[path = "../tests/library_room/house.rs"]
mod house;

use house::House;

const MANY: i64 = 10_000;
const FEW: i64 = 10;
const ROUNDS: usize = 9;
/// Lists of one warm round: one alone is too short to measure.
const LISTS: u32 = 40;
const AIM: f64 = 3.0;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(bench())
}

async fn bench() -> ExitCode {
    let house = House::new().await;
    let (many, few) = (
        house.owner("many@example.org").await,
        house.owner("few@example.org").await,
    );
    house.many(&many, MANY).await;
    house.many(&few, FEW).await;

    let (mut cold_many, mut cold_few, mut warm_many, mut warm_few) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        // A library of its own each round: an index that nobody has built yet.
        let library = house.another_library();
        cold_many.push(lists(&library, &many, 1).await);
        cold_few.push(lists(&library, &few, 1).await);
        warm_many.push(lists(&library, &many, LISTS).await);
        warm_few.push(lists(&library, &few, LISTS).await);
    }
    let warm = report("warm list", &mut warm_many, &mut warm_few, "(aim at most 3)");
    report(
        "cold list",
        &mut cold_many,
        &mut cold_few,
        "(once after a start; no aim)",
    );
    match warm <= AIM {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Time of one list, the mean of `times`.
async fn lists(library: &Library, owner: &OwnerSession, times: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        let page = library.list(owner, &ListQuery::default()).await.expect("a page");
        assert!(page.clips.len() >= 10 && page.clips.iter().all(|clip| clip.renditions.len() == 2));
    }
    start.elapsed() / times
}

/// Prints the medians and gives their ratio.
fn report(name: &str, ours: &mut [Duration], peer: &mut [Duration], aim: &str) -> f64 {
    let (ours, peer) = (median(ours), median(peer));
    let ratio = ours.as_secs_f64() / peer.as_secs_f64();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "{name}: ours {:.2} ms ({MANY} clips), peer {:.2} ms ({FEW} clips), ratio {ratio:.2} {aim}",
        ms(ours),
        ms(peer)
    );
    ratio
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
