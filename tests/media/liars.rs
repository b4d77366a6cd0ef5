//! Workers that were taken over: they crash, flood, lie and stall, and nothing they say becomes a rendition.

use std::os::unix::fs::PermissionsExt as _;

use dashvault::media::{Config, Media, MediaError, Output, OutputKind, Plan, Transcoder as _};
use dashvault_test_support::Scratch;

use crate::{Clip, Outputs};

/// Bash for one frame on the control socket.
const FRAME: &str = r#"
frame() { local n=${#1}; printf "\\x$(printf %02x $((n & 255)))\\x$(printf %02x $((n >> 8)))\0\0%s" "$1" >&3; }
"#;

async fn run(script: &str) -> Result<(), MediaError> {
    let scratch = Scratch::new("liar");
    let worker = scratch.path().join("worker");
    std::fs::write(&worker, format!("#!/bin/bash\nPATH=/usr/bin:/bin\n{FRAME}{script}")).expect("a script");
    std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let media = Media::new(Config {
        worker: Some(worker),
        allow_unsandboxed: false,
    });
    let plan = Plan {
        outputs: vec![Output {
            name: "poster".to_owned(),
            kind: OutputKind::Poster { width: 64, height: 64 },
        }],
        span: None,
        duration_ms: 1_000,
        audio_bits: None,
        max_output_bytes: 1_000,
    };
    let clip = Clip(vec![1; 5_000]);
    media
        .make(&clip, &plan, &mut Outputs::default(), &|_| {})
        .await
        .map(drop)
}

async fn error(script: &str) -> (&'static str, String) {
    let error = run(script).await.expect_err("a liar");
    (error.code(), error.to_string())
}

#[tokio::test]
async fn a_crash_carries_its_last_words() {
    let (code, said) = error("echo 'assertion failed in decoder' >&2; kill -SEGV $$").await;
    assert_eq!(code, "worker_crashed");
    assert!(
        said.contains("assertion failed in decoder") && said.contains("signal"),
        "{said}"
    );
    let (code, said) = error("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 3").await;
    assert_eq!(code, "worker_crashed");
    assert!(said.len() < 2_000, "{} characters of noise", said.len());
}

#[tokio::test]
async fn what_the_kernel_did_is_told_apart() {
    assert_eq!(
        error("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$")
            .await
            .0,
        "out_of_memory"
    );
    assert_eq!(error("kill -XCPU $$").await.0, "timed_out");
    let (code, said) = error("kill -SYS $$").await;
    assert_eq!(code, "worker_crashed");
    assert!(said.contains("sandbox"), "{said}");
}

#[tokio::test]
async fn what_a_stranger_did_is_not_held_against_the_clip() {
    // A shell that begins with INT ignored, as what runs in the background does, cannot be ended by it.
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("a set");
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a number");
    let signals = [("TERM", 15), ("KILL", 9), ("HUP", 1), ("INT", 2)];
    for (signal, _) in signals
        .into_iter()
        .filter(|(_, number)| ignored >> (number - 1) & 1 == 0)
    {
        let (code, said) = error(&format!("kill -{signal} $$; sleep 9")).await;
        assert_eq!(code, "worker_killed", "{signal}");
        assert!(said.contains(signal), "{said}");
    }
    // Also when all was said already: what the pipes carried may not be whole.
    let report = r#"frame 'M{"files":[{"bytes":6,"frames":1}],"has_audio":false}'"#;
    let script = format!(r"printf '\xff\xd8xx\xff\xd9' >&4; {report}; kill -TERM $$; sleep 9");
    assert_eq!(error(&script).await.0, "worker_killed");
}

#[tokio::test]
async fn failures_it_reports_keep_their_words() {
    for (failure, code) in [
        (r#""NoVideo""#, "no_video"),
        (r#""OutOfMemory""#, "out_of_memory"),
        (r#"{"Unsupported":"x"}"#, "unsupported_format"),
        (r#"{"OverLimits":"x"}"#, "over_limits"),
        (r#"{"Invalid":"x"}"#, "invalid"),
        (r#"{"Sandbox":"x"}"#, "worker_unavailable"),
        (r#"{"Internal":"x"}"#, "worker_crashed"),
    ] {
        assert_eq!(error(&format!("frame 'F{failure}'")).await.0, code, "{failure}");
    }
}

#[tokio::test]
async fn a_report_that_does_not_match_what_came_is_dropped() {
    let jpeg = r"printf '\xff\xd8xx\xff\xd9' >&4; ";
    let report = |bytes: u32| format!(r#"frame 'M{{"files":[{{"bytes":{bytes},"frames":1}}],"has_audio":false}}'"#);
    let honest = run(&format!("{jpeg}{}", report(6)))
        .await
        .expect_err("a poster alone is no clip");
    assert_eq!(honest.code(), "invalid", "{honest}");
    for script in [
        format!("{jpeg}{}", report(7)),
        report(6),
        format!("printf 'no picture' >&4; {}", report(10)),
        format!("{jpeg}{}; exit 1", report(6)),
        format!("head -c 2000 /dev/zero >&4; {}", report(2_000)),
        format!(r#"{jpeg}frame 'M{{"files":[],"has_audio":false}}'"#),
        "frame 'T'".to_owned(),
    ] {
        assert_eq!(error(&script).await.0, "worker_crashed", "{script}");
    }
}

#[tokio::test]
async fn nonsense_on_the_control_socket_ends_it() {
    for script in [
        "printf '\\xff\\xff\\xff\\xffxxxx' >&3; sleep 9",
        "printf '\\0\\0\\0\\0' >&3; sleep 9",
        "frame 'Zwhat'; sleep 9",
        // A megabyte from behind the end of the clip.
        "printf '\\x0d\\0\\0\\0R\\x88\\x13\\0\\0\\0\\0\\0\\0\\0\\0\\x10\\0' >&3; sleep 9",
        "exec 3>&-; sleep 1",
    ] {
        assert_eq!(error(script).await.0, "worker_crashed", "{script}");
    }
}

#[tokio::test]
async fn it_gets_no_environment_and_no_descriptor_of_ours() {
    // Bash adds variables of its own, and keeps what it needs for itself from descriptor 10 on.
    let script = "for n in {0..9}; do [ -e /proc/$$/fd/$n ] && open+=$n; done; \
        echo \"has $(env | cut -d= -f1 | grep -v -x -e PWD -e SHLVL -e _ -e PATH):$open\" >&2; exit 1";
    let (_, said) = error(script).await;
    assert!(said.ends_with("has :01234"), "{said}");
}
