//! What the process may leave behind: no core dump, no file that others can read.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

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
