// One request to the service: JSON in, JSON out, and RFC 9457 problems as errors.

/** What the service (or the network, with status 0) had against a request. */
export class Problem extends Error {
  override name = "Problem";
  constructor(
    readonly status: number,
    /** The last part of the problem's type, for example `link-revoked`; empty when there was none. */
    readonly slug: string,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail || title);
  }
}

/** A request that has not been answered by then is given up. */
const ANSWER_LIMIT_MS = 30_000;

export interface Ask {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Asks the service. `null` where the answer has no body. */
export async function call<T>(path: string, ask: Ask = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json, application/problem+json", ...ask.headers };
  const init: RequestInit = {
    method: ask.method ?? "GET",
    headers,
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  };
  if (ask.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(ask.body);
  }
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Problem(0, "unreachable", "The vault cannot be reached", "Check the connection, then try again.");
  }
  const text = await answer.text().catch(() => "");
  const body = parse(text);
  if (!answer.ok) throw problem(answer.status, body);
  return body as T;
}

function parse(text: string): unknown {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Reads a problem document; anything else becomes a plain one with the status. */
export function problem(status: number, body: unknown): Problem {
  const about = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const word = (name: string) => (typeof about[name] === "string" ? (about[name] as string) : "");
  const slug = word("type").split(/[/#:]/).pop() ?? "";
  return new Problem(status, slug === "blank" ? "" : slug, word("title") || plainTitle(status), word("detail"));
}

function plainTitle(status: number): string {
  if (status === 401) return "You are signed out";
  if (status === 404) return "Not found";
  if (status === 410) return "No longer there";
  if (status === 429) return "Too many requests; wait a moment";
  if (status >= 500) return "The vault has a fault";
  return `The vault refused the request (${status})`;
}

/** What to tell a person about any error. */
export function words(error: unknown): string {
  if (error instanceof Problem) {
    if (!error.detail || error.detail === error.title) return error.title;
    return `${error.title}. ${error.detail}`;
  }
  return error instanceof Error ? error.message : String(error);
}
