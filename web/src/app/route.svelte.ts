// Where the owner's app is: the address bar followed and changed without a page load.
import { parseRoute, type Route } from "./route";

/**
 * Takes the secret out of the address bar and out of the history entry, and returns it. Call it once, before anything
 * else runs: from then on it lives only in the caller's variable.
 */
export function takeFragment(): string {
  const secret = location.hash.slice(1);
  if (location.href.includes("#")) history.replaceState(null, "", location.pathname + location.search);
  return secret;
}

class Router {
  route = $state<Route>(parseRoute(location.pathname));

  constructor() {
    addEventListener("popstate", () => (this.route = parseRoute(location.pathname)));
  }

  go(path: string, replace = false) {
    history[replace ? "replaceState" : "pushState"](null, "", path);
    this.route = parseRoute(path);
    scrollTo(0, 0);
  }

  /** Follows links of this origin without a page load; leaves every modified click to the browser. */
  click = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const a = (event.target as Element).closest?.("a[href]");
    if (!(a instanceof HTMLAnchorElement) || a.target || a.hasAttribute("download")) return;
    if (a.origin !== location.origin || a.pathname.startsWith("/v1/") || a.pathname.startsWith("/s/") || a.hash) return;
    event.preventDefault();
    this.go(a.pathname);
  };
}

export const router = new Router();
