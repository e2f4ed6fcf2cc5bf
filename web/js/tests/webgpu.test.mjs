// The package with WebGPU, on SwiftShader: an adapter that the processor imitates, some hundred times slower than the processor
// itself. So the shipped weights run on a small canvas.
import assert from "node:assert/strict";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bare, chrome, clear, root } from "./site.mjs";

/** Pixels that the network gets to see. */
const CANVAS = 96 * 96;
/** A question about each sample of the page. */
const ASKED = {
  receipt: "What is the total?",
  scan: "Which company issued this receipt?",
  invoice: "How much tax was paid?",
  sign: "How far is it to Glasgow?",
  plate: "What is written on the number plate?",
  table: "What is the title of the table?",
};

let browser;
let url;

before(async () => {
  const args = ["--headless=new", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
  browser = await chrome(args);
  url = await bare({}, files);
});

after(async () => {
  await browser?.close();
  await clear();
});

/** The samples, the model for a small canvas, and a worker whose devices a test can reach. */
async function files(folder) {
  for (const name of Object.keys(ASKED)) await cp(join(root, `web/samples/${name}.jpg`), join(folder, `${name}.jpg`));
  const model = join(root, "models/default");
  await mkdir(join(folder, "model"));
  await cp(join(model, "model.safetensors"), join(folder, "model/model.safetensors"));
  const config = JSON.parse(await readFile(join(model, "config.json")));
  await writeFile(join(folder, "model/config.json"), JSON.stringify({ ...config, canvas_pixels: CANVAS }));
  const worker = join(folder, "cropvlm/worker.js");
  await writeFile(join(folder, "cropvlm/devices.js"), DEVICES);
  await writeFile(worker, `import "./devices.js";\n${await readFile(worker)}`);
}

/** Keeps devices at hand, so that a test can take one away as a driver would: now, or (`doomed`) with work under way. */
const DEVICES = `
  globalThis.devices = [];
  const submit = globalThis.GPUQueue?.prototype.submit;
  if (submit) {
    GPUQueue.prototype.submit = function (...given) {
      submit.apply(this, given);
      if (globalThis.doomed) devices.forEach((device) => device.destroy());
    };
  }
  const request = globalThis.GPUAdapter?.prototype.requestDevice;
  if (request) {
    GPUAdapter.prototype.requestDevice = async function (...given) {
      const device = await request.apply(this, given);
      device.lost.then(() => (device.gone = true));
      devices.push(device);
      return device;
    };
  }
`;

async function opened(from = browser) {
  const page = await from.newPage();
  await page.goto(url);
  await page.evaluate(DEVICES);
  return page;
}

/** Loads the model as `options` say, asks about pictures, and says where that was computed, before and after. */
const propose = (page, options, asked) =>
  page.evaluate(
    async ([options, asked]) => {
      const { CropVLM } = await import("/cropvlm/index.js");
      const crop = await CropVLM.load({ model: "/model/", ...options });
      const where = ({ backend, adapter, isFallback, reason }) => ({ backend, adapter, isFallback, reason });
      const before = where(crop);
      const found = {};
      for (const [name, question] of Object.entries(asked)) {
        const { box, backend } = await crop.propose(`/${name}.jpg`, question);
        found[name] = { box, backend };
      }
      const after = where(crop);
      await crop.dispose();
      return { before, found, after };
    },
    [options, asked],
  );

const near = (found, wanted, what) =>
  found.forEach((edge, at) => assert.ok(Math.abs(edge - wanted[at]) <= 1, `${what}: ${found} against ${wanted}`));

const RECEIPT = { receipt: ASKED.receipt };

test("WebGPU proposes the processor's boxes on every sample, and says where it computed", async () => {
  const page = await opened();
  const there = await propose(page, { device: "webgpu" }, ASKED);
  assert.deepEqual([there.before.backend, there.before.reason], ["webgpu", "asked for"], JSON.stringify(there.before));
  assert.match(there.before.adapter, /swiftshader/i);
  assert.equal(there.before.isFallback, true, "an adapter that the processor imitates");
  assert.deepEqual(there.after, there.before);
  const here = await propose(page, { device: "cpu" }, ASKED);
  assert.deepEqual([here.before.backend, here.before.adapter, here.before.isFallback], ["cpu", null, false]);
  for (const name of Object.keys(ASKED)) {
    near(there.found[name].box, here.found[name].box, name);
    assert.deepEqual([there.found[name].backend, here.found[name].backend], ["webgpu", "cpu"], name);
  }
  await page.close();
});

test("auto times both and takes the faster one, saying so", async () => {
  const page = await opened();
  const { before, found } = await propose(page, {}, RECEIPT);
  const said = before.reason.match(/^\d+ pixels take ([\d.]+) ms on the graphics card, ([\d.]+) ms on the processor$/);
  const [gpu, cpu] = (said ?? assert.fail(before.reason)).slice(1).map(Number);
  assert.equal(before.backend, gpu < cpu ? "webgpu" : "cpu", before.reason);
  assert.equal(before.isFallback, gpu < cpu);
  assert.equal(found.receipt.backend, before.backend);
  await page.close();
});

/** Loads with shaders changed as a faulty driver might; on the page's own thread, where the test reaches them. */
async function changed(from, to) {
  const page = await opened();
  await page.evaluate(
    ([from, to]) => {
      const create = GPUDevice.prototype.createShaderModule;
      window.changes = 0;
      GPUDevice.prototype.createShaderModule = function ({ code, ...more }) {
        if (code.includes(from)) window.changes++;
        return create.call(this, { ...more, code: code.replaceAll(from, to) });
      };
    },
    [from, to],
  );
  const found = await propose(page, { device: "webgpu", worker: false }, RECEIPT);
  assert.ok((await page.evaluate(() => window.changes)) > 0, `no shader has ${from}`);
  assert.deepEqual(found.after, found.before);
  const { backend, adapter, isFallback, reason } = found.before;
  assert.deepEqual([backend, adapter, isFallback, found.found.receipt.backend], ["cpu", null, true, "cpu"], reason);
  const here = await propose(page, { device: "cpu", worker: false }, RECEIPT);
  assert.deepEqual(found.found.receipt.box, here.found.receipt.box);
  // And the device was given back.
  assert.deepEqual(await page.evaluate(() => devices.map((device) => device.gone)), [true]);
  await page.close();
  return reason;
}

test("an adapter that computes wrong numbers is refused, and the processor computes", async () => {
  // A group norm that is one in a hundred too large.
  const reason = await changed("affine[channel] / deviation", "affine[channel] / deviation * 1.01");
  assert.match(reason, /swiftshader computes other .* than the processor \(by .*\), so it is not used/);
});

test("an adapter that does not compile a shader is refused, and the processor computes", async () => {
  const reason = await changed("fn main(", "fn other(");
  assert.match(reason, /swiftshader cannot be used: /);
});

for (const when of ["between two calls", "with work under way"]) {
  test(`a device that is lost ${when}: the call is computed on the processor, and so is what follows`, async () => {
    const page = await opened();
    await page.evaluate(async () => {
      const { CropVLM } = await import("/cropvlm/index.js");
      window.crop = await CropVLM.load({ model: "/model/", device: "webgpu" });
      window.ask = () => crop.propose("/receipt.jpg", "What is the total?").then(({ box, backend }) => ({ box, backend }));
    });
    const first = await page.evaluate(() => ask());
    assert.equal(first.backend, "webgpu");
    await page.workers()[0].evaluate((now) => {
      globalThis.doomed = true;
      if (now) devices.forEach((device) => device.destroy());
    }, when === "between two calls");
    const [call, next] = [await page.evaluate(() => ask()), await page.evaluate(() => ask())];
    const [reason, ...where] = await page.evaluate(() => [crop.reason, crop.backend, crop.adapter, crop.isFallback]);
    assert.deepEqual([...where, call.backend, next.backend], ["cpu", null, true, "cpu", "cpu"], reason);
    assert.match(reason, /swiftshader failed: /);
    near(call.box, first.box, "the call");
    assert.deepEqual(next.box, call.box);
    await page.close();
  });
}

test("without an adapter the processor computes, and the reason says so", async () => {
  const plain = await chrome(["--headless=new"]);
  const page = await opened(plain);
  for (const device of ["webgpu", "auto"]) {
    const { before, found } = await propose(page, { device }, RECEIPT);
    assert.deepEqual([before.backend, before.isFallback, found.receipt.backend], ["cpu", device === "webgpu", "cpu"]);
    assert.match(before.reason, /^(there is no WebGPU here|the browser has WebGPU, and no graphics adapter)/);
  }
  await plain.close();
});
