// Chromium, a static server for dist/, and a page with a few verbs. Paths come from `cargo xtask`; without it
// (`node --test`), Chromium is looked for on PATH and dist/ beside the checkout's root.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const dist = process.env.DIST ?? join(root, 'dist');
const artifacts = process.env.ARTIFACTS ?? join(root, 'target/browser');
const programs = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
export const executablePath = programs.find((path) => path && existsSync(path));

const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript', mjs: 'text/javascript', css: 'text/css', wasm: 'application/wasm', json: 'application/json', svg: 'image/svg+xml', jpg: 'image/jpeg', webmanifest: 'application/manifest+json' };

/**
 * A server for dist/ with the headers of `cargo xtask demo`, or none of them that isolate. `replace` maps a path to bytes,
 * a status, a wait, or a function that answers by itself; `asked` collects the paths of what was fetched (no HEAD); while `down`, no connection is answered. With `folder`, the page lives in that folder, and every
 * address outside is answered with the page's HTML.
 */
export async function site({ isolated = true } = {}) {
  const replace = new Map();
  const handle = { down: false, asked: [] };
  const isolation = isolated ? { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' } : {};
  const server = createServer(async (request, response) => {
    if (handle.down) return request.destroy();
    let path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname)).replace(/^\/+/, '') || 'index.html';
    if (handle.folder) path = path.startsWith(`${handle.folder}/`) ? path.slice(handle.folder.length + 1) || 'index.html' : 'index.html';
    if (request.method !== 'HEAD') handle.asked.push(path);
    const other = replace.get(path);
    let body = typeof other === 'function' ? await other(request, response) : other;
    if (response.headersSent) return undefined;
    if (typeof body === 'number') return response.writeHead(body).end();
    const file = join(dist, path);
    if (body === undefined && file.startsWith(dist) && existsSync(file) && statSync(file).isFile()) body = readFileSync(file);
    if (body === undefined) return response.writeHead(404).end();
    response.writeHead(200, {
      'Content-Type': TYPES[path.split('.').pop()] ?? 'application/octet-stream',
      'Content-Length': body.length,
      'Cache-Control': 'no-cache',
      ...isolation,
    }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(handle, {
    url: `http://127.0.0.1:${server.address().port}/`,
    replace,
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  });
}

/** Path of a file of the built page. */
export const distFile = (name) => join(dist, name);
/** The names of the WebAssembly modules that are built here; the reader of PDF documents brings others. */
export const modules = () => readdirSync(dist, { recursive: true }).filter((name) => name.endsWith('.wasm') && !name.startsWith('pdf/'));

/** The names of the files of code that are fetched before the first box; threads come only where memory may be shared. */
export const code = () => readdirSync(dist, { recursive: true })
  .filter((name) => /\.(html|css|js|wasm)$/.test(name) && !/^(pdf|trainable|smolvlm|smolvlm-threads)\/|^(sw|offline)\.js$/.test(name));
/** Bytes that a file has on its way, by brotli at its best. */
export const brotli = (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 } }).length;

/** Bytes of a file of the shipped model. */
export const modelFile = (name) => readFileSync(join(dist, 'models/default', name));

/**
 * Chromium without WebGPU, or with it on SwiftShader. Its contexts have no service workers unless asked for: what a test
 * puts in a file's place has to reach the page.
 */
export async function browser({ webgpu = false } = {}) {
  const gpu = webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'] : [];
  const chrome = await chromium.launch({ executablePath, args: ['--no-sandbox', '--headless=new', ...gpu] });
  const newContext = chrome.newContext.bind(chrome);
  chrome.newContext = (options) => newContext({ serviceWorkers: 'block', ...options });
  return chrome;
}

/** A page with what it said and did. */
export async function open(context, url, { ready = true } = {}) {
  const page = await context.newPage();
  const told = { errors: [], states: () => page.evaluate(() => window.states) };
  page.on('pageerror', (error) => told.errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') told.errors.push(message.text());
  });
  await page.addInitScript(() => {
    window.states = [];
    window.longest = 0;
    window.blocking = 0;
    const note = () => {
      const state = document.documentElement?.dataset.state;
      if (state && window.states.at(-1)?.[0] !== state) window.states.push([state, performance.now()]);
    };
    new MutationObserver(note).observe(document, { attributes: true, subtree: true, attributeFilter: ['data-state'], childList: true });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        window.longest = Math.max(window.longest, duration);
        window.blocking += duration - 50; // as Lighthouse counts
      }
    }).observe({ type: 'longtask', buffered: true });
    window.shift = 0;
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shift += shift.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(url);
  if (ready) await state(page, 'ready');
  return Object.assign(page, { told });
}

/**
 * For a `describe`: a browser and a server that all its tests share. `on(name, body, options)` is a test with a page of its
 * own; `options` are those of `open`, and `context` (Playwright's), `path` (behind the server's address), `prepare` (done
 * before the page is opened). With `spotless`, the page may not have logged an error.
 */
export function started({ spotless = false, permissions } = {}) {
  const at = {};
  before(async () => {
    [at.chrome, at.server] = await Promise.all([browser(), site()]);
  });
  after(async () => {
    await at.chrome?.close();
    await at.server?.close();
  });
  at.on = (name, body, options = {}) => test(name, async () => {
    options.prepare?.();
    const context = await at.chrome.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, permissions, ...options.context });
    const page = await open(context, at.server.url + (options.path ?? ''), options);
    await kept(page, name, () => body(page));
    if (spotless) assert.deepEqual(page.told.errors, []);
    await context.close();
    at.server.replace.clear();
  });
  return at;
}

/**
 * For a `describe` whose tests follow one another on one page: a browser, a server, a stand-in for a provider. `on(name,
 * body)` is a test; `context` is Playwright's; `field` finds a field by its name. `page` and `endpoint` are there once the tests run.
 */
export function onePage(standIn, context) {
  const at = {};
  before(async () => {
    [at.chrome, at.server, at.endpoint] = await Promise.all([browser(), site(), standIn()]);
    at.page = await open(await at.chrome.newContext(context), at.server.url);
  });
  after(async () => {
    await at.chrome?.close();
    await at.server?.close();
    await at.endpoint?.close();
  });
  at.on = (name, body) => test(name, () => kept(at.page, name, body));
  at.field = (name) => at.page.getByLabel(name, { exact: true });
  /** The sentence under "Ask", or ''. */
  at.wrong = async () => ((await at.page.locator('#ask-message').isVisible()) ? at.page.locator('#ask-message').innerText() : '');
  return at;
}

/** Waits until the page is in one of these states, and says which. */
export async function state(page, ...wanted) {
  const handle = await page.waitForFunction(
    (wanted) => wanted.includes(document.documentElement.dataset.state) && document.documentElement.dataset.state,
    wanted, { timeout: 240_000, polling: 20 });
  return handle.jsonValue();
}

export const image = (page) => page.getByLabel('Image', { exact: true });
export const question = (page) => page.getByLabel('Question', { exact: true });
export const proposeButton = (page) => page.getByRole('button', { name: 'Propose crop' });
export const askButton = (page) => page.getByRole('button', { name: 'Ask', exact: true });
export const grip = (page) => page.getByRole('button', { name: /^Box:/ });
export const box = (page) => page.getByRole('img', { name: 'Proposed crop' });

/** Chooses a picture and waits until the worker has read it: of 108 megapixels, on a busy machine, half a minute. */
export async function choose(page, chosen) {
  await image(page).setInputFiles(chosen);
  await page.locator('#picture-facts').filter({ hasText: 'pixels' }).waitFor({ timeout: 120_000 });
}

/** Clicks and waits for the end; returns it. */
export async function propose(page, text) {
  if (text !== undefined) await question(page).fill(text);
  await proposeButton(page).click();
  return state(page, 'done', 'error');
}

/** The edges of the box in percent. */
export async function edges(page) {
  return (await box(page).getAttribute('data-box')).split(',').map(Number);
}

/** Where the model does not see the answer, asks for its guess. */
async function guess(page) {
  const button = page.getByRole('button', { name: 'Show the best guess' });
  if (await button.isVisible()) await button.click();
}

/** The crop's bytes, by way of "Save crop"; a guess's where the model does not see the answer. */
export async function cropBytes(page) {
  await guess(page);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save crop' }).click()]);
  return readFileSync(await download.path());
}

/** Waits until the box is another one than `before`, and its crop is cut; returns its edges. */
export async function boxAfter(page, before) {
  await page.waitForFunction((before) => {
    const box = document.querySelector('#box');
    return !box.hidden && box.dataset.box !== before;
  }, before, { polling: 20 });
  return edges(page);
}

/** The sentence in red, or ''. */
export const complaint = async (page) => (await page.locator('#message').isVisible()) ? page.locator('#message').innerText() : '';

/**
 * The longest task on the main thread, as `measure` finds it, has to stay within 200 ms: decoding or computing there
 * would take seconds. (`bench.mjs` measures against the aim of 100 ms.) A task is measured by the clock on the wall, so that
 * whatever else the machine does, the worker's own threads on its cores above all, can only add to it: one calm
 * measurement of three is enough.
 */
export async function calm(measure) {
  const all = [];
  while (all.length < 3) {
    all.push(await measure());
    if (all.at(-1) <= 200) return;
  }
  throw new Error(`tasks of ${all.join(', ')} ms`);
}

/** Runs a test body and keeps a screenshot when it fails. */
export async function kept(page, name, body) {
  try {
    await body();
  } catch (error) {
    mkdirSync(artifacts, { recursive: true });
    await page.screenshot({ path: join(artifacts, `${name.replace(/\W+/g, '-')}.png`), fullPage: true }).catch(() => {});
    throw error;
  }
}
