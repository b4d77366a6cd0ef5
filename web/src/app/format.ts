// Times, spans and sizes as people read them.
import type { Clip, LinkRow, Time } from "../api/types";

export function date(time: Time | null | undefined): Date | null {
  if (time === null || time === undefined || time === "") return null;
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? null : at;
}

/** Day and time of day, in the reader's language and zone. */
export function moment(time: Time | null | undefined, missing = "unknown"): string {
  const at = date(time);
  if (!at) return missing;
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(at);
}

/** The same with seconds and the zone, for evidence. */
export function exactMoment(time: Time | null | undefined, missing = "unknown"): string {
  const at = date(time);
  if (!at) return missing;
  return new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "long" }).format(at);
}

/** `1:02`, `1:00:07`; with `tenths`, `0:04.5`. */
export function clock(ms: number | null | undefined, tenths = false): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–:––";
  const all = tenths ? Math.floor(ms / 100) / 10 : Math.round(ms / 1000);
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  const rest = all % 60;
  const seconds = tenths ? rest.toFixed(1).padStart(4, "0") : String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

/** Decimal units, as disks and networks are sold. */
export function size(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return "unknown size";
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    value /= 1000;
    if (value < 999.5 || unit === "TB") return `${value >= 99.5 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

/** `6 days`, `3 hours`, `12 minutes`; the largest unit that is not misleading. */
export function left(until: Time | null | undefined, now: number): string {
  const at = date(until);
  if (!at) return "unknown";
  const minutes = Math.floor((at.getTime() - now) / 60_000);
  if (minutes < 0) return "over";
  if (minutes < 1) return "less than a minute";
  if (minutes < 120) return plural(minutes, "minute");
  if (minutes < 48 * 60) return plural(Math.floor(minutes / 60), "hour");
  return plural(Math.floor(minutes / 1440), "day");
}

/** `2 minutes ago`, as seen at `now`. */
export function ago(time: Time | null | undefined, now: number): string {
  const at = date(time);
  return at ? `${left(Math.max(now, at.getTime()), at.getTime())} ago` : "never";
}

export const plural = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

/** 0 … 100, whole. */
export const percent = (progress: number | null | undefined) =>
  Math.max(0, Math.min(100, Math.floor((progress ?? 0) * 100)));

/** `3 of 10`, or `3` where there is no limit. */
export const outOf = (used: number, most: number | null, told: (n: number) => string = String) =>
  most === null ? told(used) : `${told(used)} of ${told(most)}`;

/** What a link is now, whatever the row was when it was read. */
export function linkState(link: LinkRow, now: number): "preparing" | "ready" | "failed" | "revoked" | "expired" | "used up" {
  if (link.revoked_at || link.state === "revoked") return "revoked";
  const end = date(link.expires_at);
  if (link.state === "expired" || (end && end.getTime() <= now)) return "expired";
  if (link.state === "used_up" || (link.max_opens !== null && link.opens >= link.max_opens)) return "used up";
  if (link.state === "failed") return "failed";
  return link.state === "preparing" ? "preparing" : "ready";
}

export const busy = (clip: Clip) => clip.state === "uploading" || clip.state === "queued" || clip.state === "transcoding";

export function clipTitle(clip: Clip): string {
  return date(clip.recorded_at) ? moment(clip.recorded_at) : clip.filename || `Clip ${clip.id.slice(0, 6)}`;
}

export function reason(error: Clip["error"]): string {
  if (!error) return "No reason was told.";
  const word = typeof error === "string" ? error : error.detail || error.code || "";
  return word ? word.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase()) : "No reason was told.";
}
