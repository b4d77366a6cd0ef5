//! How long the bytes that were handed to a connection stay on their way after it was given up.
//!
//! The kernel still delivers what it has taken when a connection is closed, and the vault keeps it. Asking for the offset
//! before that has arrived would fence it off, and it would be sent twice: so a clip whose place was taken rests until then.
//! How much lies in the kernel is not told to a program that speaks through a library; it is bounded from above instead.

use std::time::{Duration, Instant};

/// What Linux lets one connection buffer (`net.ipv4.tcp_wmem`, the default maximum).
const MOST_BUFFERED_BYTES: u64 = 4 << 20;
/// At first the buffer is filled, faster than any link; what comes after that tells the pace, once it was looked at as long.
const FILLING: Duration = Duration::from_secs(1);
/// Bytes a second of a link whose pace is not known: a poor one.
const POOR_PACE: u64 = 128 << 10;
/// What is on its way for longer has met a dead link.
const LONGEST: Duration = Duration::from_secs(60);

/// The bytes of one request on their way.
pub(crate) struct Pipe {
    began: Instant,
    handed: u64,
    /// When the buffer was full at the latest, and how much was handed over by then.
    filled: Option<(Instant, u64)>,
}

impl Pipe {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            handed: 0,
            filled: None,
        }
    }

    /// So many bytes were handed over by now.
    pub fn note(&mut self, handed: u64, now: Instant) {
        self.handed = handed;
        if self.filled.is_none() && now.duration_since(self.began) >= FILLING {
            self.filled = Some((now, handed));
        }
    }

    /// How long it takes at most, as far as can be known, until all of it has arrived.
    pub fn drains_within(&self, now: Instant) -> Duration {
        let buffered = self.handed.min(MOST_BUFFERED_BYTES);
        if buffered == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(buffered.saturating_mul(1000) / self.pace(now).max(1)).min(LONGEST)
    }

    fn pace(&self, now: Instant) -> u64 {
        let Some((at, before)) = self.filled.filter(|(at, _)| now.duration_since(*at) >= FILLING) else {
            return POOR_PACE;
        };
        let millis = u64::try_from(now.duration_since(at).as_millis()).unwrap_or(u64::MAX);
        self.handed.saturating_sub(before).saturating_mul(1000) / millis.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_drains_at_the_pace_after_the_first_filling() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pipe = Pipe::new(start);
        assert_eq!(pipe.drains_within(at(10)), Duration::ZERO, "nothing is on its way");
        pipe.note(4 << 20, at(200));
        assert_eq!(
            pipe.drains_within(at(300)),
            Duration::from_secs(32),
            "nothing is known of the link"
        );
        pipe.note(5 << 20, at(1000));
        pipe.note(7 << 20, at(3000));
        assert_eq!(
            pipe.drains_within(at(3000)),
            Duration::from_secs(4),
            "4 MiB at 1 MiB a second"
        );
        let mut dead = Pipe::new(start);
        dead.note(1 << 20, at(1000));
        assert_eq!(dead.drains_within(at(9000)), LONGEST, "it stands");
    }
}
