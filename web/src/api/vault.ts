// The service's routes, one function each.
import { call } from "./call";
import type { Clip, Device, Event, Exposure, LinkMade, LinkRow, LinkWish, Me, PairingCode, Shared, Usage, Wish } from "./types";

/** Clips a request of the list. */
export const CLIPS_A_PAGE = 24;
const EVENTS_A_PAGE = 50;
const LINKS_AT_ONCE = 1000;

const COOKIE = { "Accept-Session": "cookie" };
const id = encodeURIComponent;

export const signIn = (token: string) => call<unknown>("/v1/session", { method: "POST", body: { token }, headers: COOKIE });
export const signOut = () => call<null>("/v1/session", { method: "DELETE" });
export const me = () => call<Me>("/v1/me");
export const usage = () => call<Usage>("/v1/usage");
export const exposure = () => call<Exposure>("/v1/exposure");

export interface ClipFilter {
  state?: "trashed";
  from?: string;
  to?: string;
  device?: string;
  cursor?: string | null;
  limit?: number;
}

export async function clips(filter: ClipFilter = {}): Promise<{ clips: Clip[]; next_cursor: string | null }> {
  const query = new URLSearchParams({ limit: String(filter.limit ?? CLIPS_A_PAGE) });
  for (const key of ["state", "from", "to", "device", "cursor"] as const) {
    const value = filter[key];
    if (value) query.set(key, value);
  }
  return call(`/v1/clips?${query}`);
}

export const clip = (clipId: string) => call<Clip>(`/v1/clips/${id(clipId)}`);
export const trash = (clipId: string) => call<unknown>(`/v1/clips/${id(clipId)}`, { method: "DELETE" });
export const erase = (clipId: string) => call<unknown>(`/v1/clips/${id(clipId)}?now=true`, { method: "DELETE" });
export const restore = (clipId: string) => call<unknown>(`/v1/clips/${id(clipId)}/restore`, { method: "POST" });

/** What the vehicle that sent a clip was asked for with it; a 404 when nothing was. */
export const wish = (clipId: string) => call<Wish>(`/v1/clips/${id(clipId)}/wish`);
export const makeWish = (clipId: string) => call<Wish>(`/v1/clips/${id(clipId)}/wish`, { method: "POST" });
export const takeWishBack = (clipId: string) => call<unknown>(`/v1/clips/${id(clipId)}/wish`, { method: "DELETE" });

export const makeLink = (clipId: string, wish: LinkWish) =>
  call<LinkMade>(`/v1/clips/${id(clipId)}/links`, { method: "POST", body: wish });
/** The newest links; an owner has at most half as many that are not over. */
export const links = async () => (await call<{ links: LinkRow[] }>(`/v1/links?limit=${LINKS_AT_ONCE}`)).links;
export const revokeLink = (linkId: string) => call<unknown>(`/v1/links/${id(linkId)}`, { method: "DELETE" });

export const devices = async () => (await call<{ devices: Device[] }>("/v1/devices")).devices;
export const pairingCode = (about: { label: string; vin: string | null; plate: string | null }) =>
  call<PairingCode>("/v1/devices/pairing-codes", { method: "POST", body: about });
export const renameDevice = (deviceId: string, label: string) =>
  call<unknown>(`/v1/devices/${id(deviceId)}`, { method: "PATCH", body: { label } });
export const revokeDevice = (deviceId: string) => call<unknown>(`/v1/devices/${id(deviceId)}`, { method: "DELETE" });

export function activity(cursor?: string | null): Promise<{ events: Event[]; next_cursor: string | null }> {
  const query = new URLSearchParams({ limit: String(EVENTS_A_PAGE) });
  if (cursor) query.set("cursor", cursor);
  return call(`/v1/activity?${query}`);
}

export const redeem = (token: string) => call<Shared>("/v1/links/redeem", { method: "POST", body: { token }, headers: COOKIE });
export const shared = () => call<Shared>("/v1/shared");

/** Where the media of a clip, or of the link that this browser opened, begin. */
export const clipMedia = (clipId: string) => `/v1/clips/${id(clipId)}`;
export const SHARED_MEDIA = "/v1/shared";
