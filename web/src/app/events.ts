// Words for kinds of events. An unknown kind is shown as its own name, so that a newer service loses nothing.

const WORDS: Record<string, string> = {
  owner_added: "Account made",
  signed_in: "Signed in",
  signed_out: "Signed out",
  sign_in_made: "Sign-in link made",
  device_paired: "Vehicle paired",
  device_renamed: "Vehicle renamed",
  device_key_changed: "Vehicle has another key",
  device_key_copied: "Vehicle's key used from two places: revoke it and pair it anew",
  device_revoked: "Vehicle revoked",
  pairing_code_made: "Pairing code made",
  pairing_refused: "Pairing code ended by wrong tries",
  upload_created: "Upload begun",
  upload_complete: "Upload complete",
  upload_completed: "Upload complete",
  upload_ended: "Upload ended",
  upload_expired: "Upload ended: nothing came for too long",
  clip_ready: "Clip ready",
  clip_failed: "Clip could not be prepared",
  clip_trashed: "Clip moved to the trash",
  clip_restored: "Clip restored",
  clip_held: "Clip put on hold by the operator",
  clip_released: "Hold of a clip ended",
  clip_erased: "Clip erased",
  wish_made: "Vehicle asked for the full video",
  wish_taken_back: "Vehicle asked no more for the full video",
  wish_come: "Full video arrived",
  wish_missing: "Vehicle does not have the full video",
  clip_viewed: "Clip viewed",
  viewed: "Clip viewed",
  link_made: "Link made",
  link_created: "Link made",
  link_opened: "Link opened",
  link_viewed: "Viewed through a link",
  link_revoked: "Link revoked",
  link_refused: "Link refused",
  keys_kept: "Clips shown during an outage of the key service",
  reads_braked: "Very many clips opened: slowed down",
};

export function eventWords(kind: string): string {
  const key = kind.replaceAll(/[.\- ]/g, "_");
  return WORDS[key] ?? kind.replaceAll(/[._-]/g, " ").replace(/^./, (c) => c.toUpperCase());
}
