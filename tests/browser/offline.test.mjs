// The page installed: without a connection, isolated without headers, updated when the person wants it; and that the
// service worker keeps out of everything that is not the page's own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { askButton, boxAfter, browser, choose, distFile, kept, open, propose, site, state } from './lib/page.mjs';
import { KEY, provider } from './lib/provider.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('installed', () => {
  let chrome, server, context, page;
  before(async () => {
    // A host that sends no headers of its own.
    [chrome, server] = await Promise.all([browser(), site({ isolated: false })]);
    context = await chrome.newContext({ serviceWorkers: 'allow' });
    page = await open(context, server.url);
    await page.locator('html[data-offline="ready"]').waitFor({ state: 'attached', timeout: 60_000 });
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
    const worker = readFileSync(distFile('sw.js'), 'utf8');
    const page_ = readFileSync(distFile('index.html'), 'utf8');
    server.replace.set('index.html', Buffer.from(page_.replace('<title>', '<title>Newer: ')));
    server.replace.set('sw.js', Buffer.from(worker.replace(/"index\.html": "\w+"/, '"index.html": "0000000000000001"')));
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

async function askOn(page, url) {
  await page.getByLabel('Base URL', { exact: true }).fill(url);
  await page.getByLabel('Model', { exact: true }).fill('strict');
  await page.getByLabel('Key', { exact: true }).fill(KEY);
  await askButton(page).click();
  await page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 20_000 });
  return page.locator('#answer').innerText();
}
