// The page installed: without a connection, isolated without headers, updated when the person wants it; and that the
// service worker keeps out of everything that is not the page's own.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { askButton, boxAfter, browser, choose, distFile, kept, open, propose, site, state } from './lib/page.mjs';
import { KEY, provider } from './lib/provider.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

/** Puts a newer build on a host: these files, and a service worker that lists them. */
function newer(server, files) {
  let worker = readFileSync(distFile('sw.js'), 'utf8');
  for (const [name, text] of Object.entries(files)) {
    const bytes = Buffer.from(text);
    server.replace.set(name, bytes);
    const entry = new RegExp(`${JSON.stringify(name).replaceAll('.', '\\.')}: \\["\\w{64}", \\d+\\]`);
    assert.match(worker, entry);
    worker = worker.replace(entry, `${JSON.stringify(name)}: ["${createHash('sha256').update(bytes).digest('hex')}", ${bytes.length}]`);
  }
  server.replace.set('sw.js', Buffer.from(worker));
}
const titled = () => readFileSync(distFile('index.html'), 'utf8').replace('<title>', '<title>Newer: ').replace(/data-build="\w+"/, 'data-build="newer"');
const loader = () => readFileSync(distFile('worker_loader.js'), 'utf8').replaceAll(/'[0-9a-f]{16}'/g, "'newer'");
const installed = (page) => page.locator('html[data-offline="ready"]').waitFor({ state: 'attached', timeout: 60_000 });

describe('installed', () => {
  let chrome, server, context, page;
  before(async () => {
    // A host that sends no headers of its own.
    [chrome, server] = await Promise.all([browser(), site({ isolated: false })]);
    context = await chrome.newContext({ serviceWorkers: 'allow' });
    page = await open(context, server.url);
    await installed(page);
  });
  after(async () => {
    await chrome?.close();
    await server?.close();
  });
  const on = (name, body) => test(name, () => kept(page, name, body));

  on('has a manifest with icons that are there', async () => {
    const manifest = JSON.parse(readFileSync(join(distFile('manifest.webmanifest'))));
    assert.equal(manifest.display, 'standalone');
    assert.ok(manifest.icons.some((icon) => icon.purpose === 'maskable') && manifest.icons.some((icon) => icon.sizes === '512x512'));
    for (const { src } of manifest.icons) assert.ok(readFileSync(distFile(src)).length > 100, src);
    const client = await context.newCDPSession(page);
    const { errors } = await client.send('Page.getAppManifest');
    assert.deepEqual(errors, []);
  });

  on('is cross-origin isolated from the second visit on, without headers of the host', async () => {
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
    await page.reload();
    await state(page, 'ready');
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  });

  on('works without a connection, model included', async () => {
    await context.setOffline(true);
    server.down = true;
    await page.reload();
    await state(page, 'ready');
    await boxAfter(page, null);
    await page.getByRole('button', { name: 'Table', exact: true }).click();
    await page.waitForFunction(() => window.states.at(-1)[0] === 'done', null, { timeout: 20_000 });
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await context.setOffline(false);
    server.down = false;
  });

  on('requests to a provider pass by the service worker, and are never kept', async () => {
    const endpoint = await provider();
    try {
      await page.reload();
      await state(page, 'ready');
      await choose(page, RECEIPT);
      assert.equal(await propose(page, 'What is the total?'), 'done');
      const asked = await askOn(page, endpoint.url);
      assert.match(asked, /9\.00/);
      const kept = await page.evaluate(async () => {
        const cache = await caches.open('cropvlm');
        return (await cache.keys()).map((request) => request.url);
      });
      assert.ok(kept.length > 5);
      assert.deepEqual(kept.filter((url) => !url.startsWith(server.url)), []);
      const all = await page.evaluate(() => caches.keys());
      assert.deepEqual(all, ['cropvlm']);
    } finally {
      await endpoint.close();
    }
  });

  on('a newer version is offered, and comes when it is wanted', async () => {
    newer(server, { 'index.html': titled(), 'worker_loader.js': loader() });
    await page.reload();
    await state(page, 'ready');
    assert.equal((await page.title()).startsWith('Newer'), false, 'the old version until then');
    await page.locator('#update').waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.waitForFunction(() => document.title.startsWith('Newer'), null, { timeout: 60_000 });
    await state(page, 'ready');
    const kept = await page.evaluate(async () => (await (await caches.open('cropvlm')).keys()).filter(({ url }) => url.includes('index.html')).length);
    assert.equal(kept, 1, 'the old file is gone');
  });
});

describe('a copy that is checked', () => {
  let chrome, server, context, page;
  before(async () => {
    [chrome, server] = await Promise.all([browser(), site({ isolated: false })]);
    context = await chrome.newContext({ serviceWorkers: 'allow' });
  });
  after(async () => {
    await chrome?.close();
    await server?.close();
  });
  const on = (name, body) => test(name, () => kept(page, name, body));
  /** Names of kept files whose bytes are not those of dist/. */
  const wrong = async () => {
    const files = await page.evaluate(async () => {
      const cache = await caches.open('cropvlm');
      return Promise.all((await cache.keys()).map(async (request) => {
        const bytes = await (await cache.match(request)).arrayBuffer();
        const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
        return [new URL(request.url).pathname.slice(1), Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')];
      }));
    });
    assert.ok(files.length > 5);
    return files.filter(([name, hash]) => createHash('sha256').update(readFileSync(distFile(name))).digest('hex') !== hash).map(([name]) => name);
  };

  on('a host that sends HTML for a file that is missing gets nothing kept, and the next visit tries again', async () => {
    for (const body of ['<!doctype html><p>Not here', readFileSync(distFile('samples/plate.jpg')).subarray(0, 999)]) {
      server.replace.set('samples/plate.jpg', Buffer.from(body));
      page = await open(context, server.url);
      await page.locator('html[data-offline="none"]').waitFor({ state: 'attached', timeout: 60_000 });
      assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active ?? null), null);
      await page.close();
    }
    server.replace.clear();
    page = await open(context, server.url);
    await installed(page);
    assert.deepEqual(await wrong(), []);
  });

  on('a poisoned copy heals at the next load', async () => {
    const poisoned = await page.evaluate(async () => {
      const cache = await caches.open('cropvlm');
      const keys = await cache.keys();
      const html = () => new Response('<!doctype html><p>Sign in', { headers: { 'Content-Type': 'text/html' } });
      const named = (name) => keys.find(({ url }) => url.includes(name));
      await cache.put(named('/page_bg.wasm'), html());
      await cache.put(named('/page.js'), new Response('throw 1', { headers: { 'Content-Type': 'text/javascript' } }));
      await cache.put(named('/worker_loader.js'), html());
      await cache.put(named('/config.json'), new Response('{', { headers: { 'Content-Type': 'application/json' } }));
      return keys.length;
    });
    assert.ok(poisoned > 5);
    assert.equal((await wrong()).length, 4);
    await page.reload();
    assert.equal(await state(page, 'ready', 'error'), 'ready');
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.deepEqual(await wrong(), []);
  });

  on('a copy that cannot be mended gives way to the host’s newer build', async () => {
    const script = `${readFileSync(distFile('page.js'), 'utf8')}\n// newer`;
    newer(server, { 'index.html': titled(), 'worker_loader.js': loader(), 'page.js': script });
    await page.evaluate(async () => {
      const cache = await caches.open('cropvlm');
      for (const request of await cache.keys()) if (request.url.includes('/page.js')) await cache.put(request, new Response('', { headers: { 'Content-Type': 'text/javascript' } }));
    });
    await page.reload().catch(() => {}); // begins anew in the middle
    await page.waitForFunction(() => document.title.startsWith('Newer'), null, { timeout: 60_000 });
    assert.equal(await state(page, 'ready', 'error'), 'ready');
    server.replace.clear();
  });
});

test('two tabs and a new build: Reload works in each, and an old page runs no new worker', async () => {
  const [chrome, server] = await Promise.all([browser(), site({ isolated: false })]);
  const context = await chrome.newContext({ serviceWorkers: 'allow' });
  let two;
  try {
    await kept({ screenshot: (...all) => two?.screenshot(...all) }, 'two tabs', async () => {
      const first = await open(context, server.url);
      await installed(first);
      await first.close();
      const one = await open(context, server.url);
      two = await open(context, server.url);
      newer(server, { 'index.html': titled(), 'worker_loader.js': loader() });
      const reload = (page) => page.getByRole('button', { name: 'Reload', exact: true });
      await one.reload();
      await state(one, 'ready');
      await reload(one).waitFor({ timeout: 60_000 });
      await reload(one).click();
      await one.waitForFunction(() => document.title.startsWith('Newer'), null, { timeout: 60_000 });
      await state(one, 'ready');

      // The other tab is what it was, and works with the worker that it has.
      assert.equal((await two.title()).startsWith('Newer'), false);
      await choose(two, RECEIPT);
      assert.equal(await propose(two, 'What is the total?'), 'done');
      // Its worker breaks; what the host has now is another build's.
      const [worker] = two.workers().filter((worker) => worker.url().includes('worker_loader'));
      await worker.evaluate(() => void setTimeout(() => { throw new Error('broken for the test'); }));
      await two.locator('#message').filter({ hasText: 'A newer version of this page' }).waitFor({ timeout: 60_000 });
      // The browser tells of a worker's end a little later.
      for (let wait = 0; wait < 100 && two.workers().length > 0; wait++) await two.waitForTimeout(100);
      assert.equal(two.workers().length, 0, 'no worker of another build stays');
      await reload(two).click();
      await two.waitForFunction(() => document.title.startsWith('Newer'), null, { timeout: 60_000 });
      assert.equal(await state(two, 'ready', 'error'), 'ready');
    });
  } finally {
    await chrome.close();
    await server.close();
  }
});

async function askOn(page, url) {
  await page.getByLabel('Base URL', { exact: true }).fill(url);
  await page.getByLabel('Model', { exact: true }).fill('strict');
  await page.getByLabel('Key', { exact: true }).fill(KEY);
  await askButton(page).click();
  await page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 20_000 });
  return page.locator('#answer').innerText();
}
