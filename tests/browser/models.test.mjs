// The choice of the cropping network: the shipped one, SmolVLM from the hub, a folder's address, files of this computer.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { choose, complaint, edges, propose, question, started } from './lib/page.mjs';
import { FOLDER } from './lib/tiny.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('the cropping model is chosen on the page', () => {
  const at = started();
  const serve = () => {
    for (const [name, bytes] of Object.entries(FOLDER)) at.server.replace.set(`models/text/${name}`, bytes);
  };
  const files = (folder) => Object.entries(folder).map(([name, buffer]) => ({ name, mimeType: 'application/octet-stream', buffer }));
  const field = (page, name) => page.getByLabel(name, { exact: true });
  const modelState = (page, wanted) => page.waitForFunction((wanted) => document.documentElement.dataset.model === wanted, wanted, { timeout: 60_000 });
  const take = async (page, label, prepare) => {
    await field(page, 'Cropping model').selectOption({ label });
    await prepare?.();
    await page.evaluate(() => { document.documentElement.dataset.model = 'asked'; });
    await page.getByRole('button', { name: 'Load this model' }).click();
  };
  const on = (name, body) => at.on(name, async (page) => {
    await page.locator('#models-card summary').click();
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await body(page, await edges(page));
  }, { prepare: () => { at.server.asked.length = 0; serve(); } });
  const same = async (page, box) => {
    await take(page, 'Default (3.4 MB)');
    await modelState(page, 'ready');
    assert.equal(await propose(page), 'done', await complaint(page));
    assert.deepEqual(await edges(page), box);
  };

  on('a folder\'s address, and back: picture and question stay', async (page, box) => {
    await take(page, 'A folder\'s address', () => page.getByLabel('Address of the folder').fill('./models/text'));
    await modelState(page, 'ready');
    assert.equal(await question(page).inputValue(), 'What is the total?');
    assert.equal(await propose(page), 'done', await complaint(page));
    assert.notDeepEqual(await edges(page), box, 'another network, another box');
    assert.ok((await page.locator('#prompt').textContent()).includes('What is the total?'), 'the text policy wrote it');
    await same(page, box);
  });

  on('files on this computer: nothing is fetched; one that is missing is named', async (page, box) => {
    const { 'tokenizer.json': missing, ...rest } = FOLDER;
    assert.ok(missing);
    const input = page.locator('#policy-files');
    await take(page, 'Files on this computer', () => input.setInputFiles(files(rest)));
    await modelState(page, 'failed');
    assert.match(await complaint(page), /tokenizer\.json .*not among the chosen files/);
    at.server.asked.length = 0;
    await take(page, 'Files on this computer', () => input.setInputFiles(files(FOLDER)));
    await modelState(page, 'ready');
    assert.equal(await propose(page), 'done', await complaint(page));
    assert.ok((await page.locator('#prompt').textContent()).includes('What is the total?'));
    assert.deepEqual(at.server.asked.filter((path) => path.endsWith('.safetensors') || path.endsWith('config.json')), []);
    await same(page, box);
  });

  on('SmolVLM from the hub: the box is the training-free one, and the page says so', async (page) => {
    await page.context().route('https://huggingface.co/**', (route) => {
      const body = FOLDER[route.request().url().split('/resolve/main/')[1]];
      const headers = { 'access-control-allow-origin': '*' };
      return body ? route.fulfill({ body, headers }) : route.fulfill({ status: 404, headers });
    });
    // What a text policy shows beside its own box ...
    await take(page, 'A folder\'s address', () => page.getByLabel('Address of the folder').fill('./models/text'));
    await modelState(page, 'ready');
    assert.equal(await propose(page), 'done', await complaint(page));
    await page.getByLabel('Where the model sees evidence').check();
    const free = page.getByRole('img', { name: 'Training-free box' });
    await free.waitFor();
    const wanted = (await free.getAttribute('data-box')).split(',').map(Number);
    await page.getByLabel('Where the model sees evidence').uncheck();
    assert.doesNotMatch(await page.locator('#device').innerText(), /training-free/);
    // ... is the box where the weights were never taught to write one.
    await take(page, 'SmolVLM-256M from the hub (513 MB)');
    await modelState(page, 'ready');
    assert.match(await page.locator('#device').innerText(), /never taught to crop: the box is the training-free one/);
    assert.equal(await propose(page), 'done', await complaint(page));
    assert.deepEqual(await edges(page), wanted);
  });

  on('what was fetched stays: without a connection it works, changed on the host it is fetched anew, and it can be removed', async (page) => {
    const load = async (wanted) => {
      await take(page, 'A folder\'s address', () => page.getByLabel('Address of the folder').fill('./models/text'));
      await modelState(page, wanted);
    };
    const weights = () => at.server.asked.filter((path) => path === 'models/text/model.safetensors').length;
    const remove = page.getByRole('button', { name: 'Remove kept models' });
    assert.equal(await remove.isVisible(), false);
    await load('ready');
    await page.locator('#policy-kept').filter({ hasText: /\d+ kB of fetched models stay on this device/ }).waitFor();
    const cut = async () => page.context().route('**/models/text/**', (route) => route.abort());
    await cut();
    await load('ready');
    assert.equal(await propose(page), 'done', await complaint(page));
    await page.context().unroute('**/models/text/**');

    const before = weights();
    at.server.replace.set('models/text/model.safetensors', FOLDER['model.safetensors'].subarray(0, 50_000));
    await load('failed');
    assert.match(await complaint(page), /it has 50000 bytes, its header says/);
    assert.ok(weights() > before);
    serve();
    await load('ready');

    await remove.click();
    await page.locator('#policy-kept').waitFor({ state: 'hidden' });
    await cut();
    await load('failed');
    assert.match(await complaint(page), /config\.json could not be loaded/);
    await page.context().unroute('**/models/text/**');
    await load('ready');
  });

  /** Answers for the weights by `body(request)`, as a host that sends parts of a file does; the ranges that were asked for. */
  const weightsBy = async (page, etag, cut) => {
    const ranges = [];
    const weights = FOLDER['model.safetensors'];
    at.server.replace.set('models/text/model.safetensors', async (request, response) => {
      if (request.method === 'HEAD') return weights;
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      ranges.push(from);
      const headers = { 'Content-Length': weights.length - from, ETag: etag(), 'Cross-Origin-Embedder-Policy': 'require-corp' };
      if (from) headers['Content-Range'] = `bytes ${from}-${weights.length - 1}/${weights.length}`;
      response.writeHead(from ? 206 : 200, headers);
      const to = cut(ranges.length) ?? weights.length;
      response.write(weights.subarray(from, Math.max(to, from)));
      if (to < weights.length) setTimeout(() => response.destroy(), 100);
      else response.end();
      return undefined;
    });
    return ranges;
  };
  const byAddress = (page) => take(page, 'A folder\'s address', () => page.getByLabel('Address of the folder').fill('./models/text'));

  on('a download that breaks goes on where it broke, at once and at the next visit', async (page) => {
    // The first connection breaks after 40,000 bytes, then nobody answers any more.
    const ranges = await weightsBy(page, () => '"one"', (times) => [40_000, 90_000, 90_000, 90_000, 90_000][times - 1]);
    await byAddress(page);
    await modelState(page, 'failed');
    assert.deepEqual(ranges, [0, 40_000, 90_000, 90_000], 'each behind what was here');
    assert.match(await complaint(page), /model\.safetensors .*the connection broke; the next try goes on from there/);
    await page.reload();
    const next = await weightsBy(page, () => '"one"', () => undefined);
    await modelState(page, 'ready');
    await page.locator('#models-card summary').click();
    await byAddress(page);
    await modelState(page, 'ready');
    assert.deepEqual(next, [90_000]);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done', await complaint(page));
  });

  on('a file that changed while its download was broken is fetched from its start', async (page) => {
    let tag = '"old"';
    const ranges = await weightsBy(page, () => tag, (times) => {
      if (times > 1) return undefined;
      tag = '"new"';
      return 40_000;
    });
    await byAddress(page);
    await modelState(page, 'ready');
    assert.deepEqual(ranges, [0, 40_000, 0]);
    assert.equal(await propose(page), 'done', await complaint(page));
  });
});
