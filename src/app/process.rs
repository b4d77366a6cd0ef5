//! What the process may leave behind: no core dump, no page of its memory in the swap, no file that others can read.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask};

/// CAP_IPC_LOCK's bit: whoever has it locks as much as it likes.
const MAY_LOCK: u64 = 1 << 14;
/// Whom a user namespace maps to whom, where there is none: only there do rights over memory count.
const NO_NAMESPACE: [&str; 3] = ["0", "0", "4294967295"];

/// Keys lie in this process's memory: it is never written to a disk, and another program of the same user cannot look.
pub(super) fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Where a container's rules refuse this, the rules are at least as strict.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Keeps every page out of the swap, from its first use on; false where that is not allowed. What is reserved and never used
/// takes no memory for it.
///
/// Under a limit it is not tried: once the limit is reached, each further allocation would fail and end the service.
pub(super) fn lock_memory() -> bool {
    may_lock_without_limit()
        && mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok()
}

/// What to tell of [`lock_memory`] where it is not allowed; none where there is no swap.
pub(super) fn about_swap() -> Option<&'static str> {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    // The first line is a heading.
    (swaps.lines().count() > 1).then_some(
        "the service's memory, keys included, may be written to this machine's swap: allow locking it (LimitMEMLOCK=infinity \
         or CAP_IPC_LOCK), or encrypt the swap or turn it off",
    )
}

/// Whether [`lock_memory`] would be tried.
pub(super) fn may_lock_without_limit() -> bool {
    getrlimit(Resource::Memlock).current.is_none() || may_lock_anything()
}

fn may_lock_anything() -> bool {
    let read = |name| std::fs::read_to_string(name).unwrap_or_default();
    let (status, map) = (read("/proc/self/status"), read("/proc/self/uid_map"));
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let rights = rights.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    rights.is_some_and(|rights| rights & MAY_LOCK != 0) && map.split_whitespace().eq(NO_NAMESPACE)
}
