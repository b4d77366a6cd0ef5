// The whole way in a browser: an owner uploads, watches and shares a clip; an insurer opens the link; it is revoked.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { Vault } from "./vault.js";
import { assertPlays, assertSeeks, launch, Watched } from "./watch.js";

const CLIP = new URL("../fixtures/clips/carnd_solidWhiteRight_960x540.mp4", import.meta.url).pathname;
const CLIP_MS = 8_900;
const SETTLE_MS = 120_000;

let vault, browser, owner, watched, page, insurer, link, clipPath;

before(async () => {
  vault = await Vault.start();
  browser = await launch();
  owner = await vault.owner("driver@example.org");
  watched = await Watched.open(browser, vault.url);
  page = watched.page;
  insurer = await Watched.open(browser, vault.url);
});
after(async () => {
  await browser?.close();
  await vault?.stop();
});

test("a sign-in link is redeemed by a click, once, and leaves the address bar", async () => {
  await page.goto(owner.sign_in_url);
  const button = page.getByRole("button", { name: "Sign in" });
  await button.waitFor();
  assert.equal(new URL(page.url()).hash, "");
  assert.ok(!watched.asked.some((a) => a.includes("/v1/session")), "asked before the click");
  await watched.inspect("sign-in");
  await button.click();
  await page.getByRole("heading", { name: "No clips yet" }).waitFor();
  await watched.inspect("clips-empty");

  const other = await Watched.open(browser, vault.url);
  await other.page.goto(owner.sign_in_url);
  await other.page.getByRole("button", { name: "Sign in" }).click();
  await other.page.getByText("was used already").waitFor();
  await other.inspect("sign-in-used");
  other.assertClean();
  await other.close();
});

test("a clip is uploaded from the browser, with progress, and becomes ready by itself", async () => {
  // The first PATCH is cut off, and the first question how much arrived is put off: the page asks again, and goes on in
  // the same upload.
  const first = new Set();
  await page.route("**/v1/uploads/*", (route) => {
    const method = route.request().method();
    if (first.has(method)) return route.continue();
    first.add(method);
    return method === "PATCH" ? route.abort("connectionreset") : route.fulfill({ status: 503 });
  });
  await page.getByLabel("Clips to upload").setInputFiles(CLIP);
  await page.getByRole("progressbar", { name: /^Upload of/ }).waitFor();
  await page.getByRole("link", { name: "Show the clip" }).waitFor({ timeout: SETTLE_MS });
  await page.unroute("**/v1/uploads/*");
  const tus = watched.asked.filter((a) => a.includes("/v1/uploads")).map((a) => a.split(" ")[0]);
  assert.deepEqual(tus, ["POST", "PATCH", "HEAD", "HEAD", "PATCH"]);
  await watched.inspect("clips-arriving");
  await page.getByRole("list", { name: "Clips" }).getByText("Ready").waitFor({ timeout: SETTLE_MS });
  await page.getByRole("list", { name: "Clips" }).locator("img").waitFor();
  await watched.inspect("clips");
});

test("the account tells how much is kept and may be, and the end of it", async () => {
  const account = async () => {
    await page.goto(`${vault.url}/account`);
    await page.getByText("driver@example.org").waitFor();
  };
  await account();
  await page.getByText(/^\d.* MB$/).waitFor();
  assert.equal(await page.getByRole("progressbar").count(), 0, "there is no limit");
  await vault.may("driver@example.org", "--bytes", 100_000_000, "--clips", 3, "--vehicle-clips", 2);
  await account();
  await page.getByText(/^\d.* MB of 100 MB$/).waitFor();
  await page.getByText("1 of 3").waitFor();
  await page.getByText("2 clips at most").waitFor();
  await page.getByRole("progressbar", { name: "Storage used" }).waitFor();
  assert.equal(await page.getByText("No further clip is taken").count(), 0);
  await watched.inspect("account-quota");
  await vault.may("driver@example.org", "--bytes", 1000);
  await account();
  await page.getByText("No further clip is taken").waitFor();
  await watched.inspect("account-full");
  await vault.may("driver@example.org");
  await page.goto(vault.url);
});

test("the clip plays, seeks, and its original comes back exactly", async () => {
  await page.getByRole("list", { name: "Clips" }).getByRole("link").first().click();
  await page.locator("video").waitFor();
  clipPath = new URL(page.url()).pathname;
  const played = await assertPlays(page);
  assert.equal(played.way, "hls");
  assert.equal(played.width, 960);
  assert.ok(Math.abs(played.duration * 1000 - CLIP_MS) < 500, `lasts ${played.duration} s`);
  await assertSeeks(page, 7);
  await assertSeeks(page, 1);
  await watched.inspect("clip");

  const sum = createHash("sha256").update(await readFile(CLIP)).digest("hex");
  await page.getByText(sum).waitFor();
  const coming = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download original" }).click();
  const got = await readFile(await (await coming).path());
  assert.equal(createHash("sha256").update(got).digest("hex"), sum);
});

test("without HLS the clip plays as an ordinary file", async () => {
  await page.route("**/hls/**", (route) => route.fulfill({ status: 404 }));
  await page.reload();
  await page.locator("video[data-way=file]").waitFor();
  assert.equal((await assertPlays(page)).width, 960);
  await assertSeeks(page, 6);
  await page.unroute("**/hls/**");
  await page.reload();
  await page.locator("video[data-way=hls]").waitFor();
});

test("a part is chosen on the player and shared", async () => {
  await page.getByRole("button", { name: "Share…" }).click();
  await page.locator("video").evaluate((v) => (v.currentTime = 2));
  await page.getByRole("button", { name: "Use 0:02.0" }).first().click();
  await page.getByLabel("To", { exact: true }).fill("0:06.5");
  await page.getByLabel("To", { exact: true }).press("Tab");
  await page.getByText("0:04.5 of").waitFor();
  await watched.inspect("share");
  await page.getByLabel("Recipient", { exact: true }).fill("claims@insurer.example");
  await page.getByLabel("Ends after").selectOption({ label: "1 day" });
  await page.getByLabel("May be opened").fill("2");
  await page.getByRole("button", { name: "Make link" }).click();
  link = await page.getByLabel("Link", { exact: true }).inputValue();
  assert.match(link, new RegExp(`^${vault.url}/s/[^#?]+#.+$`));
  await watched.inspect("share-made");
});

test("the insurer's page asks nothing before the click, then prepares and plays the part", async () => {
  const { page } = insurer;
  await page.goto(link);
  const button = page.getByRole("button", { name: "Open the clip" });
  await button.waitFor();
  await page.waitForTimeout(500);
  assert.equal(new URL(page.url()).hash, "");
  assert.deepEqual(insurer.asked.filter((a) => a.includes("/v1/")), [], "asked before the click");
  await insurer.inspect("shared-closed");
  await button.click();
  await page.getByRole("heading", { name: "Shared clip" }).waitFor();
  await page.locator("video").waitFor({ timeout: SETTLE_MS });
  const played = await assertPlays(page);
  assert.equal(played.way, "hls");
  assert.ok(Math.abs(played.duration - 4.5) < 0.5, `the part lasts ${played.duration} s`);
  await assertSeeks(page, 3);
  await page.getByText("0:02.0 to 0:06.5").waitFor();
  await page.getByText(createHash("sha256").update(await readFile(CLIP)).digest("hex")).waitFor();
  await insurer.inspect("shared");

  await page.reload();
  await page.locator("video").waitFor();
  assert.equal(insurer.asked.filter((a) => a === "POST /v1/links/redeem").length, 1, "a reload is no second opening");
});

test("a link's session opens nothing of the owner", async () => {
  for (const path of ["/v1/clips", "/v1/me", "/v1/links", `/v1${clipPath}/original`]) {
    const status = await insurer.page.evaluate((p) => fetch(p).then((r) => r.status), path);
    assert.ok([401, 403, 404].includes(status), `${path}: ${status}`);
  }
});

test("the owner sees the opening, revokes the link, and the open page ends", async () => {
  await page.getByRole("navigation").getByRole("link", { name: "Links" }).click();
  await page.getByText("claims@insurer.example").waitFor();
  await page.getByText("Opened 1 of 2 times").waitFor();
  await watched.inspect("links");
  await page.getByRole("button", { name: /^Revoke… the link/ }).click();
  await page.getByRole("dialog").waitFor();
  await watched.inspect("revoke-dialog");
  await page.getByRole("button", { name: "Revoke link" }).click();
  await page.getByText("Revoked", { exact: true }).waitFor();

  await insurer.page.getByRole("heading", { name: /revoked|Open your link again/ }).waitFor({ timeout: 40_000 });
  const refused = await Watched.open(browser, vault.url);
  await refused.page.goto(link);
  await refused.page.getByRole("button", { name: "Open the clip" }).click();
  await refused.page.getByRole("heading", { name: "This link was revoked" }).waitFor();
  await refused.inspect("shared-revoked");

  // Pasted into the same tab, a link changes only the fragment: it must be taken up all the same.
  await refused.page.goto(`${link.slice(0, link.indexOf("#"))}#forged`);
  await refused.page.getByRole("button", { name: "Open the clip" }).click();
  await refused.page.getByRole("heading", { name: "This link is not complete" }).waitFor();
  assert.equal(new URL(refused.page.url()).hash, "");
  refused.assertClean();
  await refused.close();
});

test("activity tells of the opening", async () => {
  await page.getByRole("navigation").getByRole("link", { name: "Activity" }).click();
  await page.getByText(/link opened/i).first().waitFor();
  await watched.inspect("activity");
});

test("a vehicle's pairing code is shown", async () => {
  await page.getByRole("navigation").getByRole("link", { name: "Vehicles" }).click();
  await page.getByRole("heading", { name: "No vehicle is paired" }).waitFor();
  await watched.inspect("vehicles-empty");
  await page.getByRole("button", { name: "Pair a vehicle" }).click();
  await page.getByLabel("Name").fill("Family car");
  await page.getByLabel(/^Plate/).fill("B DV 2026");
  await page.getByLabel(/^VIN/).fill("WVWZZZ1JZXW000001");
  await watched.inspect("pair-dialog");
  await page.getByRole("button", { name: "Show pairing code" }).click();
  await page.getByTestId("pairing-code").waitFor();
  const code = await page.getByTestId("pairing-code").innerText();
  assert.ok(code.replaceAll(/[^A-Za-z0-9]/g, "").length >= 8, `40 bits are 8 characters: ${code.length}`);
  await watched.inspect("pairing-code");
  await page.getByRole("button", { name: "Done" }).click();
});

test("a clip goes to the trash, comes back, and is deleted for good", async () => {
  const bin = async () => {
    await page.goto(vault.url + clipPath);
    await page.getByRole("button", { name: "Move to trash…" }).click();
    await page.getByRole("button", { name: "Move to trash", exact: true }).click();
    await page.getByRole("heading", { name: "No clips yet" }).waitFor();
    await page.getByRole("navigation").getByRole("link", { name: "Trash" }).click();
  };
  await bin();
  await page.getByRole("button", { name: /^Restore/ }).waitFor();
  await watched.inspect("trash");
  await page.getByRole("button", { name: /^Restore/ }).click();
  await page.getByRole("heading", { name: "The trash is empty" }).waitFor();
  await bin();
  await page.getByRole("button", { name: /^Delete for good…/ }).click();
  await page.getByRole("button", { name: "Delete for good", exact: true }).click();
  await page.getByRole("heading", { name: "The trash is empty" }).waitFor();
  await page.goto(vault.url + clipPath);
  await page.getByRole("heading", { name: /This clip is not there|The clip is being erased/ }).waitFor();
});

test("every page tells when the storage was last proven private, and says it when it is open or cannot be told", async () => {
  const line = page.getByRole("status", { name: "Storage" });
  for (const path of ["/", "/links", "/activity", "/vehicles", "/trash", "/account"]) {
    await page.goto(vault.url + path);
    await line.getByText(/^Last proven private .* ago\.$/).waitFor();
  }
  await watched.inspect("proven-private");

  const unknown = { verdict: "unknown", private_at: "2026-01-01T09:00:00Z", open_since: null, uploads_wait: false, at: "2026-01-01T12:00:00Z" };
  await page.route("**/v1/exposure", (route) => route.fulfill({ json: unknown }));
  await page.reload();
  await line.getByText("cannot be told now whether the storage is private. Last proven private 3 hours ago").waitFor();
  await watched.inspect("proven-unknown");
  await page.unroute("**/v1/exposure");
  await page.route("**/v1/exposure", (route) => route.fulfill({ status: 503 }));
  await page.reload();
  await line.getByText("does not say now whether its storage is private").waitFor();
  await page.unroute("**/v1/exposure");

  // The folder is opened to everybody on the machine, and shut again.
  const shows = async (words) => {
    for (const until = Date.now() + SETTLE_MS; !(await line.innerText()).match(words); ) {
      assert.ok(Date.now() < until, `not ${words}: ${await line.innerText()}`);
      await page.reload();
      await page.waitForTimeout(500);
    }
  };
  await vault.open(true);
  await shows(/EXPOSED: strangers can reach the storage since .*What lies there is sealed.*New clips are refused until it is shut/s);
  await watched.inspect("proven-exposed");
  await vault.open(false);
  await shows(/^Last proven private less than a minute ago/);
});

test("the owner signs out, and nothing is shown any more", async () => {
  await page.goto(`${vault.url}/account`);
  await page.getByText("driver@example.org").waitFor();
  await watched.inspect("account");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  await page.goto(`${vault.url}/links`);
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
});

test("no page asked another origin, broke the policy or threw", () => {
  watched.assertClean();
  insurer.assertClean();
});
