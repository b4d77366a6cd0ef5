import { expect, test } from "vitest";
import { parseRoute } from "../src/app/route";

test("paths are read into pages, and strangers are lost", () => {
  expect(parseRoute("/")).toEqual({ page: "clips" });
  expect(parseRoute("/sign-in")).toEqual({ page: "sign-in" });
  expect(parseRoute("/trash/")).toEqual({ page: "trash" });
  const id = "abcdefghijklmnopqrstuvwx23";
  expect(parseRoute(`/clips/${id}`)).toEqual({ page: "clip", id });
  for (const path of ["/clips/short", `/clips/${id}/x`, "/clips/../../v1", "/lost", "/constructor"]) expect(parseRoute(path)).toEqual({ page: "lost" });
});
