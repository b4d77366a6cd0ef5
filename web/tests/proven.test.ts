import { expect, test } from "vitest";
import type { Exposure } from "../src/api/types";
import { ago } from "../src/app/format";
import { proven } from "../src/app/proven";

const AT = "2026-01-01T12:00:00Z";
const told: Exposure = { verdict: "private", private_at: "2026-01-01T11:58:00Z", open_since: null, uploads_wait: false, at: AT };

test("a private storage is told with the time of its proof, which goes on growing", () => {
  expect(proven(told, 0)).toEqual({ tone: "good", text: "Last proven private 2 minutes ago." });
  expect(proven(told, 60_000).text).toBe("Last proven private 3 minutes ago.");
});

test("an answer that is old or missing is not shown as private", () => {
  for (const [answer, since] of [[told, 5 * 60_000 + 1], [null, 0]] as const) {
    expect(proven(answer, since)).toEqual({ tone: "warn", text: "The vault does not say now whether its storage is private." });
  }
});

test("an unknown storage is not called private, and says when it last was", () => {
  const unknown = proven({ ...told, verdict: "unknown", private_at: "2026-01-01T09:00:00Z" }, 0);
  expect(unknown).toEqual({ tone: "warn", text: "It cannot be told now whether the storage is private. Last proven private 3 hours ago." });
  const never = proven({ ...told, verdict: "unknown", private_at: null, uploads_wait: true }, 0);
  expect(never.text).toContain("never proven private. New clips are refused until it is proven");
});

test("an open storage is said to be open, and what becomes of new clips", () => {
  const open = proven({ ...told, verdict: "exposed", open_since: "2026-01-01T11:59:00Z", uploads_wait: true }, 0);
  expect(open.tone).toBe("bad");
  expect(open.text).toMatch(/^EXPOSED: strangers can reach the storage since .*New clips are refused until it is shut/);
  expect(proven({ ...told, verdict: "exposed" }, 0).text).not.toContain("refused");
});

test("a time in the future, by another clock, was a moment ago", () => {
  expect(ago("2026-01-01T12:00:10Z", Date.parse(AT))).toBe("less than a minute ago");
  expect(ago(null, 0)).toBe("never");
});
