// SmolVLM in this browser as the one that answers: fetched when it is asked, no key, nothing sent. Its weights here are the tiny
// model's, random: what it says means nothing; that it is streamed, ends, can be stopped and is kept does.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { askButton, choose, propose, question, started } from './lib/page.mjs';
import { FOLDER } from './lib/tiny.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const HUB = 'hub/owner/tiny/resolve/main/';

describe('SmolVLM in this browser answers', () => {
  const at = started();
  const serve = (folder, files = FOLDER) => {
    for (const [name, bytes] of Object.entries(files)) at.server.replace.set(folder + name, bytes);
  };
  const fetched = (name) => at.server.asked.filter((path) => path.endsWith(name)).length;
  const field = (page, name) => page.getByLabel(name, { exact: true });
  const ended = (page) => page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 60_000 });
  const wrong = async (page) => ((await page.locator('#ask-message').isVisible()) ? page.locator('#ask-message').innerText() : '');
  const ask = async (page) => {
    await askButton(page).click();
    await ended(page);
    return wrong(page);
  };
  const on = (name, body, options) => at.on(name, async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await field(page, 'Provider').selectOption({ label: 'In this browser (SmolVLM)' });
    await body(page);
  }, { prepare: () => { at.server.asked.length = 0; serve('models/text/'); }, ...options });

  on('a folder\'s address: the answer streams in, is counted, and the model is fetched once', async (page) => {
    assert.equal(await field(page, 'Key').isVisible(), false);
    assert.equal(await page.getByRole('button', { name: 'Test the connection' }).isVisible(), false);
    await field(page, 'Model').fill('./models/text');
    const other = [];
    page.on('request', (request) => { if (!request.url().startsWith(at.server.url) && !request.url().startsWith('blob:')) other.push(request.url()); });
    assert.equal(await ask(page), '');
    const answer = await page.locator('#answer').innerText();
    assert.ok(answer.length > 0);
    // Two pictures of one tile each, the text around them, and what was written.
    assert.match(await page.locator('#answer-facts').innerText(), /\d+ (tokens )?in|\d+ tokens/);
    assert.equal(await ask(page), '');
    assert.equal(await page.locator('#answer').innerText(), answer, 'the same question has the same answer');
    assert.equal(fetched('models/text/model.safetensors'), 1);
    assert.deepEqual(other, [], 'nothing went elsewhere');
  });

  on('a name at the base URL, as on the hub', async (page) => {
    serve(HUB);
    await field(page, 'Base URL').fill(`${at.server.url}hub`);
    await field(page, 'Model').fill('owner/tiny');
    assert.equal(await ask(page), '');
    assert.ok((await page.locator('#answer').innerText()).length > 0);
    assert.equal(fetched(`${HUB}model.safetensors`), 1);
  });

  on('Compare asks it three times', async (page) => {
    await field(page, 'Model').fill('./models/text');
    await page.getByRole('button', { name: 'Compare' }).click();
    await page.locator('#verdict:not([hidden])').waitFor({ timeout: 60_000 });
    for (const run of ['full', 'crop', 'blank']) assert.ok((await page.locator(`#run-${run}`).innerText()).length > 0, run);
  });

  on('Compare weighs a given answer, as `cropvlm score` does: each run says how likely it is', async (page) => {
    const answer = page.getByLabel(/^An answer to weigh/);
    await field(page, 'Model').fill('./models/text');
    const compare = async (text) => {
      await answer.fill(text);
      await page.getByRole('button', { name: 'Compare' }).click();
      await page.locator('#verdict:not([hidden])').waitFor({ timeout: 60_000 });
      await ended(page);
      const facts = await page.locator('#run-full-facts, #run-crop-facts, #run-blank-facts').allInnerTexts();
      return [facts.map((words) => Number(/log p of the weighed answer (-\d+\.\d+)/.exec(words)?.[1])), await page.locator('#verdict').innerText()];
    };
    const [short, words] = await compare('12.50');
    assert.ok(short.every((log) => log < 0), `${short}`);
    assert.ok(new Set(short).size > 1, `other pictures, other chances: ${short}`);
    assert.match(words, /With the crop “12\.50” is .*as likely as with the full image alone, with the grey picture .*as likely\./);
    const [long] = await compare('12.50 and a good deal more than that');
    assert.ok(long.every((log, i) => log < short[i]), `${long} against ${short}`);
    const [none] = await compare('');
    assert.ok(none.every(Number.isNaN), 'nothing to weigh');
    await field(page, 'Provider').selectOption({ index: 0 });
    assert.equal(await answer.isVisible(), false, 'providers tell no chances');
  });

  on('Stop ends it, and the next question is answered', async (page) => {
    await field(page, 'Model').fill('./models/text');
    // So long an answer that it is still being written: a tiny model with random weights rarely ends by itself.
    await askButton(page).click();
    await page.getByRole('button', { name: 'Stop', exact: true }).first().click();
    await ended(page);
    assert.match(await wrong(page), /Stopped/);
    assert.equal(await ask(page), '');
  });

  for (const [name, model, change, sentence] of [
    ['a folder without SmolVLM', './models/default', {}, /holds no SmolVLM/],
    ['a folder that is not there', './models/nowhere', {}, /could not be loaded/],
    ['weights that are cut', './models/text', { 'model.safetensors': FOLDER['model.safetensors'].subarray(0, 50_000) }, /model\.safetensors: .*it has 50000 bytes, its header says/],
    ['a web page in place of weights', './models/text', { 'model.safetensors': Buffer.from('<!doctype html><title>x</title>') }, /model\.safetensors: .*web page/],
    ['another architecture', './models/text', { 'config.json': Buffer.from(JSON.stringify({ ...JSON.parse(FOLDER['config.json']), model_type: 'llava' })) }, /model_type is "llava"/],
  ]) {
    on(`${name}: a sentence, and the next try works`, async (page) => {
      serve('models/text/', { ...FOLDER, ...change });
      await field(page, 'Model').fill(model);
      assert.match(await ask(page), sentence);
      assert.equal(await question(page).inputValue(), 'What is the total?');
      serve('models/text/');
      await field(page, 'Model').fill('./models/text');
      assert.equal(await ask(page), '');
    });
  }
});
