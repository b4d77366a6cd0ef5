//! Tries to break out, for the tests; not compiled into a release. Each attempt runs after the sandbox closed and says "escaped" only if it worked.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use dashvault_worker_protocol::Limits;

use crate::sandbox;

const LIMITS: Limits = Limits {
    cpu_secs: 10,
    memory_bytes: 4 << 30,
};

/// What was tried did not work and was answered with an error.
pub const REFUSED: i32 = 7;

/// Runs the attempt called `name` inside the sandbox (or, with `open_door`, outside, to show that it would work). Returns the exit code.
pub fn attempt(name: &str, open_door: bool) -> i32 {
    // Opened before the doors close: what is left is the write itself.
    let scratch = std::env::temp_dir().join(format!("dashvault-escape-{}", std::process::id()));
    let mut kept = File::create(&scratch).expect("a scratch file");
    std::fs::remove_file(&scratch).expect("the scratch file");
    if !open_door {
        sandbox::apply(LIMITS, false).expect("the sandbox");
    }
    let result = match name {
        "open" => File::open("/etc/passwd").map(drop),
        "create" => File::create("/tmp/dashvault-escaped").map(drop),
        "write" => kept.write_all(b"escaped"),
        "connect" => TcpStream::connect("127.0.0.1:9").map(drop).or_else(refused_by_peer),
        "resolve" => std::net::UdpSocket::bind("127.0.0.1:0").map(drop),
        "exec" => Command::new("/bin/true").status().map(drop),
        // SAFETY: the child ends at once.
        "fork" => match unsafe { libc::fork() } {
            0 => unsafe { libc::_exit(0) },
            pid => errno(pid >= 0),
        },
        "code" => errno(map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).is_some()),
        "make code" => match map(libc::PROT_READ | libc::PROT_WRITE) {
            // SAFETY: the page was mapped just now and nothing else knows it.
            Some(page) => errno(unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) } == 0),
            None => errno(false),
        },
        // SAFETY: signal 0 only asks whether a signal could be sent.
        "kill the parent" => errno(unsafe { libc::kill(libc::getppid(), 0) } == 0),
        "kill the parent's thread" => errno(unsafe {
            let parent = libc::getppid();
            libc::syscall(libc::SYS_tgkill, parent, parent, 0) == 0
        }),
        // SAFETY: takes plain numbers.
        "trace the parent" => errno(unsafe { libc::ptrace(libc::PTRACE_ATTACH, libc::getppid(), 0, 0) } == 0),
        "dump" => errno(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) } == 0),
        "6 GiB" => Vec::<u8>::new()
            .try_reserve_exact(6 << 30)
            .map_err(std::io::Error::other),
        // What must go on working: a thread, memory, the clock.
        "compute" => {
            match std::thread::spawn(|| vec![1_u8; 64 << 20].iter().map(|b| u64::from(*b)).sum::<u64>()).join() {
                Ok(sum) if sum == 64 << 20 => Ok(()),
                _ => errno(false),
            }
        }
        _ => panic!("no attempt is called {name}"),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("refused: {error}");
            REFUSED
        }
    }
}

/// A refused connection went out all the same.
fn refused_by_peer(error: std::io::Error) -> std::io::Result<()> {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(error),
    }
}

fn errno(worked: bool) -> std::io::Result<()> {
    if worked {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

fn map(protection: i32) -> Option<*mut libc::c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous page, of no matter to anything that exists.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    (page != libc::MAP_FAILED).then_some(page)
}
