// Asks again and again while something is on its way, more slowly the longer nothing changes.

const FIRST_MS = 700;
const SLOWEST_MS = 15_000;
const GROWTH = 1.4;
/** While a page is hidden nobody looks. */
const HIDDEN_MS = 30_000;

/** The pause after `unchanged` answers that told nothing new. */
export function pause(unchanged: number, hidden = false): number {
  if (hidden) return HIDDEN_MS;
  return Math.min(SLOWEST_MS, Math.round(FIRST_MS * GROWTH ** unchanged));
}

/**
 * Calls `look` until it answers `done`, or until the returned function is called. `look` answers `changed` when it saw
 * news, which makes the next pause short again; a failed look counts as unchanged.
 */
export function poll(look: () => Promise<"done" | "changed" | "same">): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let unchanged = 0;
  const again = () => {
    timer = setTimeout(turn, pause(unchanged, document.hidden));
  };
  const turn = async () => {
    let saw: "done" | "changed" | "same" = "same";
    try {
      saw = await look();
    } catch {
      // The page shows the last good answer; the next look may succeed.
    }
    if (stopped || saw === "done") return;
    unchanged = saw === "changed" ? 0 : unchanged + 1;
    again();
  };
  const shown = () => {
    if (stopped || document.hidden) return;
    clearTimeout(timer);
    unchanged = 0;
    again();
  };
  document.addEventListener("visibilitychange", shown);
  again();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  };
}
