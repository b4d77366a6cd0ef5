import { expect, test } from "vitest";
import { problem, words } from "../src/api/call";
import { ending } from "../src/share/ending";

test("a problem document keeps its words and its type", () => {
  const p = problem(410, { type: "/problems/link-revoked", title: "The link was revoked", status: 410, detail: "At noon." });
  expect([p.status, p.slug, words(p)]).toEqual([410, "link-revoked", "The link was revoked. At noon."]);
});

test("an answer that is no problem document still tells something", () => {
  for (const body of [null, "<html>", 7, [], { title: 3 }]) expect(words(problem(502, body))).toBe("The vault has a fault");
  expect(problem(404, { type: "about:blank" }).slug).toBe("");
});

test.each([
  [410, "/problems/link-revoked", "This link was revoked"],
  [410, "/problems/link-used-up", "This link is used up"],
  [410, "/problems/link-expired", "This link has ended"],
  [410, "", "This link no longer works"],
  [404, "/problems/not-found", "This link is not complete"],
])("%i %s is told as: %s", (status, type, title) => expect(ending(problem(status, { type }), false).title).toBe(title));

test("a page without its session asks for the link again", () => {
  expect(ending(problem(401, null), true).title).toBe("Open your link again");
});
