// The encoder on several threads of the CPU: only where the page may share memory, and never at the price of a proposal.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { box, browser, choose, distFile, kept, open, propose, site } from './lib/page.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
// Where the compiler's source is missing, the page is built without the module and says that it runs on one thread.
const skip = existsSync(distFile('threads/threads.js')) ? false : 'built without threads';

describe('threads on the CPU', { skip }, () => {
  let chrome;
  before(async () => {
    chrome = await browser();
  });
  after(() => chrome?.close());
  /** Threads that run and the box that is proposed. */
  const visit = async (name, { query = '', isolated = true, prepare } = {}) => {
    const server = await site({ isolated });
    prepare?.(server);
    const page = await open(await chrome.newContext(), `${server.url}?device=cpu${query}`);
    const found = {};
    await kept(page, name, async () => {
      await choose(page, RECEIPT);
      assert.equal(await propose(page, 'What is the total?'), 'done');
      found.isolated = await page.evaluate(() => crossOriginIsolated);
      found.cores = await page.evaluate(() => navigator.hardwareConcurrency);
      found.threads = Number(await page.locator('#device').getAttribute('data-threads'));
      found.says = await page.locator('#device').innerText();
      found.box = await box(page).getAttribute('data-box');
    });
    await page.context().close();
    await server.close();
    return found;
  };

  test('an isolated page uses them, any other one does not, and both propose the same', async () => {
    const many = await visit('isolated');
    assert.equal(many.isolated, true);
    assert.equal(many.threads, Math.min(many.cores, 8), many.says);
    if (many.threads > 1) assert.match(many.says, new RegExp(`the CPU, ${many.threads} threads`));
    const one = await visit('not isolated', { isolated: false });
    assert.deepEqual([one.isolated, one.threads], [false, 1]);
    assert.doesNotMatch(one.says, /threads/);
    assert.equal(one.box, many.box);
    const asked = await visit('one asked for', { query: '&threads=1' });
    assert.deepEqual([asked.threads, asked.box], [1, many.box]);
  });

  test('a module that is missing or broken leaves one thread', async () => {
    const missing = await visit('missing', { prepare: (server) => server.replace.set('threads/threads.js', 404) });
    assert.equal(missing.threads, 1);
    const broken = await visit('broken', { prepare: (server) => server.replace.set('threads/threads_bg.wasm', Buffer.from('no wasm')) });
    assert.deepEqual([broken.threads, broken.box], [1, missing.box]);
  });
});
