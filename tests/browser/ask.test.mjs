// "Ask": what is sent, how the answer is shown, and everything that can go wrong with an endpoint.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decode, file, greyPng, picture } from './lib/files.mjs';
import { askButton, box, browser, choose, cropBytes, edges, kept, open, propose, question, site } from './lib/page.mjs';
import { KEY, provider } from './lib/provider.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const WRONG_KEY = 'sk-wrong-0815';

describe('asking an endpoint', () => {
  let chrome, server, endpoint, context, page;
  before(async () => {
    [chrome, server, endpoint] = await Promise.all([browser(), site(), provider()]);
    context = await chrome.newContext({ acceptDownloads: true });
    page = await open(context, server.url);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    // The crop's own pixels are looked at here; together.test.mjs has it enlarged.
    await page.locator('#enlarge').evaluate((box) => box.click());
  });
  after(async () => {
    await chrome?.close();
    await server?.close();
    await endpoint?.close();
  });

  const fill = async ({ url = endpoint.url, model = 'strict', key = KEY } = {}) => {
    await page.getByLabel('Base URL', { exact: true }).fill(url);
    await page.getByLabel('Model', { exact: true }).fill(model);
    await page.getByLabel('Key', { exact: true }).fill(key);
  };
  const answer = page_ => page_.locator('#answer');
  const wrong = () => page.locator('#ask-message');
  const ended = () => page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 20_000 });
  const askAndSee = async () => {
    await askButton(page).click();
    await ended();
    return (await wrong().isVisible()) ? wrong().innerText() : '';
  };
  /** After every mishap: picture, question and box are still there, and the next try works. */
  const stillWorks = async () => {
    endpoint.mode = 'ok';
    assert.equal(await question(page).inputValue(), 'What is the total?');
    assert.equal(await page.locator('#picture').isVisible(), true);
    assert.equal(await box(page).isVisible(), true);
    await fill();
    assert.equal(await askAndSee(), '');
    assert.equal(await answer(page).innerText(), 'The total is 9.00 €.');
  };
  const on = (name, body) => test(name, () => kept(page, name, body));

  on('a strict server accepts the request, and its answer streams in', async () => {
    await fill();
    endpoint.mode = 'slow';
    await askButton(page).click();
    await page.waitForFunction(() => document.querySelector('#answer').textContent === 'The total ', null, { polling: 20 });
    await ended();
    assert.equal(await answer(page).innerText(), 'The total is 9.00 €.');
    assert.deepEqual(endpoint.complaints, []);
    const [request] = endpoint.requests.splice(0);
    assert.equal(request.model, 'strict');
    assert.equal(request.images.length, 2);
    assert.match(request.texts.join(' '), /What is the total\?/);
    const [full, crop] = request.images;
    const original = decode(RECEIPT.buffer);
    assert.deepEqual([full.width, full.height], [original.width, original.height]);
    assert.deepEqual([full.bytes.equals(RECEIPT.buffer), crop.type], [true, 'image/png']);
    assert.ok(crop.bytes.equals(await cropBytes(page)));
    const [x1, y1] = await edges(page);
    const at = [Math.round((x1 * original.width) / 100), Math.round((y1 * original.height) / 100)];
    assert.deepEqual(crop.rgb(0, 0), original.rgb(...at));
  });

  on('a large picture is sent smaller, its crop is not', async () => {
    await choose(page, file('large.png', greyPng(3000, 1500, (y, row) => row.fill(y % 256))));
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await fill();
    endpoint.mode = 'ok';
    assert.equal(await askAndSee(), '');
    const [{ images: [full, crop] }] = endpoint.requests.splice(0);
    assert.deepEqual([full.type, full.width, full.height], ['image/jpeg', 2048, 1024]);
    const [x1, , x2] = await edges(page);
    assert.equal(crop.width, Math.round((x2 * 3000) / 100) - Math.round((x1 * 3000) / 100));
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
  });

  on('a refused key is shown as such, and never repeated', async () => {
    await fill({ key: WRONG_KEY });
    assert.match(await askAndSee(), /refused the key \(401\)/);
    const text = await page.evaluate(() => document.body.innerText + location.href + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie);
    assert.equal(text.includes(WRONG_KEY), false);
    assert.equal(page.told.errors.join().includes(WRONG_KEY), false);
    await stillWorks();
  });

  on('too many requests', async () => {
    endpoint.mode = '429';
    assert.match(await askAndSee(), /\(429\).*Try again in 7 seconds/);
    endpoint.mode = '429 until';
    assert.match(await askAndSee(), /\(429\).*Try again after Fri, 20 Nov 2026 08:00:00 GMT\./);
    await stillWorks();
  });

  on('a server with a problem', async () => {
    endpoint.mode = '500';
    assert.match(await askAndSee(), /problem of its own \(500\)/);
    await stillWorks();
  });

  on('an endpoint that does not allow web pages (CORS)', async () => {
    endpoint.mode = 'cors';
    assert.match(await askAndSee(), /No reply from http:\/\/127\.0\.0\.1:\d+\..*CORS/);
    await stillWorks();
  });

  on('an endpoint that is down', async () => {
    await fill({ url: 'http://127.0.0.1:9/v1' });
    assert.match(await askAndSee(), /No reply from http:\/\/127\.0\.0\.1:9\. Is the server running/);
    await stillWorks();
  });

  on('a stream that breaks keeps what has arrived', async () => {
    endpoint.mode = 'broken';
    assert.match(await askAndSee(), /connection broke before the answer was complete/);
    assert.match(await answer(page).innerText(), /^The total is 9/);
    await stillWorks();
  });

  on('stopping', async () => {
    endpoint.mode = 'slow';
    await askButton(page).click();
    await page.waitForFunction(() => document.querySelector('#answer').textContent === 'The total ', null, { polling: 20 });
    await page.getByRole('button', { name: 'Stop' }).click();
    await ended();
    assert.equal(await wrong().innerText(), 'Stopped.');
    await stillWorks();
  });

  on('fields that are empty or wrong are named before anything is sent', async () => {
    endpoint.requests.length = 0;
    await fill({ url: '' });
    assert.match(await askAndSee(), /base URL/);
    await fill({ model: '' });
    assert.match(await askAndSee(), /model/);
    await fill({ url: 'ftp://x' });
    assert.match(await askAndSee(), /base URL .*https:\/\//);
    await fill({ key: 'sk a b' });
    assert.match(await askAndSee(), /key contains a space/);
    assert.deepEqual(endpoint.requests, []);
    await stillWorks();
  });
});
