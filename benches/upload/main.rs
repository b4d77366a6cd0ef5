//! Uploads against other tus servers, side by side in one run: 200 MB in parts of 5 MB, in one request, and over 16 connections at once.
//!
//! Ours encrypts and answers when the bytes are on stable storage; of the others only tus-server syncs both data and offset.
//! All get the same bytes from the same client over loopback, in turn, each round in a new folder. Beside each figure stands how
//! often the server synced a file for the upload in parts. The clip is noise, so ours cannot transcode it: what is made of a
//! clip after its last acknowledgement is not part of any figure here.

mod drive;
mod peers;

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use rand::RngCore as _;

use drive::{Shape, upload};
use peers::Peer;

const BYTES: usize = 200_000_000;
const ROUNDS: usize = 5;
/// At least this many times as fast, the one that syncs nothing, and the one that syncs as we do.
const AIMS: [(&str, f64); 2] = [("rustus", 1.0), ("tus-server", 3.0)];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(bench())
}

async fn bench() -> ExitCode {
    let mut noise = vec![0; BYTES];
    rand::rng().fill_bytes(&mut noise);
    let noise = Bytes::from(noise);
    let (here, missing): (Vec<_>, Vec<_>) = Peer::ALL.into_iter().partition(|peer| peer.is_installed());
    for peer in &missing {
        println!("upload: {} is MISSING; `.ci/install bench` installs it", peer.name());
    }
    let mut times = vec![[const { Vec::<Duration>::new() }; Shape::ALL.len()]; here.len()];
    for round in 0..ROUNDS {
        for turn in 0..here.len() {
            // Another one begins each round: what the first warms up is nobody's gain.
            let index = (round + turn) % here.len();
            for (shape, times) in Shape::ALL.into_iter().zip(&mut times[index]) {
                let server = here[index].start().await;
                times.push(upload(&server.target(), shape, &noise).await);
            }
        }
    }
    let mut syncs = Vec::new();
    for peer in &here {
        let mut server = peer.start().await;
        let counted = server.count_syncs();
        upload(&server.target(), Shape::Parts, &noise).await;
        syncs.push(counted.stop());
    }
    if report(&here, times, &syncs) && missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints a line for each server and shape, then our ratio to each peer; whether the aims are met.
fn report(here: &[Peer], times: Vec<[Vec<Duration>; Shape::ALL.len()]>, syncs: &[Option<u64>]) -> bool {
    let medians: Vec<Vec<f64>> = times.into_iter().map(|of_peer| of_peer.map(speed).to_vec()).collect();
    for ((peer, speeds), syncs) in here.iter().zip(&medians).zip(syncs) {
        let told: Vec<_> = Shape::ALL
            .iter()
            .zip(speeds)
            .map(|(shape, mb)| format!("{shape} {mb:.0} MB/s"))
            .collect();
        let syncs = syncs.map_or_else(|| "syncs not counted".to_owned(), |n| format!("{n} syncs"));
        println!("upload: {}: {}; {syncs}", peer.name(), told.join(", "));
    }
    let mut met = true;
    let ours = &medians[0];
    for (peer, theirs) in here.iter().zip(&medians).skip(1) {
        let aim = AIMS.iter().find(|(name, _)| *name == peer.name()).map(|(_, aim)| *aim);
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let told: Vec<_> = Shape::ALL
            .iter()
            .zip(&ratios)
            .map(|(shape, ratio)| format!("{shape} {ratio:.2}"))
            .collect();
        let aim_told = aim.map_or_else(|| "no aim".to_owned(), |aim| format!("aim at least {aim}"));
        println!("upload: ours against {}: {} ({aim_told})", peer.name(), told.join(", "));
        met &= aim.is_none_or(|aim| ratios.iter().all(|ratio| *ratio >= aim));
    }
    met
}

/// The speed of the median round, in MB a second.
fn speed(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    BYTES as f64 / 1e6 / times[times.len() / 2].as_secs_f64()
}
