// Answer, crop, question and picture belong together, whatever is done in between.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { decode, file, picture } from './lib/files.mjs';
import { askButton, box, boxAfter, choose, complaint, cropBytes, image, open, propose, question, started } from './lib/page.mjs';
import { KEY, provider } from './lib/provider.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('picture, question, box and answer', () => {
  const at = started({ permissions: ['clipboard-read', 'clipboard-write'] });
  const { on } = at;
  let endpoint;
  before(async () => {
    endpoint = await provider();
  });
  after(() => endpoint?.close());
  const data = (page) => box(page).getAttribute('data-box');
  const field = (page, name) => page.getByLabel(name, { exact: true });
  const fill = async (page) => {
    await field(page, 'Base URL').fill(endpoint.url);
    await field(page, 'Model').fill('strict');
    await field(page, 'Key').fill(KEY);
  };
  const ended = (page) => page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 60_000 });
  const ask = async (page) => {
    endpoint.requests.length = 0;
    await askButton(page).click();
    await ended(page);
  };
  const steps = async (page) => {
    let count = 0;
    for (; await page.getByRole('button', { name: 'Undo' }).isEnabled(); count++) await page.getByRole('button', { name: 'Undo' }).click();
    return count;
  };

  on('after the question was edited, Ask proposes first, then asks, with one press', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await fill(page);
    const old = await data(page);
    await question(page).fill('What is the date?');
    assert.match(await page.locator('#crop-of').innerText(), /belongs to “What is the total\?”/);
    assert.equal(await box(page).getAttribute('data-other'), 'question');
    await ask(page);
    assert.notEqual(await data(page), old);
    assert.equal(await page.locator('#crop-of').isVisible(), false);
    const [{ texts, images: [, crop] }, ...more] = endpoint.requests;
    assert.equal(more.length, 0, 'one press is one question');
    assert.match(texts.join(' '), /What is the date\?/);
    const shown = decode(await cropBytes(page));
    const share = (crop.width / crop.height) / (shown.width / shown.height);
    assert.ok(share > 0.95 && share < 1.05, 'the new crop is sent');
    assert.equal(Math.max(crop.width, crop.height), 512, 'enlarged');
    // As it is, where the person says so.
    await page.getByText('Tokens and money').click();
    await page.getByLabel('Enlarge a smaller crop').uncheck();
    await ask(page);
    assert.ok(endpoint.requests[0].images[1].bytes.equals(await cropBytes(page)));
    // An answer says what it was about, once that is not what stands there.
    await question(page).fill('Who?');
    assert.match(await page.locator('#answer-note').innerText(), /“What is the date\?”/);
    // Another picture takes it away.
    await choose(page, file('again.png', RECEIPT.buffer));
    assert.equal(await page.locator('#answer').isVisible(), false);
    assert.equal(await page.locator('#answer-note').isVisible(), false);
  });

  on('a refused file while the page opens leaves the sample usable, and says so until the next action', async (page) => {
    await image(page).setInputFiles(file('letter.png', Buffer.from('no picture')));
    await page.locator('#message').waitFor();
    assert.match(await complaint(page), /picture/);
    await page.locator('#picture-facts').filter({ hasText: 'pixels' }).waitFor();
    assert.match(await complaint(page), /picture/);
    assert.equal(await question(page).inputValue(), 'What is the total?');
    assert.equal(await propose(page), 'done');
    assert.equal(await complaint(page), '');
  }, { ready: false });

  on('a link made with a picture of ones own opens with an empty stage', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const shared = await data(page);
    await page.getByRole('button', { name: 'Copy link' }).click();
    await page.locator('#crop-note').filter({ hasText: 'link' }).waitFor();
    const other = await open(page.context(), await page.evaluate(() => location.href));
    assert.match(await other.locator('#empty-note').innerText(), /link's picture is not included: drop it here/);
    assert.equal(await box(other).isVisible(), false);
    assert.equal(await other.locator('#picture').isVisible(), false);
    assert.equal(await question(other).inputValue(), 'What is the total?');
    await choose(other, RECEIPT);
    await boxAfter(other, null);
    assert.equal(await data(other), shared);
    assert.equal(await question(other).inputValue(), 'What is the total?');
  });

  on('undo brings a picture back whose file was changed meanwhile; a sample is one step', async (page) => {
    await boxAfter(page, null);
    await page.getByRole('button', { name: 'Sign', exact: true }).click();
    await page.waitForFunction(() => document.documentElement.dataset.state === 'done', null, { timeout: 60_000 });
    assert.equal(await steps(page), 1);
    const folder = mkdtempSync(join(tmpdir(), 'page-'));
    const path = join(folder, 'receipt.png');
    writeFileSync(path, RECEIPT.buffer);
    await choose(page, path);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const shown = await data(page);
    writeFileSync(path, 'no picture any more');
    await choose(page, file('other.jpg', picture('receipt.jpg')));
    rmSync(folder, { recursive: true });
    await page.getByRole('button', { name: 'Undo' }).click();
    assert.equal(await data(page), shown);
    await page.waitForFunction(() => document.querySelector('#picture').naturalWidth === 620);
    assert.equal(await propose(page), 'done');
    assert.equal(await data(page), shown);
    assert.equal(await complaint(page), '');
  });

  on('a proposal is seen while a lesson is open', async (page) => {
    await boxAfter(page, null);
    await page.getByText('Learn: GRPO, live').click();
    await page.getByRole('button', { name: 'Draw a group', exact: true }).click();
    await page.waitForFunction(() => document.querySelectorAll('#rollouts .rollout').length > 0, null, { timeout: 120_000 });
    assert.equal(await propose(page), 'done');
    assert.equal(await page.locator('#rollouts .rollout').count(), 0);
    assert.equal(await page.locator('#box i').first().isVisible(), true);
    assert.equal(await page.locator('#tag').isVisible(), true);
  });

  on('settings survive a reload, the key only as chosen', async (page) => {
    await page.getByText('Tokens and money').click();
    await field(page, 'Provider').selectOption({ label: 'Anthropic' });
    await field(page, 'Model').fill('claude-haiku-4-5');
    await field(page, 'Base URL').fill('http://localhost:4711/v1');
    await field(page, 'Key').fill('sk-not-kept');
    await field(page, 'Price in, $ per million tokens').fill('3');
    await field(page, 'Full picture at most').selectOption('512');
    await page.getByLabel('Enlarge a smaller crop').uncheck();
    await page.locator('#crop-only').check();
    await page.locator('#request > summary').click();
    await page.locator('#ask-prompt').fill('Briefly: {question}');
    await page.reload();
    await page.waitForFunction(() => document.querySelector('#model').value === 'claude-haiku-4-5');
    const values = await page.evaluate(() => ['provider', 'base-url', 'price-in', 'edge', 'key'].map((id) => document.getElementById(id).value));
    assert.deepEqual(values.slice(1), ['http://localhost:4711/v1', '3', '512', '']);
    assert.equal(await page.locator('#enlarge').isChecked(), false);
    assert.equal(await page.locator('#crop-only').isChecked(), true);
    assert.equal(await page.locator('#ask-prompt').inputValue(), 'Briefly: {question}');
    assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }).includes('sk-not-kept')), false);
    assert.equal(await page.locator('#keep-note').isVisible(), false);
  });

  on('keep keys says so where storage is blocked', async (page) => {
    await page.evaluate(() => {
      Storage.prototype.setItem = () => { throw new DOMException('blocked', 'QuotaExceededError'); };
    });
    await page.getByLabel('Keep keys in this tab').check();
    assert.match(await page.locator('#keep-note').innerText(), /blocks storage/);
    await page.getByLabel('Keep keys in this tab').uncheck();
    assert.equal(await page.locator('#keep-note').isVisible(), false);
  });

  on('a changed provider clears the old error; a small crop fills its panel', async (page) => {
    await boxAfter(page, null);
    await field(page, 'Base URL').fill('');
    await ask(page);
    assert.match(await page.locator('#ask-message').innerText(), /base URL/);
    await field(page, 'Provider').selectOption({ label: 'Anthropic' });
    assert.equal(await page.locator('#ask-message').isVisible(), false);
    const receipt = await box(page).getAttribute('data-box');
    await page.getByRole('button', { name: 'Sign', exact: true }).click();
    await boxAfter(page, receipt);
    await page.waitForFunction(() => document.querySelector('#crop').naturalWidth < 200);
    const [shown, natural] = await page.locator('#crop').evaluate((img) => [img.getBoundingClientRect().width, img.naturalWidth]);
    assert.ok(shown > natural && shown > 200, `${shown} of ${natural}`);
  });
});
