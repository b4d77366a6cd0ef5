// Why a shared clip is not shown, in plain words.
import { Problem } from "../api/call";

export interface Ending {
  title: string;
  text: string;
}

const ASK = "If you still need it, ask the person who sent it for a new link.";

/** `reload`: the page had no token of its own, only a session. */
export function ending(error: unknown, reload: boolean): Ending {
  const problem = error instanceof Problem ? error : new Problem(0, "", "", "");
  const hint = `${problem.slug} ${problem.detail}`.toLowerCase();
  if (hint.includes("revoked")) return { title: "This link was revoked", text: `The owner of the clip ended it. ${ASK}` };
  if (/used[- _]up|opens/.test(hint)) return { title: "This link is used up", text: `It was opened as often as its owner allowed. ${ASK}` };
  if (/expired|ended/.test(hint)) return { title: "This link has ended", text: `Its time is over. ${ASK}` };
  if (problem.status === 410) return { title: "This link no longer works", text: `It has ended, was revoked, or was opened as often as its owner allowed. ${ASK}` };
  if (reload && (problem.status === 401 || problem.status === 403))
    return { title: "Open your link again", text: "This page is not open in this browser any more. Use the link from your message once more." };
  return { title: "This link is not complete", text: "The vault does not know it. Check that it was copied whole, up to its last letter." };
}
