// The service's JSON bodies, as the pages read them.

/** An RFC 3339 text, or integer milliseconds since 1970. */
export type Time = string | number;

export type ClipState = "uploading" | "queued" | "transcoding" | "ready" | "failed" | "trashed" | "erasing";

export interface Rendition {
  name: string;
  width: number;
  height: number;
  codec: string;
  bytes: number;
}

export interface Clip {
  id: string;
  state: ClipState;
  /** 0 … 1 of the current work. */
  progress: number | null;
  incomplete: boolean;
  recorded_at: Time | null;
  received_at?: Time | null;
  duration_ms: number | null;
  bytes: number | null;
  sha256: string | null;
  device_id: string | null;
  filename?: string | null;
  camera?: string | null;
  kind?: string | null;
  renditions: Rendition[];
  has_audio: boolean;
  has_track: boolean;
  error: string | { code?: string; detail?: string } | null;
  erase_at?: Time | null;
  held?: boolean;
}

/** What an owner asked the vehicle that sent a clip for: the rest of it. */
export interface Wish {
  clip_id: string;
  state: "open" | "come" | "missing" | "expired";
  answer_clip_id: string | null;
  created_at: Time;
  expires_at: Time;
  /** When the vehicle first heard of it. */
  told_at: Time | null;
  answered_at: Time | null;
}

export interface LinkRow {
  id: string;
  clip_id: string;
  recipient: string | null;
  state: string;
  created_at: Time;
  expires_at: Time;
  from_ms: number;
  to_ms: number;
  audio: boolean;
  location: boolean;
  download: boolean;
  opens: number;
  max_opens: number | null;
  revoked_at: Time | null;
}

export interface LinkWish {
  recipient: string;
  expires_in_s: number;
  from_ms: number;
  to_ms: number;
  audio: boolean;
  location: boolean;
  download: boolean;
  max_opens: number;
}

export interface LinkMade {
  id: string;
  url: string;
  expires_at: Time;
  state: string;
}

export interface Shared {
  link_id?: string;
  expires_at: Time;
  download?: boolean;
  clip: {
    duration_ms: number | null;
    from_ms: number;
    to_ms: number;
    recorded_at: Time | null;
    sha256_of_original: string | null;
    renditions: Rendition[];
  };
  media: { state: "preparing" | "ready" | "failed"; progress: number | null };
}

export interface Device {
  id: string;
  label: string | null;
  vin: string | null;
  plate: string | null;
  state: string;
  paired_at: Time | null;
  last_seen_at: Time | null;
}

export interface Event {
  id: string;
  at: Time;
  kind: string;
  text?: string | null;
  detail?: string | null;
  clip_id?: string | null;
  link_id?: string | null;
}

export interface Me {
  owner_id: string;
  email: string;
  storage_bytes?: number | null;
  clips?: number | null;
}

/** What an owner keeps, and may; `null` is no limit. */
export interface Usage {
  bytes: number;
  clips: number;
  most_bytes: number | null;
  most_clips: number | null;
  most_vehicle_bytes: number | null;
  most_vehicle_clips: number | null;
  by_vehicle: { device_id: string | null; bytes: number; clips: number }[];
}

export interface PairingCode {
  code: string;
  expires_at: Time;
}

export interface Exposure {
  verdict: "private" | "exposed" | "unknown";
  private_at: Time | null;
  open_since: Time | null;
  uploads_wait: boolean;
  /** The service's own time, by which the others are to be read. */
  at: Time;
}
