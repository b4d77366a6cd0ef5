import { describe, expect, test } from "vitest";
import type { LinkRow } from "../src/api/types";
import { clock, left, linkState, outOf, percent, size } from "../src/app/format";

test("a clock shows hours only where there are some", () => {
  expect(clock(0)).toBe("0:00");
  expect(clock(62_000)).toBe("1:02");
  expect(clock(3_607_000)).toBe("1:00:07");
  expect(clock(4_560, true)).toBe("0:04.5");
  expect(clock(59_999, true)).toBe("0:59.9");
  expect(clock(null)).toBe("–:––");
});

test("sizes are decimal and never overflow their unit", () => {
  expect(size(999)).toBe("999 B");
  expect(size(1_500)).toBe("1.5 kB");
  expect(size(999_999)).toBe("1.0 MB");
  expect(size(2_147_483_648)).toBe("2.1 GB");
  expect(size(null)).toBe("unknown size");
});

test("what is used is told beside what may be, where there is a limit", () => {
  expect(outOf(3, null)).toBe("3");
  expect(outOf(3, 10)).toBe("3 of 10");
  expect(outOf(1_500, 2_000_000, size)).toBe("1.5 kB of 2.0 MB");
  expect(outOf(0, 0)).toBe("0 of 0");
});

test("time left is told in the largest honest unit", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(left("2026-01-01T00:00:30Z", now)).toBe("less than a minute");
  expect(left("2026-01-01T00:01:00Z", now)).toBe("1 minute");
  expect(left("2026-01-01T03:10:00Z", now)).toBe("3 hours");
  expect(left(now + 6.5 * 86_400_000, now)).toBe("6 days");
  expect(left("2025-12-31T23:59:00Z", now)).toBe("over");
  expect(left("no time", now)).toBe("unknown");
});

test("progress is a whole per cent inside its bounds", () => {
  expect([percent(null), percent(0.456), percent(1), percent(7), percent(-1)]).toEqual([0, 45, 100, 100, 0]);
});

describe("a link's state", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  const link: LinkRow = {
    id: "l", clip_id: "c", recipient: "r", state: "ready", created_at: now - 1, expires_at: now + 1, from_ms: 0, to_ms: 1,
    audio: false, location: false, download: false, opens: 0, max_opens: 2, revoked_at: null,
  };
  test.each([
    ["ready", {}],
    ["preparing", { state: "preparing" }],
    ["failed", { state: "failed" }],
    ["used up", { opens: 2 }],
    ["ready", { opens: 200, max_opens: null }],
    ["expired", { expires_at: now }],
    ["revoked", { revoked_at: now, expires_at: now, opens: 2 }],
  ])("is %s with %o", (state, change) => expect(linkState({ ...link, ...change }, now)).toBe(state));
});
