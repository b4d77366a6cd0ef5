//! Work with keys whose traces on the stack are overwritten afterwards.
//!
//! ring, and compiled code in general, leave expanded keys, hash states and spilled registers on the stack where they worked.
//! Nobody erases them, and a later call may never reach so deep again. Here a call is followed by one at the same depth that
//! fills the same place with zeros.

use std::hint::black_box;

/// Deeper than anything that is called here reaches: a signature by ring takes some 4 KiB, HPKE and Argon2id some 8 KiB.
/// Filling it takes a third of a microsecond.
const DEPTH_BYTES: usize = 24 << 10;

/// What `work` gives; the stack that it used is zero afterwards. What it gives back should hold its secrets on the heap.
#[inline(never)]
pub(crate) fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let done = at_depth(work);
    wipe();
    done
}

/// Never inlined: its frame begins where that of [`wipe`] does.
#[inline(never)]
fn at_depth<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    // Seen by nobody the optimiser knows of, so it has to be filled.
    black_box(&mut [0_u8; DEPTH_BYTES]);
}
