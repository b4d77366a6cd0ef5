// Uploads from the browser: tus 1.0.0, one file at a time, resumable after a cut and after a reload.
import { Upload, type PreviousUpload, type UrlStorage } from "tus-js-client";

/** A PATCH of this size passes through proxies that cap or buffer a body, and costs little to repeat. */
const CHUNK_BYTES = 32 * 1024 * 1024;
const RETRY_PAUSES_MS = [0, 1000, 3000, 5000, 10_000, 20_000, 30_000];
const STORED = "dashvault.uploads.";
/** An unfinished upload is forgotten by the service after a week. */
const STORED_FOR_MS = 7 * 24 * 3600 * 1000;

export interface Sending {
  key: number;
  name: string;
  bytes: number;
  sent: number;
  state: "waiting" | "sending" | "paused" | "done" | "failed";
  problem: string;
  clipId: string | null;
}

/** Only the digest of what identifies the file is kept in the browser: no name, no date. */
async function fingerprint(file: File): Promise<string> {
  const text = [file.name, file.type, file.size, file.lastModified].join("\n");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Remembers where an unfinished upload lives, so that choosing the same file again goes on with it. */
export class Remembered implements UrlStorage {
  constructor(private readonly storage: Storage) {}

  async findAllUploads(): Promise<PreviousUpload[]> {
    return [];
  }

  async findUploadsByFingerprint(print: string): Promise<PreviousUpload[]> {
    const text = this.storage.getItem(STORED + print);
    if (!text) return [];
    try {
      const kept = JSON.parse(text) as { url: string; size: number; at: number };
      if (Date.now() - kept.at > STORED_FOR_MS || new URL(kept.url, location.origin).origin !== location.origin) throw new Error("stale");
      return [{ size: kept.size, metadata: {}, creationTime: new Date(kept.at).toISOString(), urlStorageKey: STORED + print, uploadUrl: kept.url, parallelUploadUrls: null }];
    } catch {
      this.storage.removeItem(STORED + print);
      return [];
    }
  }

  async removeUpload(key: string): Promise<void> {
    this.storage.removeItem(key);
  }

  async addUpload(print: string, upload: PreviousUpload): Promise<string> {
    if (!upload.uploadUrl) return STORED + print;
    this.storage.setItem(STORED + print, JSON.stringify({ url: upload.uploadUrl, size: upload.size ?? 0, at: Date.now() }));
    return STORED + print;
  }
}

class Uploads {
  list = $state<Sending[]>([]);
  /** Called with the clip's id whenever the service has made or completed one. */
  onclip: (() => void) | null = null;
  #running: Upload | null = null;
  #files = new Map<number, File>();
  #next = 1;

  get active() {
    return this.list.some((s) => s.state === "sending" || s.state === "waiting");
  }

  add(files: Iterable<File>) {
    for (const file of files) {
      const key = this.#next++;
      this.#files.set(key, file);
      const sending: Sending = { key, name: file.name, bytes: file.size, sent: 0, state: "waiting", problem: "", clipId: null };
      if (file.size === 0) Object.assign(sending, { state: "failed", problem: "The file is empty." });
      this.list.push(sending);
    }
    void this.#turn();
  }

  again(key: number) {
    const sending = this.list.find((s) => s.key === key);
    if (!sending) return;
    sending.state = "waiting";
    sending.problem = "";
    void this.#turn();
  }

  async pause(key: number) {
    const sending = this.list.find((s) => s.key === key);
    if (!sending) return;
    if (sending.state === "sending") {
      sending.state = "paused";
      const running = this.#running;
      this.#running = null;
      await running?.abort();
    }
    sending.state = "paused";
    void this.#turn();
  }

  dismiss(key: number) {
    this.list = this.list.filter((s) => s.key !== key || s.state === "sending");
    if (!this.list.some((s) => s.key === key)) this.#files.delete(key);
  }

  async #turn() {
    if (this.#running) return;
    const sending = this.list.find((s) => s.state === "waiting");
    const file = sending && this.#files.get(sending.key);
    if (!sending || !file) return;
    sending.state = "sending";
    const ended = (state: Sending["state"], problem = "") => {
      if (sending.state !== "sending") return;
      sending.state = state;
      sending.problem = problem;
      this.#running = null;
      if (state === "done") this.#files.delete(sending.key);
      this.onclip?.();
      void this.#turn();
    };
    const upload = new Upload(file, {
      endpoint: "/v1/uploads",
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_PAUSES_MS,
      fingerprint: () => fingerprint(file),
      urlStorage: new Remembered(localStorage),
      removeFingerprintOnSuccess: true,
      metadata: {
        filename: file.name,
        filetype: file.type || "application/octet-stream",
        // No recorded_at: a file's date is often that of a copy, and would be shown to an insurer as the recording's.
      },
      // The library takes any refused HEAD for a lost upload and begins anew at byte 0. Only 404 and 410 mean that.
      onAfterResponse: (request, answer) => {
        const status = answer.getStatus();
        if (request.getMethod() === "HEAD" && (status === 401 || status === 403 || status === 429 || status >= 500)) throw new Error(`HEAD answered ${status}`);
      },
      onUploadUrlAvailable: () => {
        sending.clipId = upload.url?.split("/").pop() ?? null;
        this.onclip?.();
      },
      onProgress: (sent) => (sending.sent = sent),
      onSuccess: () => {
        sending.sent = sending.bytes;
        ended("done");
      },
      onError: (error) => ended("failed", refusal(error)),
    });
    this.#running = upload;
    const earlier = await upload.findPreviousUploads();
    if (earlier[0]) upload.resumeFromPreviousUpload(earlier[0]);
    if (sending.state === "sending") upload.start();
  }
}

/** Why an upload stopped, for a person. */
export function refusal(error: unknown): string {
  const answer = (error as { originalResponse?: { getStatus(): number } | null }).originalResponse;
  const status = answer?.getStatus() ?? 0;
  if (status === 401) return "You are signed out. Sign in, then go on.";
  if (status === 413) return "The file is larger than this vault takes.";
  if (status === 507) return "The vault is full.";
  if (status === 0) return "The connection was lost. What arrived is kept.";
  return `The vault refused it (${status}). What arrived is kept.`;
}

export const uploads = new Uploads();
