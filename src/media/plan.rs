//! What to make of a clip: a pure function of what the probe found.

use super::{Plan, Probe};

/// The renditions of a whole clip: a top rung, smaller ones where the source is larger, a poster.
pub fn plan(_probe: &Probe) -> Plan {
    todo!()
}

/// The media of a link: the span from `from_ms` to `to_ms` encoded anew, with sound only if `audio`, and a poster.
pub fn plan_link(_probe: &Probe, _from_ms: u64, _to_ms: u64, _audio: bool) -> Plan {
    todo!()
}
