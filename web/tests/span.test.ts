import { expect, test } from "vitest";
import { LEAST_MS, parseClock, whole, withFrom, withTo } from "../src/app/span";

test("the ends never cross and never leave the clip", () => {
  const duration = 8_900;
  let seed = 7;
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  let span = whole(duration);
  for (let i = 0; i < 5_000; i++) {
    const ms = (random() * 3 - 1) * duration;
    span = random() < 0.5 ? withFrom(span, ms, duration) : withTo(span, ms, duration);
    expect(span.from_ms).toBeGreaterThanOrEqual(0);
    expect(span.to_ms).toBeLessThanOrEqual(duration);
    expect(span.to_ms - span.from_ms).toBeGreaterThanOrEqual(LEAST_MS);
    expect(Number.isInteger(span.from_ms) && Number.isInteger(span.to_ms)).toBe(true);
  }
});

test("a clip shorter than the least is shared whole", () => {
  expect(withFrom(whole(400), 300, 400)).toEqual({ from_ms: 0, to_ms: 400 });
  expect(withTo(whole(400), 10, 400)).toEqual({ from_ms: 0, to_ms: 400 });
});

test("typed times are read, and nonsense is not", () => {
  expect(parseClock("4.5")).toBe(4_500);
  expect(parseClock(" 1:02,25 ")).toBe(62_250);
  expect(parseClock("1:00:07")).toBe(3_607_000);
  for (const bad of ["", "a", "1:", "-1", "1:2:3:4", "1e3", "0x10"]) expect(parseClock(bad)).toBeNull();
});
