// Speed and size in Chromium's CPU path, printed as one line of JSON for `cargo xtask bench`.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { file, picture } from './lib/files.mjs';
import { box, brotli, browser, choose, code, image, open, proposeButton, question, site, state } from './lib/page.mjs';

const dist = process.env.DIST ?? new URL('../../dist', import.meta.url).pathname;
const QUESTIONS = ['What is the total?', 'What is the date?', 'What is the subtotal?', 'What is the address?'];
const photo = picture('receipt.jpg');
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

const chrome = await browser();
const server = await site();

/** Milliseconds from the click to `done`, by the page's own clock. */
async function timed(page, text) {
  await question(page).fill(text);
  const already = await page.evaluate(() => window.states.length);
  await proposeButton(page).click();
  await page.waitForFunction((already) => ['done', 'error'].includes(window.states.slice(already).at(-1)?.[0]), already, { polling: 10 });
  const [[first, start], [last, end]] = (await page.evaluate(() => window.states)).slice(-2);
  if (first !== 'working' || last !== 'done') throw new Error(`${first} -> ${last}`);
  return end - start;
}

/** One visit: everything from an empty page on. */
async function visit() {
  const context = await chrome.newContext();
  const page = await open(context, server.url, { ready: false });
  await image(page).setInputFiles(file('receipt.jpg', photo));
  await page.waitForFunction(() => {
    const shown = document.querySelector('#picture');
    return shown.src.startsWith('blob:') && shown.naturalWidth > 0; // not the sample that the page opens with
  }, null, { polling: 10 });
  await question(page).fill(QUESTIONS[0]);
  const usable = await page.evaluate(() => performance.now());
  await state(page, 'ready');
  const ready = (await page.evaluate(() => window.states)).find(([name]) => name === 'ready')[1];
  const first = await timed(page, QUESTIONS[0]);
  const same = [];
  for (const text of QUESTIONS) same.push(await timed(page, text));
  const fresh = [];
  for (let round = 0; round < 4; round++) {
    // Clicked right after the picture was chosen: decoding and encoding it are part of the time.
    await question(page).fill(QUESTIONS[round]);
    await image(page).setInputFiles(file(`${round}.jpg`, photo));
    fresh.push(await timed(page, QUESTIONS[round]));
  }
  if (!(await box(page).isVisible())) throw new Error('no box');
  const longest = await page.evaluate(() => window.longest);
  await context.close();
  return { usable, ready, first, same: median(same), fresh: median(fresh), longest };
}

/** Bytes that the tab's process holds, its workers' included: of several renderers, Chromium's spare one is small. */
async function tab() {
  const session = await chrome.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const held = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) =>
    Number(readFileSync(`/proc/${id}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB/m)[1]) * 1024);
  return Math.max(...held);
}

/** One visit of somebody who only looks: paints, blocking and shifts until the sample's box is there. */
async function look() {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await open(context, server.url, { ready: false });
  // Asked for every 10 ms: a locator waits longer and longer between two looks.
  await page.waitForFunction(() => document.querySelector('#box[data-box]')?.checkVisibility(), null, { polling: 10 });
  const seen = await page.evaluate(async () => {
    const largest = await new Promise((resolve) => new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime)).observe({ type: 'largest-contentful-paint', buffered: true }));
    const [paint] = performance.getEntriesByName('first-contentful-paint');
    return { paint: paint.startTime, largest, box: performance.now(), shift: window.shift, blocking: window.blocking };
  });
  seen.memory = await tab();
  await context.close();
  return seen;
}

await visit(); // the browser's own first start is no figure of the page
const visits = [];
for (let round = 0; round < 3; round++) visits.push(await visit());
const of = (name) => median(visits.map((visit) => visit[name]));
const looks = [];
for (let round = 0; round < 3; round++) looks.push(await look());
const seen = (name) => median(looks.map((look) => look[name]));
await chrome.close();
await server.close();

const wasm = readdirSync(dist).filter((name) => name.endsWith('.wasm')).map((name) => readFileSync(join(dist, name)));
const second = join(dist, 'trainable/trainable_bg.wasm');
const sum = (list) => list.reduce((total, value) => total + value, 0);
const thin = ['index.html', 'style.css', 'stage.css', 'learn.css', 'boot.js', 'page.js', 'page_bg.wasm'].map((name) => readFileSync(join(dist, name)));
const model = join(dist, 'models/default');
console.log(JSON.stringify({
  usable_ms: of('usable'),
  ready_ms: of('ready'),
  first_ms: of('first'),
  same_picture_ms: of('same'),
  new_picture_ms: of('fresh'),
  longest_task_ms: of('longest'),
  first_paint_ms: seen('paint'),
  largest_paint_ms: seen('largest'),
  first_box_ms: seen('box'),
  blocking_ms: seen('blocking'),
  shift: seen('shift'),
  page_brotli: sum(thin.map(brotli)) + statSync(join(dist, 'samples/receipt.jpg')).size,
  code_brotli: sum(code().map((name) => brotli(readFileSync(join(dist, name))))),
  second_brotli: existsSync(second) ? brotli(readFileSync(second)) : 0,
  tab_bytes: seen('memory'),
  wasm_bytes: sum(wasm.map((bytes) => bytes.length)),
  wasm_brotli: sum(wasm.map(brotli)),
  model_bytes: sum(readdirSync(model).map((name) => statSync(join(model, name)).size)),
  machine: `${cpus().length} cores, ${cpus()[0].model.trim()}; Chromium without WebGPU`,
}));
