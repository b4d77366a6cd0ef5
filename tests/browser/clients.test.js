// tus-js-client and Uppy, in a browser, over links that cut, reset, stall and slow every connection, and through nginx, haproxy
// and Caddy: each clip arrives whole.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { program, freePort, Vault } from "./vault.js";
import { launch } from "./watch.js";

const CLIP_BYTES = 15_000_000;
const CUT_EVERY = 5_000_000;
// Of the clip, headers and questions included. When a connection dies that it had used before, Chromium itself sends the
// request once more, from an offset that has gone by: it is refused, but what it sent until it reads that was for nothing.
// Over these links that is what one more connection carries, for each that died. A client that is asked takes up where the
// service is: see tests/outside/bad_link_test.py.
const AT_MOST = 1.03;
const REPEATED = 1;
// The same where the link counts what TLS adds.
const AT_MOST_OF_TLS = 1.05;
const SETTLE_MS = 120_000;
// As in tests/outside/bad_link_test.py.
const LINKS = {
  "cut by FIN": [`cut=${CUT_EVERY}`, "rate=12000000"],
  "cut by RST": [`reset=${CUT_EVERY}`, "rate=12000000"],
  stalling: [`stall=${CUT_EVERY * 2}`],
  slow: ["rate=8000000"],
};
const PROXIES = ["nginx", "haproxy", "caddy"];
const CLIENTS = {
  "tus-js-client": {
    script: new URL("node_modules/tus-js-client/dist/tus.min.js", import.meta.url).pathname,
    upload: ({ file, endpoint, headers }) =>
      new Promise((resolve, reject) => {
        const upload = new window.tus.Upload(file, {
          endpoint,
          headers,
          retryDelays: Array(20).fill(200),
          onError: reject,
          onSuccess: () => resolve(upload.url),
        });
        upload.start();
      }),
  },
  Uppy: {
    script: new URL("node_modules/uppy/dist/uppy.min.js", import.meta.url).pathname,
    upload: async ({ file, endpoint, headers }) => {
      const uppy = new window.Uppy.Uppy();
      uppy.use(window.Uppy.Tus, { endpoint, headers, retryDelays: Array(20).fill(200) });
      uppy.addFile({ name: file.name, data: file });
      const { successful, failed } = await uppy.upload();
      if (failed.length) throw new Error(failed[0].error);
      return successful[0].uploadURL;
    },
  },
};

/** A program of tests/outside that listens, and the lines it prints after it has said so. */
async function outside(name, ...words) {
  const python = await program("DASHVAULT_PYTHON", "/usr/bin/python3");
  const file = new URL(`../outside/${name}`, import.meta.url).pathname;
  const child = spawn(python, ["-B", file, ...words.map(String)], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "listening");
  return { child, lines };
}

/** A link of its own; `carried` ends it and says how many bytes went to the server. */
async function link(port, target, rules) {
  const { child, lines } = await outside("link.py", port, target, ...rules);
  return {
    carried: async () => {
      child.kill("SIGTERM");
      return Number((await lines.next()).value);
    },
    close: () => child.kill("SIGKILL"),
  };
}

let browser;

before(async () => (browser = await launch()));
after(() => browser?.close());

/** Sends a clip by the client from a page of the vault's public address; how many times its bytes went over the link. */
async function send({ script, upload }, vault, owner, publicUrl, over, onanswer = () => {}) {
  // Our pages run no script of anybody else; here somebody else's is what is tried. The proxies' certificates are a test's own.
  const page = await browser.newPage({ bypassCSP: true, ignoreHTTPSErrors: true });
  try {
    page.on("response", onanswer);
    await page.goto(`${publicUrl}/`);
    await page.addScriptTag({ path: script });
    const { location, bytes } = await page.evaluate(
      async ({ source, size, endpoint, headers }) => {
        const plain = new Uint8Array(size);
        for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(plain.subarray(at, at + 65_536));
        const file = new File([plain], "clip.mp4", { type: "video/mp4" });
        const location = await eval(`(${source})`)({ file, endpoint, headers });
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", plain));
        return { location, bytes: [...digest] };
      },
      { source: upload.toString(), size: CLIP_BYTES, endpoint: `${publicUrl}/v1/uploads`, headers: { Authorization: `Bearer ${owner.token}` } },
    );
    assert.ok(location.startsWith(`${publicUrl}/v1/uploads/`), location);
    const clip = await settled(vault, owner, location.split("/").at(-1));
    // It is no video; what matters here is that every byte is there.
    assert.equal(clip.sha256, Buffer.from(bytes).toString("hex"));
    return (await over.carried()) / CLIP_BYTES;
  } finally {
    await page.close();
  }
}

async function settled(vault, owner, clip) {
  const headers = { Authorization: `Bearer ${owner.token}` };
  for (const until = Date.now() + SETTLE_MS; ; ) {
    const told = await (await fetch(`${vault.url}/v1/clips/${clip}`, { headers })).json();
    if (["ready", "failed"].includes(told.state)) return told;
    assert.ok(Date.now() < until, `never settled: ${JSON.stringify(told)}`);
    await new Promise((r) => setTimeout(r, 200));
  }
}

describe("when nothing more may be kept", () => {
  let vault, owner;

  before(async () => {
    vault = await Vault.start();
    owner = await vault.owner("driver@example.org");
  });
  after(() => vault?.stop());

  for (const [name, { script, upload }] of Object.entries(CLIENTS)) {
    test(`${name} asks again until more is allowed`, async () => {
      await vault.may("driver@example.org", "--bytes", 1000);
      const page = await browser.newPage({ bypassCSP: true });
      try {
        await page.goto(`${vault.url}/`);
        await page.addScriptTag({ path: script });
        let refused = 0;
        page.on("response", (answer) => {
          if (answer.status() === 507) refused += 1;
        });
        const sent = page.evaluate(
          async ({ source, endpoint, headers }) => eval(`(${source})`)({ file: new File([new Uint8Array(5000)], "clip.mp4"), endpoint, headers }),
          { source: upload.toString(), endpoint: `${vault.url}/v1/uploads`, headers: { Authorization: `Bearer ${owner.token}` } },
        );
        for (const until = Date.now() + SETTLE_MS; refused < 2; ) {
          assert.ok(Date.now() < until, `refused ${refused} times`);
          await new Promise((r) => setTimeout(r, 50));
        }
        await vault.may("driver@example.org");
        const clip = (await sent).split("/").at(-1);
        assert.equal((await settled(vault, owner, clip)).bytes, 5000);
      } finally {
        await page.close();
      }
    });
  }
});

describe("over a link that falls silent near the end", () => {
  // So near that the client has handed over all it had, and waits for an answer.
  const LEFT = 200_000;
  const vaults = [];
  after(() => Promise.all(vaults.map((vault) => vault.stop())));

  // Half a minute passes until the service has had enough: both wait at once.
  test(`${Object.keys(CLIENTS).join(" and ")} are told 503, ask where they stand, and go on from there`, async () => {
    await Promise.all(Object.entries(CLIENTS).map(async ([name, client]) => {
      const port = await freePort();
      const vault = await Vault.start(`http://127.0.0.1:${port}`);
      vaults.push(vault);
      const owner = await vault.owner("driver@example.org");
      const held = await link(port, vault.port, [`hold=${CLIP_BYTES - LEFT}`]);
      try {
        const answers = [];
        const ratio = await send(client, vault, owner, `http://127.0.0.1:${port}`, held, (answer) => {
          if (answer.url().includes("/v1/uploads")) answers.push(`${answer.request().method()} ${answer.status()}`);
        });
        console.log(`${name}, fallen silent: ${ratio.toFixed(4)} of the clip's bytes sent; ${answers.join(", ")}`);
        assert.deepEqual(answers, ["POST 201", "PATCH 503", "HEAD 200", "PATCH 204"]);
        assert.ok(ratio <= AT_MOST, `${ratio}`);
      } finally {
        held.close();
      }
    }));
  });
});

describe("over a link that is", () => {
  let vault, owner, port;

  before(async () => {
    // The address that answers name is the link's: nobody gets round it.
    port = await freePort();
    vault = await Vault.start(`http://127.0.0.1:${port}`);
    owner = await vault.owner("driver@example.org");
  });
  after(() => vault?.stop());

  for (const [name, client] of Object.entries(CLIENTS)) {
    for (const [kind, rules] of Object.entries(LINKS)) {
      test(`${kind}, ${name}`, async () => {
        const bad = await link(port, vault.port, rules);
        try {
          const ratio = await send(client, vault, owner, `http://127.0.0.1:${port}`, bad);
          console.log(`${name}, ${kind}: ${ratio.toFixed(4)} of the clip's bytes sent`);
          assert.ok(ratio <= AT_MOST + (kind === "slow" ? 0 : REPEATED), `${ratio}`);
        } finally {
          bad.close();
        }
      });
    }
  }
});

describe("over a link that is cut by RST, through", () => {
  let vault, owner, port, behind;

  before(async () => {
    [port, behind] = [await freePort(), await freePort()];
    vault = await Vault.start(`https://localhost:${port}`, "--behind-proxy", "127.0.0.1/32", "--keyring-beside-data");
    owner = await vault.owner("driver@example.org");
  });
  after(() => vault?.stop());

  for (const [name, client] of Object.entries(CLIENTS)) {
    for (const kind of PROXIES) {
      test(`${kind}, ${name}`, async () => {
        const proxy = await outside("proxy.py", kind, behind, vault.port, join(vault.dir, kind));
        const bad = await link(port, behind, LINKS["cut by RST"]);
        try {
          const ratio = await send(client, vault, owner, `https://localhost:${port}`, bad);
          console.log(`${name}, through ${kind}: ${ratio.toFixed(4)} of the clip's bytes sent, TLS and all`);
          assert.ok(ratio <= AT_MOST_OF_TLS + REPEATED, `${ratio}`);
        } finally {
          bad.close();
          proxy.child.kill("SIGTERM");
          await once(proxy.child, "exit");
        }
      });
    }
  }
});
