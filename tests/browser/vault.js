// The service under test: a real `dashvault serve` on a folder of its own and a free port of the loopback.
import { execFile, spawn } from "node:child_process";
import { access, chmod, constants, mkdtemp, readFile, rm, open } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const READY_LIMIT_MS = 60_000;
const COMMAND_LIMIT_MS = 60_000;

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** The program that an environment variable names, or the one beside the sources; a missing one is a failure. */
export async function program(variable, otherwise) {
  const path = process.env[variable] || otherwise;
  await access(path, constants.X_OK).catch(() => {
    throw new Error(`${path} is missing or no program (set ${variable})`);
  });
  return path;
}

export class Vault {
  /** On its own address, or behind the public one that is given. */
  static async start(publicUrl, ...more) {
    const vault = new Vault();
    vault.bin = await program("DASHVAULT_BIN", new URL("../../bin/dashvault", import.meta.url).pathname);
    vault.dir = await mkdtemp(join(tmpdir(), "dashvault-browser-"));
    vault.data = join(vault.dir, "data");
    const [port, admin] = [await freePort(), await freePort()];
    vault.url = `http://127.0.0.1:${port}`;
    vault.port = port;
    const log = await open(join(vault.dir, "serve.log"), "w");
    vault.child = spawn(vault.bin, ["serve", "--data", vault.data, "--listen", `127.0.0.1:${port}`, "--admin-listen", `127.0.0.1:${admin}`, "--public-url", publicUrl ?? vault.url, "--watch-interval-secs", "1", ...more], {
      cwd: vault.dir,
      // How full the disk under the tests is is not what they are about.
      env: { ...process.env, DASHVAULT_DISK_ROUTINE_PERCENT: "100", DASHVAULT_DISK_EVENTS_PERCENT: "100" },
      stdio: ["ignore", log.fd, log.fd],
    });
    vault.ended = new Promise((resolve) => vault.child.once("exit", resolve));
    await log.close();
    for (const until = Date.now() + READY_LIMIT_MS; ; ) {
      const answer = await fetch(`${vault.url}/readyz`).catch(() => null);
      if (answer?.ok) return vault;
      if (vault.child.exitCode !== null || Date.now() > until) {
        const words = await vault.log();
        await vault.stop();
        throw new Error(`the service did not become ready: ${words}`);
      }
      await new Promise((r) => setTimeout(r, 100));
    }
  }

  async owner(email) {
    const { stdout } = await run(this.bin, ["owner", "add", "--email", email, "--data", this.data, "--json"], { cwd: this.dir, timeout: COMMAND_LIMIT_MS });
    return JSON.parse(stdout.split("\n").find((line) => line.startsWith("{")));
  }

  /** Pairs a vehicle with an owner; its device file. */
  async vehicle(token, label) {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const { code } = await (await fetch(`${this.url}/v1/devices/pairing-codes`, { method: "POST", headers, body: JSON.stringify({ label }) })).json();
    const file = join(this.dir, `${label}.json`);
    await run(this.bin, ["device", "pair", "--server", this.url, "--code", code, "--out", file], { cwd: this.dir, timeout: COMMAND_LIMIT_MS });
    return file;
  }

  /** A token that the vehicle signs now. */
  async vehicleToken(device) {
    const { stdout } = await run(this.bin, ["device", "token", "--device", device, "--json"], { cwd: this.dir, timeout: COMMAND_LIMIT_MS });
    return JSON.parse(stdout).token;
  }

  /** The vehicle brings what it may of a folder over its mobile link; the clips that it delivered, by their file's name. */
  async bring(device, folder) {
    const words = ["upload", "--server", this.url, "--device", device, "--watch", folder, "--once", "--json", "--settle-secs", "0", "--look-millis", "50", "--link", "cellular"];
    const { stdout } = await run(this.bin, words, { cwd: this.dir, timeout: COMMAND_LIMIT_MS });
    const told = stdout.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    return Object.fromEntries(told.filter((line) => line.event === "delivered").map((line) => [line.file.slice(folder.length + 1), line.clip_id]));
  }

  /** Says what an owner may keep; without more words, what everybody may. */
  async may(email, ...quotas) {
    await run(this.bin, ["owner", "quota", "--email", email, "--data", this.data, ...quotas.map(String)], { cwd: this.dir, timeout: COMMAND_LIMIT_MS });
  }

  /** Lets everybody of this machine into the folder of sealed objects, or nobody. */
  async open(toAll) {
    for (const folder of [this.dir, this.data, join(this.data, "objects")]) await chmod(folder, toAll ? 0o755 : 0o700);
  }

  async log() {
    return (await readFile(join(this.dir, "serve.log"), "utf8")).slice(-2000);
  }

  async stop() {
    this.child.kill("SIGTERM");
    const hard = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.ended;
    clearTimeout(hard);
    await rm(this.dir, { recursive: true, force: true });
  }
}
