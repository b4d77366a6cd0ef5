import { expect, test } from "vitest";
import { pause } from "../src/api/poll";
import { eventWords } from "../src/app/events";

test("pauses grow to a bound, and a hidden page asks seldom", () => {
  const pauses = Array.from({ length: 40 }, (_, i) => pause(i));
  expect(pauses[0]).toBeLessThan(1000);
  for (let i = 1; i < pauses.length; i++) expect(pauses[i]!).toBeGreaterThanOrEqual(pauses[i - 1]!);
  expect(pauses.at(-1)).toBe(15_000);
  expect(pause(0, true)).toBe(30_000);
});

test("an event of a newer service is shown under its own name", () => {
  expect(eventWords("link.revoked")).toBe("Link revoked");
  expect(eventWords("exposure_found")).toBe("Exposure found");
});
