// The tarball in Node: installed into an empty folder, imported by name.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { brotliCompressSync } from "node:zlib";
import { pathToFileURL } from "node:url";
import { TOTAL } from "./total.mjs";

const root = new URL("../../../", import.meta.url);
const pkg = new URL("../pkg/", import.meta.url);
const read = (path) => readFile(new URL(path, root));

let folder;
let cropvlm;
let crop;
let receipt;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "cropvlm-"));
  const { version } = JSON.parse(await readFile(new URL("package.json", pkg)));
  const tarball = new URL(`cropvlm-${version}.tgz`, pkg).pathname;
  await writeFile(join(folder, "package.json"), '{"private": true, "type": "module"}');
  execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--offline", tarball], { cwd: folder });
  await writeFile(join(folder, "main.js"), 'export * from "cropvlm";');
  const before = Object.keys(globalThis);
  cropvlm = await import(pathToFileURL(join(folder, "main.js")));
  assert.deepEqual(Object.keys(globalThis), before, "importing leaves nothing behind");
  receipt = new Uint8Array(await read("web/samples/receipt.jpg"));
  crop = await cropvlm.CropVLM.load();
});

after(async () => {
  await crop?.dispose();
  await rm(folder, { recursive: true, force: true });
});

const code = (wanted) => (error) => {
  assert.ok(error instanceof cropvlm.CropVLMError, `${error}`);
  assert.equal(error.code, wanted, error.message);
  assert.ok(cropvlm.codes.includes(error.code));
  return true;
};

test("a receipt's total is found, with the crop of the original pixels", async () => {
  const found = await crop.propose(receipt, "What is the total?");
  assert.deepEqual(
    Object.keys(found).sort(),
    ["backend", "blob", "box", "confidence", "imageData", "needed", "others", "pixels", "present", "timings"],
  );
  assert.deepEqual(found.box, TOTAL, "the box of `cropvlm propose`");
  assert.equal(found.backend, "cpu");
  assert.equal(found.needed, null);
  assert.ok(found.present > 0.5 && found.present <= 1, `${found.present}`);
  assert.ok(found.confidence > 0 && found.confidence <= 1);
  const { width, height, data } = await found.imageData();
  assert.deepEqual([width, height], [found.pixels.width, found.pixels.height]);
  assert.equal(data.length, width * height * 4);
  const png = new Uint8Array(await (await found.blob()).arrayBuffer());
  assert.deepEqual([...png.slice(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  const jpeg = await crop.propose(receipt, "What is the total?", { type: "image/jpeg", quality: 0.5, topK: 0 });
  assert.equal((await jpeg.blob()).type, "image/jpeg");
  assert.deepEqual(jpeg.others, []);
});

test("a picture is encoded once for many questions", async () => {
  const page = await crop.encode(receipt);
  const stages = [];
  const total = await page.ask("What is the total?", { onProgress: ({ stage }) => stages.push(stage) });
  assert.deepEqual(stages, ["propose"], "nothing is encoded again");
  const same = await crop.ask(page, "What is the total?");
  assert.deepEqual(same.box, total.box);
  const grown = await page.ask("What is the total?", { expand: 2, minSize: 400 });
  assert.ok(grown.pixels.width >= 400 && grown.pixels.height >= 400);
  page.dispose();
  await assert.rejects(page.ask("What is the total?"), code("disposed"));
});

test("a part is looked at, and its box is that of the whole picture", async () => {
  const within = [40, 35, 100, 70];
  const { box } = await crop.propose(receipt, "What is the total?", { within });
  assert.ok(box[0] >= within[0] && box[1] >= within[1] && box[2] <= within[2] && box[3] <= within[3], `${box}`);
});

test("bad input is refused with a code, and the next call works", async () => {
  const ask = (image, question = "What is the total?", options) => crop.propose(image, question, options);
  await assert.rejects(ask(new TextEncoder().encode("<!doctype html>")), code("bad-image"));
  await assert.rejects(ask(receipt.slice(0, 20_000)), code("bad-image"));
  await assert.rejects(ask(new Uint8Array()), code("bad-image"));
  await assert.rejects(ask(large()), code("image-too-large"));
  await assert.rejects(ask({}), code("bad-image"));
  await assert.rejects(ask(receipt, " "), code("empty-question"));
  await assert.rejects(ask(receipt, "What?", { expand: 0.5 }), code("bad-option"));
  await assert.rejects(ask(receipt, "What?", { topK: -1 }), code("bad-option"));
  await assert.rejects(ask(receipt, "What?", { within: [50, 0, 40, 10] }), code("bad-option"));
  await assert.rejects(ask(receipt, "What?", { type: "image/tiff" }), code("bad-option"));
  await assert.rejects(cropvlm.CropVLM.load({ device: "tpu" }), code("bad-option"));
  assert.deepEqual((await ask(receipt, "é".repeat(10_000))).others.length >= 0, true);
  assert.deepEqual((await ask(receipt)).box, TOTAL);
});

/** A BMP's header that claims 20,000 x 15,000 pixels. */
function large() {
  const bytes = new Uint8Array(54);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(2, 900_000_054, true);
  view.setUint32(10, 54, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, 20_000, true);
  view.setInt32(22, 15_000, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  return bytes;
}

test("an abort at every stage is an abort, and the next call works", async () => {
  await assert.rejects(crop.propose(receipt, "What?", { signal: AbortSignal.abort() }), code("aborted"));
  await assert.rejects(cropvlm.CropVLM.load({ signal: AbortSignal.abort() }), code("aborted"));
  for (const stop of ["model", "load", "ready"]) {
    const control = new AbortController();
    const onProgress = ({ stage }) => stage === stop && control.abort();
    await assert.rejects(cropvlm.CropVLM.load({ signal: control.signal, onProgress }), code("aborted"), stop);
  }
  for (const stop of ["decode", "encode", "propose"]) {
    const control = new AbortController();
    const onProgress = ({ stage }) => stage === stop && control.abort("enough");
    const call = crop.propose(receipt, "What is the total?", { signal: control.signal, onProgress });
    await assert.rejects(call, (error) => code("aborted")(error) && error.name === "AbortError");
  }
  assert.deepEqual((await crop.propose(receipt, "What is the total?")).box, TOTAL);
});

test("a model folder that is none is refused with a code", async (t) => {
  const config = await read("models/default/config.json");
  const weights = await read("models/default/model.safetensors");
  const folders = {
    "/page/": () => ["text/html", "<!doctype html>"],
    "/hidden/": () => ["application/octet-stream", "<!doctype html>"],
    "/good/config.json": () => ["application/json", config],
    "/good/model.safetensors": () => ["application/octet-stream", weights],
    "/other/config.json": () => ["application/json", '{"model_type": "idefics3"}'],
    "/cut/config.json": () => ["application/json", config],
    "/cut/model.safetensors": () => ["application/octet-stream", weights.subarray(0, 90_000)],
  };
  const server = createServer((request, reply) => {
    const known = Object.keys(folders).find((path) => request.url.startsWith(path));
    if (!known) return reply.writeHead(404).end();
    const [type, body] = folders[known]();
    return reply.writeHead(200, { "content-type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const at = (path) => `http://127.0.0.1:${server.address().port}${path}`;
  const load = (path) => cropvlm.CropVLM.load({ model: at(path) });
  await assert.rejects(load("/page/"), code("bad-model"));
  await assert.rejects(load("/hidden/"), code("bad-model"));
  await assert.rejects(load("/cut"), code("bad-model"));
  await assert.rejects(load("/nowhere/"), code("network"));
  // Another version of the shipped model: of another length, and of the same length with another hash.
  await assert.rejects(cropvlm.CropVLM.load({ modelUrl: at("/cut/model.safetensors") }), code("bad-model"));
  weights[weights.length - 1] ^= 1;
  await assert.rejects(cropvlm.CropVLM.load({ modelUrl: at("/good/model.safetensors") }), code("bad-model"));
  weights[weights.length - 1] ^= 1;
  folders["/other/model.safetensors"] = folders["/good/model.safetensors"];
  await assert.rejects(load("/other/"), code("bad-model"));
  const good = await load("/good");
  assert.deepEqual((await good.propose(receipt, "What is the total?")).box, TOTAL);
  await good.dispose();
});

test("two instances work side by side, and one that was disposed of says so", async () => {
  const other = await cropvlm.CropVLM.load({ device: "webgpu" });
  assert.deepEqual([other.backend, other.isFallback, other.threads], ["cpu", true, crop.threads]);
  const both = await Promise.all([crop, other].map((one) => one.propose(receipt, "What is the total?")));
  assert.deepEqual(both[0].box, both[1].box);
  await other.dispose();
  await assert.rejects(other.propose(receipt, "What?"), code("disposed"));
  assert.equal(typeof crop[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")], "function");
});

test("threads are as many as the processor has, or as asked for, and find what one finds", async () => {
  assert.equal(crop.threads, Math.min(availableParallelism(), 8));
  const one = await cropvlm.CropVLM.load({ threads: 1 });
  assert.equal(one.threads, 1);
  const [many, alone] = await Promise.all([crop, one].map((each) => each.propose(receipt, "What is the total?")));
  assert.deepEqual([many.box, many.confidence, many.others], [alone.box, alone.confidence, alone.others]);
  await one.dispose();
});

test("a program ends when its work is done, whatever its threads do", async () => {
  const program = `
    import { CropVLM } from "cropvlm";
    import { readFile } from "node:fs/promises";
    const crop = await CropVLM.load({ threads: 2 });
    const { box } = await crop.propose(new Uint8Array(await readFile(process.argv[2])), "What is the total?");
    console.log(crop.threads, ...box);`;
  await writeFile(join(folder, "ends.js"), program);
  const picture = new URL("web/samples/receipt.jpg", root).pathname;
  const said = execFileSync(process.execPath, ["ends.js", picture], { cwd: folder, encoding: "utf8", timeout: 60_000 });
  assert.equal(said.trim(), [Math.min(availableParallelism(), 2), ...TOTAL].join(" "));
});

test("messages speak every provider's language", async () => {
  const question = "What is the total?";
  const proposal = await crop.propose(receipt, question, { type: "image/jpeg" });
  const parts = {
    openai: (all) => all[0].content.map((part) => part.type).join(" "),
    "openai-responses": (all) => all[0].content.map((part) => part.type).join(" "),
    anthropic: (all) => all[0].content.map((part) => part.type).join(" "),
    gemini: (all) => all[0].parts.map((part) => Object.keys(part)[0]).join(" "),
    mistral: (all) => all[0].content.map((part) => part.type).join(" "),
    "ai-sdk": (all) => all[0].content.map((part) => part.type).join(" "),
  };
  const found = {};
  for (const [provider, shape] of Object.entries(parts)) {
    const made = await cropvlm.messages(provider, { image: receipt, question, proposal });
    found[provider] = shape(made.messages);
    const { full, fullAndCrop, smallAndCrop } = made.tokens;
    if (["openai", "anthropic"].includes(provider)) assert.ok(smallAndCrop < fullAndCrop && full < fullAndCrop, provider);
  }
  assert.deepEqual(found, {
    openai: "image_url image_url text",
    "openai-responses": "input_image input_image input_text",
    anthropic: "image image text",
    gemini: "inlineData inlineData text",
    mistral: "image_url image_url text",
    "ai-sdk": "image image text",
  });
  const alone = await cropvlm.messages("anthropic", { image: receipt, question });
  assert.equal(alone.messages[0].content.length, 2);
  await assert.rejects(cropvlm.messages("nobody", { image: receipt, question }), code("bad-option"));
  await assert.rejects(cropvlm.messages("openai", { image: receipt, question: "" }), code("empty-question"));
});

test("a zoom tool clamps boxes, keeps its budget and can ask the proposer", async () => {
  for (const format of ["openai", "openai-responses", "anthropic", "gemini", "mistral", "ai-sdk"]) {
    const { definition } = cropvlm.zoomTool({ format });
    assert.match(JSON.stringify(definition), /"zoom"/, format);
  }
  const zoom = cropvlm.zoomTool({ maxPixels: 10_000, crop });
  const found = await zoom.execute(receipt, { box: [-5, 40, 60, 70] });
  assert.deepEqual(found.box, [0, 40, 60, 70]);
  const shown = /shown with (\d+) x (\d+)/.exec(found.text);
  assert.ok(shown[1] * shown[2] <= 10_000, found.text);
  const asked = await zoom.execute(receipt, { question: "What is the total?" });
  assert.deepEqual(asked.box, TOTAL);
  const thousand = await cropvlm.zoomTool({ units: 1000 }).execute(receipt, { box: [0, 400, 600, 700] });
  assert.deepEqual(thousand.pixels, found.pixels);
  await assert.rejects(zoom.execute(receipt, { box: [50, 0, 40, 10] }), (error) => {
    code("bad-option")(error);
    assert.match(error.message, /1200 x|x 1767|\d+ x \d+ pixels/);
    return true;
  });
});

test("the tarball keeps its budget, and needs nothing", async () => {
  const list = JSON.parse(await readFile(new URL("package.json", pkg)));
  assert.equal(list.dependencies, undefined);
  assert.equal(list.scripts, undefined);
  const names = ["cropvlm_bg.wasm", "cropvlm.js", "index.js", "core.js", "worker.js", "remote.js", "wasm.js", "fetching.js", "platform.js", "start.js", "blob.js", "threads.js", "sources.js", "errors.js", "messages.js", "zoom.js"];
  const sizes = await Promise.all(names.map(async (name) => brotliCompressSync(await readFile(new URL(name, pkg))).length));
  const code = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(code <= 600_000, `${code} bytes of code by brotli`);
  const threads = brotliCompressSync(await readFile(new URL("cropvlm_threads_bg.wasm", pkg))).length;
  assert.ok(threads <= 100_000, `${threads} bytes of threads by brotli`);
  // Weights do not get smaller.
  const model = (await readFile(new URL("model/model.safetensors", pkg))).length;
  const packed = (await readFile(new URL(`cropvlm-${list.version}.tgz`, pkg))).length;
  assert.ok(packed - model <= 1_000_000, `${packed} bytes of tarball, ${model} of model`);
  const files = execFileSync("tar", ["tzf", new URL(`cropvlm-${list.version}.tgz`, pkg).pathname], { encoding: "utf8" });
  for (const name of ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "index.d.ts", "element.d.ts", "model/model.safetensors"]) {
    assert.match(files, new RegExp(`^package/${name}$`, "m"));
  }
});

test("the README names every error code, and the types are those that were agreed", async () => {
  const readme = await readFile(new URL("README.md", pkg), "utf8");
  for (const each of cropvlm.codes) assert.ok(readme.includes(`\`${each}\``), each);
  const types = await readFile(new URL("index.d.ts", pkg), "utf8");
  for (const each of cropvlm.codes) assert.ok(types.includes(`"${each}"`), each);
  // The surface: every exported declaration and every member, without comments. A change has to be meant: change `api.txt`.
  const surface = types
    .replace(/\/\*\*[\s\S]*?\*\//g, "")
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .join("\n");
  const wanted = await readFile(new URL("api.txt", import.meta.url), "utf8");
  assert.equal(surface, wanted.trim());
});
