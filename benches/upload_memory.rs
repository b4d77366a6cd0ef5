//! How much memory the service takes on while 2 GiB come in: at most 64 MiB above what it holds when idle.
//!
//! The real program, the real vehicle client, SQLite and a folder. The file is sparse zeros: only its length matters here.
//! It is no video, so the clip ends as failed, with its original kept; the receipt still comes.

use std::fs::File;
use std::process::ExitCode;

use dashvault_test_support::Vault;

const UPLOAD_BYTES: u64 = 2 << 30;
/// The 64 MiB of piece buffers are shared by all uploads; one of them must not need more than that.
const LIMIT_BYTES: u64 = 64 << 20;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut vault = Vault::setup().start();
    let owner = vault.owner("bench@example.org");
    let device = runtime.block_on(vault.pair(&owner, "bench"));
    // A small one first: what is loaded once and kept is not the upload's.
    let file = vault.scratch().join("clip.mp4");
    File::create(&file)
        .and_then(|f| f.set_len(1 << 20))
        .expect("a small file");
    vault.upload(&device, &file);
    let idle = vault.resident_bytes();
    File::create(&file)
        .and_then(|f| f.set_len(UPLOAD_BYTES))
        .expect("a sparse file");
    let told = vault.upload(&device, &file);
    assert_eq!(told["bytes"], UPLOAD_BYTES, "{told}");
    let peak = vault.peak_resident_bytes();
    let rise = peak.saturating_sub(idle);
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "upload of 2 GiB: idle {} MiB, peak {} MiB, rise {} MiB (at most {})",
        mib(idle),
        mib(peak),
        mib(rise),
        mib(LIMIT_BYTES)
    );
    vault.stop();
    if rise <= LIMIT_BYTES {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
