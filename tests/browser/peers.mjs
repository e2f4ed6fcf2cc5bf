// SmolVLM-256M's shape on the page and in onnxruntime-web, in turns, in one Chromium, so that both see the same machine. One
// line of JSON for `cargo xtask bench --peers`; no test.
//
// node peers.mjs DIR ROWS [ROUNDS] [TOKENS]     DIR/q8: what `cropvlm export --quant q8` made; DIR/onnx: `tests/parity/export_onnx.py`
//
// ROWS, divided by commas: page, page-webgpu, ort-web-q8, ort-web-f32, ort-web-webgpu. ORT in the environment is the folder of onnxruntime-web's
// built files. The page's times are those that the model in its worker tells with a box (picture, vision, prompt, the constrained
// box); its tokens are written freely by that very model. WebGPU is SwiftShader's, without a graphics card: minutes.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { file, picture } from './lib/files.mjs';
import { browser, complaint, distFile, image, open, proposeButton, question, site, state } from './lib/page.mjs';

const [folder, rows, rounds = 5, tokens = 20] = process.argv.slice(2);
const runtime = process.env.ORT;
const QUESTION = 'What is the total?';
const PROMPT = `${QUESTION}\nOutline the region in the image that would help answer this question.`;
const THREADS = 2;
const PATIENCE = 1_800_000; // on SwiftShader
const wanted = rows.split(',');
const photo = picture('receipt.jpg');
const { ids } = JSON.parse(readFileSync(join(folder, 'onnx/case.json')));

const chrome = await browser({ webgpu: wanted.some((row) => row.includes('webgpu')) });
const server = await site();
const { replace } = server;
const serve = (at, from) => {
  for (const name of readdirSync(from)) replace.set(`${at}/${name}`, () => readFileSync(join(from, name)));
};
serve('models/peers', join(folder, 'q8'));
serve('peers/onnx', join(folder, 'onnx'));
if (runtime) serve('peers/runtime', runtime);
replace.set('peers/index.html', Buffer.from('<!doctype html><meta charset="utf-8"><title>onnxruntime-web</title><link rel="icon" href="data:,">'));
replace.set('peers/worker.js', readFileSync(new URL('lib/onnxruntime.js', import.meta.url)));
// Keeps the model at hand that a box was proposed with, and the times that it told.
for (const name of ['smolvlm/smolvlm.js', 'smolvlm-threads/smolvlm.js', 'trainable/trainable.js']) {
  const module = existsSync(distFile(name)) ? readFileSync(distFile(name), 'utf8') : '';
  if (module.includes('export class Model ')) {
    replace.set(name, Buffer.from(`${module}
      const { propose } = Model.prototype;
      Model.prototype.propose = async function (...given) {
        const [proposal, writing] = await propose.apply(this, given);
        self.peer = { model: this, timings: proposal.timings };
        return [proposal, writing];
      };`));
  }
}

/** Megabytes that each of the browser's tabs holds, and held at most, by its process. */
async function tabs() {
  const session = await chrome.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const megabytes = (status, key) => Number(status.match(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm'))[1]) * 1024 / 1e6;
  return new Map(processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => {
    const status = readFileSync(`/proc/${id}/status`, 'utf8');
    return [id, { held: megabytes(status, 'VmRSS'), most: megabytes(status, 'VmHWM') }];
  }));
}

/** The page with the packed folder: `device` is cpu or webgpu. */
class Page {
  constructor(device) {
    this.device = device;
    this.boxes = 0;
  }

  async load() {
    const context = await chrome.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(PATIENCE);
    this.page = await open(context, `${server.url}?model=models/peers/&device=${this.device}&threads=${THREADS}`, { ready: false });
    await this.page.waitForFunction(() => ['ready', 'error'].includes(document.documentElement.dataset.state), null, { polling: 20, timeout: PATIENCE });
    if (await state(this.page, 'ready', 'error') === 'error') throw new Error(await complaint(this.page));
    const device = await this.page.locator('#device').getAttribute('data-device');
    if (device.toLowerCase() !== this.device) throw new Error(`the page runs on ${device}: ${await this.page.locator('#device').innerText()}`);
    return (await this.page.evaluate(() => window.states)).find(([name]) => name === 'ready')[1];
  }

  /** A picture that is new, and its box; then so many tokens. */
  async run(count) {
    const { page } = this;
    await question(page).fill(QUESTION);
    const [already, start] = await page.evaluate(() => [window.states.length, performance.now()]);
    await image(page).setInputFiles(file(`${this.boxes++}.jpg`, photo));
    await proposeButton(page).click();
    await page.waitForFunction((already) => ['done', 'error'].includes(window.states.slice(already).at(-1)?.[0]), already, { polling: 20, timeout: PATIENCE });
    const states = await page.evaluate((already) => window.states.slice(already), already);
    if (states.at(-1)[0] !== 'done') throw new Error(await complaint(page));
    // Of the page's workers the one that owns the model; the others are threads, which never answer.
    const worker = page.workers().find((worker) => worker.url().includes('worker_loader'));
    const free = await worker.evaluate(async ([text, count]) => {
      const black = new Uint8Array(3 * 64 * 64);
      const { model, timings } = self.peer;
      if (!model.read) return { timings }; // a policy alone: it writes boxes and nothing else
      const answer = await model.read([[black, 64]], 1, text, count + 1, undefined);
      const start = performance.now();
      for (let i = 0; i < count; i++) await model.write(answer);
      const token = (performance.now() - start) / count;
      const told = { timings, token, prompt_tokens: answer.prompt_tokens(), written: answer.tokens() };
      answer.free();
      return told;
    }, [PROMPT, count]);
    const { image: shrunk, vision, prefill, decode } = free.timings;
    const times = { vision, prompt: prefill, picture: shrunk, constrained: decode, proposal: states.at(-1)[1] - start };
    if (free.token === undefined) return times;
    if (free.written !== count) throw new Error(`${free.written} tokens were written, not ${count}`);
    if (free.prompt_tokens !== ids.length) throw new Error(`the prompt has ${free.prompt_tokens} tokens here and ${ids.length} in case.json`);
    return { ...times, token: free.token };
  }
}

/** onnxruntime-web: `provider` is wasm or webgpu. */
class Onnxruntime {
  constructor(provider, kind) {
    this.what = { provider, kind, threads: THREADS };
  }

  async load() {
    const context = await chrome.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(`${server.url}peers/index.html`);
    const start = performance.now();
    const [worker] = await Promise.all([
      page.waitForEvent('worker'),
      page.evaluate(() => new Promise((resolve, reject) => {
        window.worker = new Worker('worker.js', { type: 'module' });
        window.worker.onmessage = resolve;
        window.worker.onerror = (event) => reject(new Error(event.message));
      })),
    ]);
    this.worker = worker;
    await worker.evaluate((what) => self.peer.load(what), this.what);
    return performance.now() - start;
  }

  async run(count) {
    const { same, of, ...times } = await this.worker.evaluate((count) => self.peer.run(count), count);
    // Numbers that are wrong are quick to compute: f32 has to write what transformers writes.
    if (this.what.kind === 'f32' && this.what.provider === 'wasm' && same !== of) throw new Error(`${same} of ${of} tokens are those of transformers`);
    return { ...times, as_transformers: same / of };
  }
}

const KINDS = {
  page: () => new Page('cpu'),
  'page-webgpu': () => new Page('webgpu'),
  'ort-web-q8': () => new Onnxruntime('wasm', 'q8'),
  'ort-web-f32': () => new Onnxruntime('wasm', 'f32'),
  'ort-web-webgpu': () => new Onnxruntime('webgpu', 'f32'),
};

const all = [];
const taken = new Set(); // processes whose tab is known
for (const name of wanted) {
  const peer = KINDS[name]();
  const ready = await peer.load();
  console.error(`    ${name}: ready after ${ready.toFixed(0)} ms`);
  const [[process]] = [...await tabs()].filter(([id]) => !taken.has(id)).sort(([, a], [, b]) => b.held - a.held);
  taken.add(process);
  all.push({ name, peer, ready, process, runs: [] });
}
for (let round = 0; round <= rounds; round++) {
  for (const { name, peer, runs } of all) {
    await pause(500); // threads of the one before it may still be looking for work
    const times = await peer.run(Number(tokens));
    runs.push(times);
    console.error(`    ${name}: ${Object.entries(times).map(([part, ms]) => `${part} ${ms.toFixed(ms < 100 ? 1 : 0)}`).join(', ')}`);
  }
}
const held = await tabs();
await chrome.close();
await server.close();
const best = (runs) => Object.fromEntries(Object.keys(runs[0]).map((part) => [part, Math.min(...runs.map((run) => run[part]))]));
console.log(JSON.stringify({
  rows: all.map(({ name, ready, process, runs }) => ({
    name, ready, ...held.get(process),
    ...best(runs.length > 1 ? runs.slice(1) : runs), // the first one warms up
  })),
  rounds: Number(rounds),
  machine: `${cpus().length} cores, ${cpus()[0].model.trim()}`,
}));
