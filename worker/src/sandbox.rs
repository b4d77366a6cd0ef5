//! Shuts the worker in before it sees the first byte of a clip: no file, no network, no other process, no new code, bounded
//! memory and time.
//!
//! Four walls that do not lean on each other: resource limits, no new privileges, Landlock (every right handled, none
//! given) and seccomp. What libav tries as a habit (looking for a file of configuration, naming a thread) is answered with an error; anything
//! else that is not needed to compute ends the process.

use std::collections::BTreeMap;

use dashvault_worker_protocol::Limits;
use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// Descriptors: standard ones, control socket, outputs, and a few that the C library may hold.
const MAX_DESCRIPTORS: u64 = 16;
/// After its CPU time the process gets SIGXCPU; if it lives on, SIGKILL so many seconds later.
const CPU_GRACE_SECS: u64 = 2;
/// The newest Landlock that was tried; an older kernel gives what it has, file rights at least.
const LANDLOCK: ABI = ABI::V7;

/// Computing, waiting, memory without code, the descriptors there are, threads, the end.
const ALLOWED: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_futex,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_gettid,
    libc::SYS_getpid,
];

/// Tried by the C library and libav out of habit, and lived without. `prctl` and `seccomp` stand here because this filter is the last that is
/// installed.
const REFUSED: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_lseek,
    libc::SYS_ioctl,
    libc::SYS_fcntl,
    libc::SYS_prlimit64,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_prctl,
    libc::SYS_seccomp,
];

/// Closes every wall, or says which does not stand. With `allow_unsandboxed` what the kernel does not give is left out.
pub fn apply(limits: Limits, allow_unsandboxed: bool) -> Result<(), String> {
    limit(limits).map_err(|error| format!("resource limits: {error}"))?;
    // SAFETY: takes plain numbers.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(format!("dumpable: {}", std::io::Error::last_os_error()));
    }
    let walls = [
        ("Landlock", landlock as fn() -> Result<(), String>),
        ("seccomp", seccomp),
    ];
    for (name, close) in walls {
        match close() {
            Err(error) if !allow_unsandboxed => return Err(format!("{name}: {error}")),
            _ => {}
        }
    }
    Ok(())
}

fn limit(limits: Limits) -> std::io::Result<()> {
    let cpu = limits.cpu_secs;
    for (resource, soft, hard) in [
        (libc::RLIMIT_CPU, cpu, cpu.saturating_add(CPU_GRACE_SECS)),
        (libc::RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (libc::RLIMIT_FSIZE, 0, 0),
        (libc::RLIMIT_NOFILE, MAX_DESCRIPTORS, MAX_DESCRIPTORS),
        (libc::RLIMIT_CORE, 0, 0),
    ] {
        let limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: the pointer is to a struct that lives over the call.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

fn landlock() -> Result<(), String> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map(|rules| rules.set_compatibility(CompatLevel::BestEffort))
        .and_then(|rules| rules.handle_access(AccessFs::from_all(LANDLOCK)))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    match rules {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => Err("the kernel has none".to_owned()),
        Ok(status) if !status.no_new_privs => Err("new privileges can still be had".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn seccomp() -> Result<(), String> {
    // Of several filters the strictest answer counts, and killing is stricter than an error: so the first allows what the
    // two others refuse.
    let kill = filter(allowed()?, SeccompAction::KillProcess, SeccompAction::Allow)?;
    let unknown = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    // The arguments of clone3 lie in memory, where a filter cannot look; the C library then takes clone.
    let unknown = filter(unknown, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?;
    let refused = REFUSED.iter().map(|call| (*call, vec![])).collect();
    let refused = filter(refused, SeccompAction::Allow, SeccompAction::Errno(libc::EACCES as u32))?;
    for program in [&kill, &unknown, &refused] {
        apply_filter_all_threads(program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn filter(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    mismatch: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, String> {
    let arch = std::env::consts::ARCH.try_into();
    let arch = arch.map_err(|error: seccompiler::BackendError| error.to_string())?;
    SeccompFilter::new(rules, mismatch, matching, arch)
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())
}

/// The calls that are let through, with what their arguments must be.
fn allowed() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, String> {
    let without_code = |argument| condition(argument, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    let threads = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
    let mut rules: BTreeMap<_, _> = ALLOWED.iter().chain(REFUSED).map(|call| (*call, vec![])).collect();
    rules.insert(libc::SYS_clone3, vec![]);
    rules.insert(libc::SYS_mmap, without_code(2)?);
    rules.insert(libc::SYS_mprotect, without_code(2)?);
    rules.insert(libc::SYS_clone, condition(0, SeccompCmpOp::MaskedEq(threads), threads)?);
    // How abort() ends this process; other processes are out of reach.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, condition(0, SeccompCmpOp::Eq, own)?);
    Ok(rules)
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<Vec<SeccompRule>, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map(|rule| vec![rule])
        .map_err(|error| error.to_string())
}

/// Tries what the sandbox answers with an error: a file must not open.
pub fn self_test() -> Result<(), String> {
    match std::fs::File::open("/proc/self/status") {
        Ok(_) => Err("a file could be opened".to_owned()),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(()),
        Err(error) => Err(format!("opening a file gave {error}")),
    }
}

/// Tries what the sandbox answers with death: comes back only if there is none.
pub fn self_test_fatal() -> String {
    // SAFETY: takes plain numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    format!("socket() came back with {socket}")
}
