// Chromium, and folders that are served to it: what the package's tests in a browser share.
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../../", import.meta.url));
export const pkg = join(root, "web/js/pkg");
export const receipt = join(root, "web/samples/receipt.jpg");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css", ".jpg": "image/jpeg" };

/** Chromium; `args` are further arguments. */
export function chrome(args = []) {
  const { chromium } = createRequire(join(root, "tests/browser/"))("playwright-core");
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", ...args] });
}

/** What is left to be done after all tests, last things first. */
export const cleanups = [];

export async function clear() {
  for (const cleanup of cleanups.reverse()) await cleanup();
}

/** A server of a folder's files; `headers` for each. */
export async function serve(folder, headers = {}) {
  const server = createServer(async (request, reply) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    try {
      const body = await readFile(file);
      reply.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", ...headers }).end(body);
    } catch {
      reply.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))));
  return `http://127.0.0.1:${server.address().port}/`;
}

/** A page that has the package and the receipt, and nothing else; `more` puts further files into its folder. */
export async function bare(headers, more = () => {}) {
  const folder = await mkdtemp(join(tmpdir(), "cropvlm-bare-"));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  await cp(pkg, join(folder, "cropvlm"), { recursive: true });
  await cp(receipt, join(folder, "receipt.jpg"));
  await cp(join(root, "web/js/tests/bare.html"), join(folder, "index.html"));
  await more(folder);
  return serve(folder, headers);
}
