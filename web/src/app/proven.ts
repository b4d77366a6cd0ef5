// Whether strangers get at what is stored, in words that do not say more than is known.
import type { Exposure } from "../api/types";
import { ago, date, moment } from "./format";

/** An answer that is older says nothing of now: the pages ask every half minute. */
const OLD_MS = 5 * 60_000;

export interface Proven {
  tone: "good" | "warn" | "bad";
  text: string;
}

/** What to show of the last answer, which came `since` milliseconds ago; none has come yet with `null`. */
export function proven(told: Exposure | null, since: number): Proven {
  if (!told || since > OLD_MS) {
    return { tone: "warn", text: "The vault does not say now whether its storage is private." };
  }
  // By the service's clock: the reader's may be off.
  const now = (date(told.at)?.getTime() ?? Date.now()) + Math.max(0, since);
  const last = told.private_at ? `Last proven private ${ago(told.private_at, now)}.` : "It was never proven private.";
  const waits = (until: string) => (told.uploads_wait ? ` New clips are refused until ${until}; vehicles keep theirs.` : "");
  switch (told.verdict) {
    case "private":
      return { tone: "good", text: last };
    case "exposed":
      return {
        tone: "bad",
        text:
          `EXPOSED: strangers can reach the storage since ${moment(told.open_since)}. What lies there is sealed: they see no picture, ` +
          `sound or place, but how much there is and when it was written.${waits("it is shut")}`,
      };
    default:
      return { tone: "warn", text: `It cannot be told now whether the storage is private. ${last}${waits("it is proven")}` };
  }
}
