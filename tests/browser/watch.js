// Chromium, and what is held against every page: its origin, its policy, its accessibility, its looks.
import axe from "axe-core";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { program } from "./vault.js";

const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** A page that does not show within this what it should has failed; waits for the service say their own limit. */
const ANSWER_LIMIT_MS = 15_000;
export const WIDE = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export async function launch() {
  return chromium.launch({ executablePath: await program("DASHVAULT_CHROMIUM", "/usr/bin/chromium"), args: ARGUMENTS });
}

/** A browser profile that notes every request elsewhere, every violation of the policy and every error. */
export class Watched {
  constructor(context, origin) {
    Object.assign(this, { context, origin, strangers: [], violations: [], errors: [], asked: [] });
  }

  static async open(browser, origin) {
    const context = await browser.newContext({ viewport: WIDE, locale: "en-GB", timezoneId: "Europe/Berlin", permissions: ["clipboard-read", "clipboard-write"] });
    const watched = new Watched(context, origin);
    context.on("request", (request) => {
      const url = new URL(request.url());
      watched.asked.push(`${request.method()} ${url.pathname}`);
      if (!["blob:", "data:"].includes(url.protocol) && url.origin !== origin) watched.strangers.push(request.url());
    });
    await context.exposeBinding("noteViolation", (_, what) => watched.violations.push(what));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (e) => window.noteViolation(`${e.effectiveDirective}: ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
    });
    context.setDefaultTimeout(ANSWER_LIMIT_MS);
    watched.page = await context.newPage();
    watched.page.on("pageerror", (error) => watched.errors.push(String(error)));
    return watched;
  }

  /** axe and a picture, wide and at a phone's width; nothing may stick out sideways. */
  async inspect(name) {
    const { page } = this;
    for (const [size, viewport] of [["wide", WIDE], ["phone", PHONE]]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        if (process.env.DASHVAULT_SCREENSHOTS) {
          await mkdir(process.env.DASHVAULT_SCREENSHOTS, { recursive: true });
          await page.screenshot({ path: join(process.env.DASHVAULT_SCREENSHOTS, `${name}-${size}-${colorScheme}.png`), fullPage: true });
        }
        // Evaluated through the debugger, which the page's policy does not hold back.
        const found = await page.evaluate(`${axe.source}; axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations)`);
        assert.deepEqual(found.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`), [], `axe on ${name}, ${size}, ${colorScheme}`);
      }
      const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(sideways <= 0, `${name} is ${sideways} px too wide for ${size}`);
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(WIDE);
  }

  /** Nothing left the origin, nothing broke the policy, nothing threw. */
  assertClean() {
    assert.deepEqual(this.strangers, [], "requests to another origin");
    assert.deepEqual(this.violations, [], "violations of the content security policy");
    assert.deepEqual(this.errors, [], "errors in the page");
  }

  async close() {
    await this.context.close();
  }
}

/** Plays until the clock has moved, and answers how the video was loaded. */
export async function assertPlays(page) {
  const video = page.locator("video");
  await video.evaluate((v) => {
    v.muted = true;
    return v.play();
  });
  await page.waitForFunction(() => document.querySelector("video").currentTime > 0.5, null, { timeout: 20_000 });
  return video.evaluate((v) => ({ way: v.dataset.way, width: v.videoWidth, duration: v.duration }));
}

/** Jumps, and waits until a picture from there is shown. */
export async function assertSeeks(page, seconds) {
  await page.locator("video").evaluate((v, to) => {
    v.pause();
    v.currentTime = to;
  }, seconds);
  await page.waitForFunction((to) => {
    const v = document.querySelector("video");
    return !v.seeking && v.readyState >= 2 && Math.abs(v.currentTime - to) < 0.3;
  }, seconds, { timeout: 20_000 });
}
