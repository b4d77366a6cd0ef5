// The part of a clip that a link shows: two ends on one ruler, never out of order, never shorter than the least.

/** A shorter cut is no evidence of anything; a second is also the least a rendition is cut to. */
export const LEAST_MS = 1000;

export interface Span {
  from_ms: number;
  to_ms: number;
}

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

export function whole(duration_ms: number): Span {
  return { from_ms: 0, to_ms: Math.round(duration_ms) };
}

/** Moves the beginning; the end stays. */
export function withFrom(span: Span, from_ms: number, duration_ms: number): Span {
  const least = Math.min(LEAST_MS, duration_ms);
  return { from_ms: Math.round(clamp(from_ms, 0, Math.max(0, span.to_ms - least))), to_ms: span.to_ms };
}

/** Moves the end; the beginning stays. */
export function withTo(span: Span, to_ms: number, duration_ms: number): Span {
  const least = Math.min(LEAST_MS, duration_ms);
  return { from_ms: span.from_ms, to_ms: Math.round(clamp(to_ms, Math.min(span.from_ms + least, duration_ms), duration_ms)) };
}

/** `1:02.5`, `62.5` or `1:00:02` in milliseconds; `null` for anything else. */
export function parseClock(text: string): number | null {
  const parts = text.trim().split(":");
  if (parts.length > 3 || !parts.every((p, i) => (i === parts.length - 1 ? /^\d{1,5}([.,]\d{1,3})?$/ : /^\d{1,3}$/).test(p))) return null;
  const seconds = parts.reduce((sum, part) => sum * 60 + Number(part.replace(",", ".")), 0);
  return Math.round(seconds * 1000);
}
