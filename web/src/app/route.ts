// Client routes of the owner's app: the address bar's path, read into a page.

export type Route =
  | { page: "clips" | "links" | "activity" | "vehicles" | "trash" | "account" | "sign-in" | "lost" }
  | { page: "clip"; id: string };

const PLAIN = new Set(["links", "activity", "vehicles", "trash", "account", "sign-in"] as const);
/** Ids are 26 characters of base32. */
const CLIP = /^\/clips\/([a-z2-7A-Z0-9]{26})\/?$/;

export function parseRoute(path: string): Route {
  if (path === "/" || path === "/index.html" || path === "/clips" || path === "/clips/") return { page: "clips" };
  const clip = CLIP.exec(path);
  if (clip) return { page: "clip", id: clip[1]! };
  const name = path.replace(/^\/|\/$/g, "");
  return PLAIN.has(name as never) ? { page: name as "links" } : { page: "lost" };
}
