// The tarball in Chromium: each example, installed into a fresh folder and built by its own tool; and the package without a
// build tool under a strict policy, in a frame, in two instances, disposed of a hundred times.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { bare, chrome, cleanups, clear, pkg, receipt, root, serve } from "./site.mjs";
import { CROP, TOTAL } from "./total.mjs";

const SAID = `Box ${TOTAL.join(", ")} percent`;
const BOX = TOTAL.join(" ");

let browser;
let tarball;

before(async () => {
  const { version } = JSON.parse(await readFile(join(pkg, "package.json")));
  tarball = join(pkg, `cropvlm-${version}.tgz`);
  browser = await chrome();
});

after(async () => {
  await browser?.close();
  await clear();
});

/** A copy of an example with the tarball installed. */
async function installed(example) {
  const folder = await mkdtemp(join(tmpdir(), `cropvlm-${example}-`));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  await cp(join(root, "web/js/examples", example), folder, { recursive: true });
  run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", tarball);
  return folder;
}

function run(cwd, program, ...args) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", CI: "1" };
  try {
    return execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(`${program} ${args.join(" ")}: ${error.stdout}\n${error.stderr}`);
  }
}

/** A page that notes what went wrong and what was fetched. */
async function opened(url) {
  const page = await browser.newPage();
  const faults = [];
  const fetched = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("request", (request) => fetched.push(request.url()));
  await page.goto(url);
  return { page, faults, fetched };
}

/** Chooses the receipt and waits for the box of its total. */
async function choosesReceipt(url) {
  const { page, faults, fetched } = await opened(url);
  await page.waitForLoadState("networkidle");
  assert.ok(!fetched.some((address) => /\.(wasm|safetensors)/.test(address)), "nothing is fetched before it is wanted");
  await page.locator("input[type=file]").setInputFiles(receipt);
  const said = page.locator("output");
  await page.waitForFunction(() => /Box|:/.test(document.querySelector("output").textContent), null, { timeout: 90_000 });
  assert.equal(await said.textContent(), SAID, faults.join("\n"));
  const crop = await page.locator("img").evaluate(async (image) => (await image.decode(), [image.naturalWidth, image.naturalHeight]));
  assert.deepEqual(crop, CROP);
  assert.deepEqual(faults.filter((fault) => !/favicon|404/.test(fault)), []);
  const other = fetched.filter((address) => !address.startsWith("blob:") && new URL(address).origin !== new URL(url).origin);
  assert.deepEqual(other, [], "nothing comes from elsewhere");
  const modules = new Set(fetched.filter((address) => /\.wasm/.test(address)));
  assert.equal(modules.size, 1, [...modules].join(" "));
  await page.close();
}

async function filesOf(folder) {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => extname(name));
}

/** What bundlers are said to do wrong: node's own modules on the page, a module twice or not at all. `importScripts` in a
 * module's worker shows by itself: the worker would not start. */
async function bundled(folder) {
  const names = await filesOf(folder);
  const modules = names.filter((name) => name.endsWith(".wasm"));
  assert.equal(modules.length, 2, `the module and the one with threads, once each: ${names.join(" ")}`);
  assert.equal(names.filter((name) => name.endsWith(".safetensors")).length, 1, names.join(" "));
  for (const name of names.filter((name) => /\.m?js$/.test(name))) {
    const text = await readFile(join(folder, name), "utf8");
    assert.ok(!/node:fs/.test(text), name);
  }
}

test("plain HTML, under a strict policy", async () => {
  await choosesReceipt(await serve(await installed("html")));
});

test("Vite", async () => {
  const folder = await installed("vite");
  run(folder, "npx", "vite", "build");
  await bundled(join(folder, "dist"));
  await choosesReceipt(await serve(join(folder, "dist")));
});

test("webpack 5", async () => {
  const folder = await installed("webpack");
  run(folder, "npx", "webpack", "--mode", "production");
  await bundled(join(folder, "dist"));
  await choosesReceipt(await serve(join(folder, "dist")));
});

/** Starts a server of an example's own and waits until it answers. */
async function started(folder, args, port, env = {}, node = process.execPath) {
  const child = spawn(node, args, { cwd: folder, env: { ...process.env, ...env, PORT: String(port) }, stdio: "ignore" });
  cleanups.push(() => child.kill());
  const url = `http://127.0.0.1:${port}/`;
  for (let tries = 0; tries < 300; tries++) {
    if (await fetch(url).then((reply) => reply.ok, () => false)) return url;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no server answers on ${url}`);
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("Next.js: imported on the server, used on the client", async () => {
  const folder = await installed("next");
  run(folder, "npx", "next", "build");
  const port = await freePort();
  const url = await started(folder, ["node_modules/next/dist/bin/next", "start", "-p", String(port)], port);
  assert.match(await (await fetch(url)).text(), /13(<!-- -->)? error codes/);
  await choosesReceipt(url);
});

test("SvelteKit: imported on the server, used on the client", async () => {
  const folder = await installed("sveltekit");
  // SvelteKit 3 needs Node 22; where the one here is older, one from npm builds and serves.
  let node = process.execPath;
  if (!Promise.withResolvers) {
    run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "node@22");
    node = join(folder, "node_modules/node/bin/node");
  }
  run(folder, node, "node_modules/vite/bin/vite.js", "build");
  const url = await started(folder, ["build/index.js"], await freePort(), { HOST: "127.0.0.1" }, node);
  assert.match(await (await fetch(url)).text(), /13 error codes/);
  await choosesReceipt(url);
});

test("Node", async () => {
  const folder = await installed("node");
  const said = run(folder, process.execPath, "main.js", receipt, "What is the total?");
  assert.equal(said.trim(), BOX);
  assert.ok((await readFile(join(folder, "crop.png"))).length > 1000);
});

test("every kind of picture that a page has gives the same box", async () => {
  const { page } = await opened(await bare());
  const boxes = await page.evaluate(async () => {
    const { CropVLM } = await import("/cropvlm/index.js");
    const crop = await CropVLM.load();
    const blob = await (await fetch("/receipt.jpg")).blob();
    const bitmap = await createImageBitmap(blob);
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const image = new Image();
    image.src = "/receipt.jpg";
    await image.decode();
    const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
    offscreen.getContext("2d").drawImage(bitmap, 0, 0);
    const sources = {
      blob,
      file: new File([blob], "receipt.jpg"),
      bytes: new Uint8Array(await blob.arrayBuffer()),
      url: "/receipt.jpg",
      bitmap,
      canvas,
      offscreen,
      image,
      imageData: canvas.getContext("2d").getImageData(0, 0, bitmap.width, bitmap.height),
      frame: new VideoFrame(canvas, { timestamp: 0 }),
    };
    const found = {};
    for (const [name, source] of Object.entries(sources)) {
      const proposal = await crop.propose(source, "What is the total?");
      found[name] = proposal.box.map(Math.round).join(" ");
    }
    await crop.dispose();
    return found;
  });
  for (const [name, box] of Object.entries(boxes)) assert.equal(box, BOX, name);
  await page.close();
});

test("in a frame of another origin, and with cross-origin isolation", async () => {
  const inner = await bare();
  const outer = await bare();
  const { page } = await opened(outer);
  await page.evaluate(
    (src) =>
      new Promise((resolve) => {
        const frame = Object.assign(document.createElement("iframe"), { src: src.replace("127.0.0.1", "localhost"), onload: resolve });
        document.body.append(frame);
      }),
    inner,
  );
  const frame = page.frames().find((each) => each.url().includes("localhost"));
  const propose = async () => {
    const { CropVLM } = await import("/cropvlm/index.js");
    const crop = await CropVLM.load();
    const { box } = await crop.propose("/receipt.jpg", "What is the total?");
    return [box.join(" "), crop.threads];
  };
  assert.deepEqual(await frame.evaluate(propose), [BOX, 1]);
  await page.close();
  const isolated = await bare({ "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" });
  const { page: other } = await opened(isolated);
  assert.equal(await other.evaluate(() => crossOriginIsolated), true);
  const cores = await other.evaluate(() => navigator.hardwareConcurrency);
  assert.deepEqual(await other.evaluate(propose), [BOX, Math.min(cores, 8)]);
  await other.close();
});

test("threads that cannot be had, or that the page's own thread may not wait for, cost no proposal", async () => {
  const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const { page } = await opened(await bare(headers, (folder) => writeFile(join(folder, "broken.wasm"), "no module")));
  const found = await page.evaluate(async () => {
    const { CropVLM } = await import("/cropvlm/index.js");
    const found = {};
    for (const [name, options] of Object.entries({
      missing: { threadsUrl: "/missing.wasm" },
      broken: { threadsUrl: "/broken.wasm" },
      "one asked for": { threads: 1 },
      "no worker": { worker: false },
    })) {
      const crop = await CropVLM.load(options);
      found[name] = [(await crop.propose("/receipt.jpg", "What is the total?")).box.join(" "), crop.threads];
      await crop.dispose();
    }
    return found;
  });
  for (const [name, said] of Object.entries(found)) assert.deepEqual(said, [BOX, 1], name);
  await page.close();
});

test("Vite's page uses several threads where it is isolated", async () => {
  const folder = await installed("vite");
  run(folder, "npx", "vite", "build");
  const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const { page, fetched } = await opened(await serve(join(folder, "dist"), headers));
  await page.locator("input[type=file]").setInputFiles(receipt);
  await page.waitForFunction(() => /Box|:/.test(document.querySelector("output").textContent), null, { timeout: 90_000 });
  assert.equal(await page.locator("output").textContent(), SAID);
  const modules = new Set(fetched.filter((address) => /\.wasm/.test(address)));
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.equal(modules.size, Math.min(cores, 2), [...modules].join(" "));
  await page.close();
});

test("a call that is aborted ends at once, whatever its worker does, and the next call works", async () => {
  const { page } = await opened(await bare());
  const found = await page.evaluate(async () => {
    const { CropVLM } = await import("/cropvlm/index.js");
    const crop = await CropVLM.load();
    const codes = [];
    for (const stop of ["decode", "encode", "propose"]) {
      const control = new AbortController();
      const onProgress = ({ stage }) => stage === stop && control.abort();
      const call = crop.propose("/receipt.jpg", "What is the total?", { signal: control.signal, onProgress });
      codes.push(await call.then(() => "done", (error) => error.code));
    }
    const { box } = await crop.propose("/receipt.jpg", "What is the total?");
    const running = crop.propose("/receipt.jpg", "What is the total?").catch((error) => error.code);
    await crop.dispose();
    return { codes, box: box.join(" "), running: await running };
  });
  assert.deepEqual(found, { codes: ["aborted", "aborted", "aborted"], box: BOX, running: "disposed" });
  await page.close();
});

test("a hundred loads do not grow the tab", async () => {
  const { page } = await opened(await bare());
  const load = (times) =>
    page.evaluate(async (times) => {
      const { CropVLM } = await import("/cropvlm/index.js");
      for (let i = 0; i < times; i++) {
        const crop = await CropVLM.load({ worker: false });
        await crop.dispose();
      }
      const glue = await (await import("/cropvlm/cropvlm.js")).default();
      return glue.memory.buffer.byteLength;
    }, times);
  const first = await load(5);
  assert.equal(await load(95), first, "memory of the module");
  await page.evaluate(async () => {
    const { CropVLM } = await import("/cropvlm/index.js");
    for (let i = 0; i < 5; i++) await (await CropVLM.load()).dispose();
  });
  for (let tries = 0; tries < 100 && page.workers().length; tries++) await page.waitForTimeout(50);
  assert.equal(page.workers().length, 0, "workers end with their instance");
  await page.close();
});

/** A page with the element, 300 pixels wide, once it has proposed; `window.heard` are its events with their boxes. */
async function element() {
  const { page, faults } = await opened(await bare());
  await page.evaluate(async () => {
    await import("/cropvlm/element.js");
    window.heard = [];
    for (const name of ["propose", "change", "error"]) {
      document.addEventListener(name, (event) => window.heard.push([name, event.detail?.box?.join(" ")]), true);
    }
    const element = document.createElement("crop-vlm");
    Object.assign(element, { src: "/receipt.jpg", question: "What is the total?" });
    element.style.width = "300px";
    document.body.append(element);
  });
  await page.waitForFunction(() => window.heard.length, null, { timeout: 60_000 });
  const box = page.getByRole("group", { name: new RegExp(`Crop from ${TOTAL[0]} to ${TOTAL[2]} percent across and ${TOTAL[1]} to ${TOTAL[3]} percent down`) });
  await box.waitFor();
  return { page, faults, box: await box.elementHandle() };
}

test("<crop-vlm> proposes, can be moved by keys, and says what it shows", async () => {
  const { page, faults, box } = await element();
  await box.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowDown");
  const [x1, y1, x2, y2] = TOTAL;
  assert.deepEqual(await page.evaluate(() => window.heard), [
    ["propose", BOX],
    ["change", [x1 + 1, y1, x2 + 1, y2].join(" ")],
    ["change", [x1 + 1, y1, x2 + 1, y2 + 1].join(" ")],
  ]);
  assert.deepEqual(faults.filter((fault) => !/favicon|404/.test(fault)), []);
  await page.close();
});

test("<crop-vlm> can be dragged by pointer, resized by its handle, and stays on the picture", async () => {
  const { page, box } = await element();
  const { width, height } = await page.locator("crop-vlm").boundingBox();
  assert.equal(width, 300);
  /** Drags a part of the element by percents of the picture; the box then. */
  const drag = async (part, across, down) => {
    const at = await page.locator(`crop-vlm [part=${part}]`).boundingBox();
    const [x, y] = [at.x + at.width / 2, at.y + at.height / 2];
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + (across * width) / 100, y + (down * height) / 100, { steps: 4 });
    await page.mouse.up();
    const [name, edges] = await page.evaluate(() => window.heard.at(-1));
    assert.equal(name, "change");
    return edges.split(" ").map(Number);
  };
  const close = (found, wanted) => found.forEach((edge, i) => assert.ok(Math.abs(edge - wanted[i]) < 0.2, `${found} for ${wanted}`));
  const [x1, y1, x2, y2] = TOTAL;
  close(await drag("box", 10, -20), [x1 + 10, y1 - 20, x2 + 10, y2 - 20]);
  close(await drag("handle", -6, 4), [x1 + 10, y1 - 20, x2 + 4, y2 - 16]);
  const held = await page.evaluate(() => window.heard.length);
  await page.mouse.move(5, 5);
  assert.equal(await page.evaluate(() => window.heard.length), held, "let go is let go");
  const left = 100 - (x2 - 6 - x1); // as far to the right as its width lets it
  close(await drag("box", 60, 5), [left, y1 - 15, 100, y2 - 11]);
  close(await drag("handle", -90, 0), [left, y1 - 15, left + 0.5, y2 - 11]);
  assert.match(await box.getAttribute("aria-label"), new RegExp(`^Crop from ${left} to ${left}\\.5 percent across`));
  await page.close();
});
