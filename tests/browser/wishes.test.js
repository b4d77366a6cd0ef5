// An owner sees the small picture of a clip and asks the vehicle for the full video, which comes before everything else.
import assert from "node:assert/strict";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Vault } from "./vault.js";
import { launch, Watched } from "./watch.js";

const clip = (name) => new URL(`../fixtures/clips/${name}`, import.meta.url).pathname;
const SMALL = clip("garmin_mini2_sample_1.mp4");
const FULL = clip("carnd_solidWhiteRight_960x540.mp4");
const SETTLE_MS = 120_000;

let vault, browser, owner, device, card, watched, page, section, small, lonely;

before(async () => {
  vault = await Vault.start(undefined, "--cellular-routine", "small");
  browser = await launch();
  owner = await vault.owner("driver@example.org");
  device = await vault.vehicle(owner.token, "car");
  card = join(vault.dir, "card");
  for (const folder of ["1/small", "1/full", "2/small"]) await mkdir(join(card, folder), { recursive: true });
  await copyFile(SMALL, join(card, "1/small/a.mp4"));
  await copyFile(FULL, join(card, "1/full/a.mp4"));
  await copyFile(clip("hevc_hvc1.mp4"), join(card, "2/small/b.mp4"));
  const delivered = await vault.bring(device, card);
  assert.deepEqual(Object.keys(delivered).sort(), ["1/small/a.mp4", "2/small/b.mp4"], "a full one costs too much");
  [small, lonely] = [delivered["1/small/a.mp4"], delivered["2/small/b.mp4"]];
  watched = await Watched.open(browser, vault.url);
  page = watched.page;
  await page.goto(owner.sign_in_url);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Clips", exact: true }).waitFor();
});
after(async () => {
  await browser?.close();
  await vault?.stop();
});

async function show(id) {
  await page.goto(`${vault.url}/clips/${id}`);
  section = page.getByRole("region", { name: "Full video" });
  await section.waitFor({ timeout: SETTLE_MS });
}

/** What the vehicle is asked for, as it hears it itself. */
async function heard() {
  const headers = { Authorization: `Bearer ${await vault.vehicleToken(device)}` };
  const { wishes } = await (await fetch(`${vault.url}/v1/vehicle/policy`, { headers })).json();
  return wishes.map((wish) => wish.clip_id);
}

test("a full video is asked for, is on its way once the vehicle heard of it, and arrives", async () => {
  await show(small);
  await watched.inspect("full-video-none");
  await section.getByRole("button", { name: "Ask the vehicle for the full video" }).click();
  await section.getByText(/^Asked .* next online/).waitFor();
  assert.equal(await section.getByRole("button").innerText(), "Ask no more");
  await page.reload();
  await section.getByText(/^Asked /).waitFor();

  // The page goes on by itself from here.
  assert.deepEqual(await heard(), [small]);
  await section.getByText(/^On its way/).waitFor({ timeout: 20_000 });
  const { "1/full/a.mp4": full } = await vault.bring(device, card);
  await section.getByText(/^Arrived /).waitFor({ timeout: 20_000 });
  assert.equal(await section.getByRole("button").count(), 0, "there is nothing more to ask for");
  await watched.inspect("full-video-arrived");
  await section.getByRole("link", { name: "Open the full video" }).click();
  await page.waitForURL(`${vault.url}/clips/${full}`);
  await page.locator("video").waitFor({ timeout: SETTLE_MS });
  await page.getByText("960×540").first().waitFor();
});

test("asked no more, the vehicle hears nothing; asked again, it says that it has no more", async () => {
  await show(lonely);
  await section.getByRole("button", { name: "Ask the vehicle for the full video" }).click();
  await section.getByRole("button", { name: "Ask no more" }).click();
  const ask = section.getByRole("button", { name: "Ask the vehicle for the full video" });
  await ask.waitFor();
  assert.deepEqual(await heard(), []);
  await ask.click();
  await section.getByText(/^Asked /).waitFor();
  await vault.bring(device, card);
  await section.getByText("The vehicle does not have it").waitFor({ timeout: 20_000 });
  await section.getByRole("button", { name: "Ask the vehicle again" }).waitFor();
});

test("activity tells of each step", async () => {
  await page.goto(`${vault.url}/activity`);
  for (const words of ["Vehicle asked for the full video", "Full video arrived", "Vehicle asked no more for the full video", "Vehicle does not have the full video"]) {
    await page.getByText(words, { exact: true }).first().waitFor();
  }
  assert.equal(await page.getByText("Vehicle asked for the full video", { exact: true }).count(), 3);
});

test("a vehicle that was revoked can be asked for nothing", async () => {
  const { devices } = await (await fetch(`${vault.url}/v1/devices`, { headers: { Authorization: `Bearer ${owner.token}` } })).json();
  await fetch(`${vault.url}/v1/devices/${devices[0].id}`, { method: "DELETE", headers: { Authorization: `Bearer ${owner.token}` } });
  await page.goto(`${vault.url}/clips/${small}`);
  await page.getByRole("button", { name: "Move to trash…" }).waitFor();
  await page.waitForTimeout(500);
  assert.equal(await page.getByRole("region", { name: "Full video" }).count(), 0);
  watched.assertClean();
});
