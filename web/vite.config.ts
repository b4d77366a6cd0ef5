// Two pages, one bundle folder: the owner's app (index.html) and the insurer's page (share.html).
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const page = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    // The policy allows no data: in font-src and script-src; every asset is a file of its own.
    assetsInlineLimit: 0,
    // Browsers that know ES modules preload by themselves; the polyfill would be dead weight.
    modulePreload: { polyfill: false },
    rollupOptions: { input: { index: page("index.html"), share: page("share.html") } },
    // hls.js alone is larger than the default warning; it is loaded only where a clip is played.
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/v1": process.env.DASHVAULT_URL ?? "http://127.0.0.1:8080" } },
  test: { include: ["tests/**/*.test.ts"] },
});
