//! The output's time: it begins with the first picture, or with the span that was asked for.
//!
//! Transport streams begin at 1.4 s or after a day, sound begins before the picture or after it, and hostile files begin anywhere. All
//! streams are placed by the same origin, so that they stay together, and within bounds, so that sums do not overflow.

use dashvault_worker_protocol::{MAX_DURATION_MS, Span};
use ffmpeg_next::{Rational, Rescale as _, Stream};

const MILLISECONDS: Rational = Rational(1, 1_000);
/// Nothing is placed farther from the origin, in either direction.
const BOUND_MS: i64 = 2 * MAX_DURATION_MS as i64;
/// What libav says for "no time".
const NONE: i64 = i64::MIN;

/// Where the output's time begins and ends.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    /// When the first picture is shown, in the picture's time base.
    origin: i64,
    origin_base: Rational,
    from_ms: i64,
    /// In the output's time.
    end_ms: Option<i64>,
}

impl Timeline {
    /// The time of the whole clip, or of a part of it.
    pub fn new(picture: &Stream<'_>, span: Option<Span>) -> Self {
        let begin = picture.start_time();
        Self::at(if begin == NONE { 0 } else { begin }, picture.time_base(), span)
    }

    fn at(origin: i64, origin_base: Rational, span: Option<Span>) -> Self {
        let bounded = |ms: u64| i64::try_from(ms).unwrap_or(BOUND_MS).min(BOUND_MS);
        let from_ms = span.map_or(0, |span| bounded(span.from_ms));
        Self {
            origin,
            origin_base,
            from_ms,
            end_ms: span.map(|span| bounded(span.to_ms).saturating_sub(from_ms).max(0)),
        }
    }

    /// A time of a stream, in `ticks` of the output.
    pub fn place(&self, time: i64, base: Rational, ticks: Rational) -> i64 {
        let bound = BOUND_MS.rescale(MILLISECONDS, ticks);
        let origin = self.origin.rescale(self.origin_base, ticks);
        let from = self.from_ms.rescale(MILLISECONDS, ticks);
        let placed = time.rescale(base, ticks).saturating_sub(origin).saturating_sub(from);
        placed.clamp(-bound, bound)
    }

    /// Where the span ends, in `ticks` of the output.
    pub fn end(&self, ticks: Rational) -> Option<i64> {
        self.end_ms.map(|ms| ms.rescale(MILLISECONDS, ticks))
    }

    /// Whether a time of the output lies behind the span, or behind the longest clip.
    pub fn is_past(&self, time: i64, ticks: Rational) -> bool {
        time >= self
            .end_ms
            .unwrap_or(MAX_DURATION_MS as i64)
            .rescale(MILLISECONDS, ticks)
    }

    /// Where to jump to in the input so as to be before the span, in libav's microseconds; `None` where the span begins near the start.
    pub fn jump(&self) -> Option<i64> {
        /// Reading on from the start is as quick as jumping.
        const NEAR_MS: i64 = 5_000;
        /// Sound and picture lie apart in the file.
        const BEFORE_MS: i64 = 1_000;
        let target = self.from_ms.saturating_sub(BEFORE_MS).saturating_mul(1_000);
        let origin = self.origin.rescale(self.origin_base, Rational(1, 1_000_000));
        (self.from_ms > NEAR_MS).then(|| origin.saturating_add(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKS: Rational = Rational(1, 90_000);
    const SAMPLES: Rational = Rational(1, 48_000);

    #[test]
    fn picture_and_sound_keep_their_distance() {
        let timeline = Timeline::at(126_000, TICKS, None);
        assert_eq!(timeline.place(129_003, TICKS, TICKS), 3_003);
        assert_eq!(timeline.place(67_200 + 480, SAMPLES, SAMPLES), 480);
        assert_eq!(timeline.place(0, SAMPLES, SAMPLES), -67_200);
    }

    #[test]
    fn a_span_begins_at_nought_and_ends() {
        let span = Span {
            from_ms: 5_370,
            to_ms: 7_370,
        };
        let timeline = Timeline::at(0, TICKS, Some(span));
        assert_eq!(timeline.place(5_370 * 90, TICKS, TICKS), 0);
        assert!(!timeline.is_past(2_000 * 90 - 1, TICKS));
        assert!(timeline.is_past(2_000 * 90, TICKS));
        assert_eq!(timeline.jump(), Some(4_370_000));
    }

    #[test]
    fn no_time_overflows() {
        let span = Some(Span {
            from_ms: u64::MAX,
            to_ms: 0,
        });
        for origin in [i64::MIN + 1, -1, i64::MAX] {
            for span in [None, span] {
                let timeline = Timeline::at(origin, Rational(1, 1), span);
                for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX] {
                    let placed = timeline.place(time, Rational(1_000, 1), TICKS);
                    assert!(placed.abs() <= BOUND_MS * 90);
                }
                let _ = timeline.jump();
            }
        }
    }
}
