// Answers as servers really send them: connections that stay open, keep-alives, thoughts, Markdown; and what is sent: the
// prompt that a person sees and changes, the crop alone, the request as a command.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { before, describe } from 'node:test';
import { decode, file, picture } from './lib/files.mjs';
import { askButton, choose, onePage, propose } from './lib/page.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const KEY = 'sk-test-4711';
const data = (value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
const delta = (fields, finish_reason = null) => data({ choices: [{ index: 0, delta: fields, finish_reason }] });
const stop = delta({}, 'stop');
const usage = data({ choices: [], usage: { prompt_tokens: 812, completion_tokens: 7 } });

/** A server that sends `answer(body)`, a list of texts, and keeps the connection open where `stays` is set. */
async function raw() {
  const state = { answer: () => [], stays: false, bodies: [], open: 0 };
  const server = createServer(async (request, response) => {
    response.setHeader('Access-Control-Allow-Origin', request.headers.origin ?? '*');
    response.setHeader('Access-Control-Allow-Headers', 'authorization, content-type');
    if (request.method === 'OPTIONS') return response.writeHead(204).end();
    let body = '';
    for await (const part of request) body += part;
    state.bodies.push(JSON.parse(body));
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    state.open++;
    response.on('close', () => state.open--);
    for (const text of state.answer(state.bodies.at(-1))) {
      response.write(text);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (!state.stays) response.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(state, {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  });
}

describe('answers and prompts', () => {
  const at = onePage(raw, { permissions: ['clipboard-read', 'clipboard-write'] });
  const { on, field, wrong: said } = at;
  let endpoint, page;
  before(async () => {
    ({ endpoint, page } = at);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await field('Provider').selectOption({ label: 'Other (OpenAI-compatible)' });
  });
  const answer = () => page.locator('#answer');
  const thoughts = () => page.locator('#answer-thoughts');
  const ended = () => page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 20_000 });
  const ask = async (texts, stays = false) => {
    Object.assign(endpoint, { answer: () => texts, stays });
    endpoint.bodies.length = 0;
    await askButton(page).click();
    await ended();
    return said();
  };

  on('another server is chosen by name: its address and model are asked for, a key is not', async () => {
    assert.equal(await field('Base URL').inputValue(), '');
    assert.match(await ask([]), /base URL/);
    await field('Base URL').fill(endpoint.url);
    assert.match(await ask([]), /model/);
    await field('Model').fill('some-vlm');
    assert.equal(await ask([delta({ content: '9.00' }), stop, usage, data('[DONE]')]), '');
    assert.equal(await answer().innerText(), '9.00');
    await page.locator('summary', { hasText: 'Help with this provider' }).click();
    assert.match(await page.locator('#help').innerText(), /one picture a question only.*"Crop only"/);
  });

  on('a needed key is asked for before anything is sent', async () => {
    let sent = 0;
    await page.route(/api\.openai\.com|api\.mistral\.ai/, (route) => (sent++, route.abort()));
    for (const name of ['OpenAI (chat completions)', 'OpenAI (responses)', 'Mistral']) {
      await field('Provider').selectOption({ label: name });
      await field('Key').fill('');
      assert.match(await ask([]), /wants a key/, name);
    }
    assert.equal(sent, 0);
    await page.unroute(/api\.openai\.com|api\.mistral\.ai/);
    await field('Provider').selectOption({ label: 'Other (OpenAI-compatible)' });
    assert.equal(await field('Base URL').inputValue(), endpoint.url);
  });

  on('a connection that stays open ends with its answer, usage included, and Compare goes on', async () => {
    const whole = [delta({ content: 'The total ' }), delta({ content: 'is 9.00' }), stop, usage, data('[DONE]')];
    assert.equal(await ask(whole, true), '');
    assert.equal(await answer().innerText(), 'The total is 9.00');
    assert.match(await page.locator('#answer-facts').innerText(), /812 tokens in, 7 out/);
    // No count of tokens and no mark: it is waited for a little, and keep-alives do not prolong that.
    assert.equal(await ask([delta({ content: '9.00' }), stop, ': alive\n\n', data('')], true), '');
    assert.match(await page.locator('#answer-facts').innerText(), /did not count tokens/);
    // The usage comes late, behind the mark of the end.
    assert.equal(await ask([delta({ content: '9.00' }), stop, data('[DONE]'), usage], true), '');
    assert.match(await page.locator('#answer-facts').innerText(), /812 tokens in/);
    Object.assign(endpoint, { answer: () => whole, stays: true });
    endpoint.bodies.length = 0;
    await page.getByRole('button', { name: 'Compare', exact: true }).click();
    await page.waitForFunction(() => !document.querySelector('#compare').disabled, null, { timeout: 20_000 });
    assert.match(await page.locator('#verdict').innerText(), /All three answers are the same/);
    assert.equal(endpoint.bodies.length, 3);
    await page.waitForFunction(() => true);
    for (let tries = 0; endpoint.open > 0 && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(endpoint.open, 0, 'the page closes what nobody reads any more');
  });

  on('keep-alives of all kinds are no part of an answer, and no sentence of ours is the provider’s', async () => {
    const alive = [data(''), 'data:\n\n', data('[PING]'), ': comment\n\n', 'event: ping\ndata: {}\n\n', 'event: new.thing\ndata: {"text":"no"}\n\n'];
    assert.equal(await ask([...alive, delta({ content: '9.' }), ...alive, delta({ content: '00' }), ...alive, stop, data('[DONE]')]), '');
    assert.equal(await answer().innerText(), '9.00');
    const garbled = await ask([delta({ content: '9.' }), 'data: {"choices":[{\n\n']);
    assert.match(garbled, /came garbled/);
    assert.equal(garbled.includes('It says'), false);
    assert.equal(await answer().innerText(), '9.');
  });

  on('thoughts are folded, and no part of the answer', async () => {
    for (const texts of [
      [delta({ reasoning_content: 'It may be ' }), delta({ reasoning_content: '8.' }), delta({ content: '9.00' })],
      [delta({ reasoning: 'It may be 8.' }), delta({ content: '9.00' })],
      [delta({ content: '<th' }), delta({ content: 'ink>It may be 8.</thi' }), delta({ content: 'nk>\n\n9.00' })],
    ]) {
      assert.equal(await ask([...texts, stop, data('[DONE]')]), '');
      assert.equal(await answer().innerText(), '9.00');
      assert.equal(await thoughts().isVisible(), true);
      assert.equal(await thoughts().evaluate((details) => details.open), false);
      assert.equal(await thoughts().locator('div').textContent(), 'It may be 8.');
    }
    assert.match(await ask([delta({ reasoning_content: 'It may be 8.' }), delta({}, 'length'), data('[DONE]')]), /only thought and gave no answer.*limit of tokens/);
    assert.equal(await thoughts().locator('div').textContent(), 'It may be 8.');
    assert.equal(await ask([delta({ content: '9.00' }), stop, data('[DONE]')]), '');
    assert.equal(await thoughts().isVisible(), false);
  });

  on('the verdict looks at the answers, not at thoughts or bold print', async () => {
    let asked = 0;
    Object.assign(endpoint, { stays: false, answer: () => [
      delta({ content: `<think>Try ${asked++}.</think>${asked === 2 ? 'The total is **9.00**.' : 'The total is 9.00.'}` }), stop, data('[DONE]'),
    ] });
    await page.getByRole('button', { name: 'Compare', exact: true }).click();
    await page.waitForFunction(() => !document.querySelector('#compare').disabled, null, { timeout: 20_000 });
    assert.match(await page.locator('#verdict').innerText(), /All three answers are the same/);
    assert.equal(await page.locator('#run-crop strong').innerText(), '9.00');
    assert.equal(await page.locator('#run-crop mark').count(), 0);
    assert.equal(await page.locator('#run-crop-thoughts div').textContent(), 'Try 1.');
  });

  on('Markdown is shown as such, and nothing in it does anything', async () => {
    const text = 'It is **9.00**:\n\n- one\n- `two < 3`\n\n```\ncode\n```\n<img src=x onerror="window.hurt=1"> [here](javascript:window.hurt=2)';
    assert.equal(await ask([delta({ content: text }), stop, data('[DONE]')]), '');
    assert.equal(await answer().locator('strong').innerText(), '9.00');
    assert.deepEqual(await answer().locator('ul > li').allInnerTexts(), ['one', 'two < 3']);
    assert.equal(await answer().locator('li code').innerText(), 'two < 3');
    assert.equal(await answer().locator('pre').innerText(), 'code');
    assert.equal(await answer().locator('img, a, script').count(), 0);
    assert.match(await answer().innerText(), /<img src=x onerror="window\.hurt=1"> here \(javascript:window\.hurt=2\)/);
    assert.equal(await page.evaluate(() => window.hurt), undefined);
  });

  on('the prompt is seen, changed and sent; the crop can go alone', async () => {
    const sent = () => endpoint.bodies[0].messages[0].content;
    const usual = 'What is the total?\nThe second image is a part of the first, cut out of it.\nGive a very brief answer.';
    await page.locator('summary', { hasText: 'The prompt and the request' }).click();
    assert.equal(await page.locator('#sent-prompt').textContent(), usual);
    const done = [delta({ content: '9.00' }), stop, data('[DONE]')];
    assert.equal(await ask(done), '');
    assert.equal(sent().at(-1).text, usual);
    await field('Prompt').fill('{images} {question} In French.');
    assert.equal(await page.locator('#sent-prompt').textContent(), 'The second image is a part of the first, cut out of it. What is the total? In French.');
    await page.getByRole('checkbox', { name: /^Crop only/ }).check();
    const alone = 'The image is a part that was cut out of a larger one. What is the total? In French.';
    assert.equal(await page.locator('#sent-prompt').textContent(), alone);
    assert.equal(await ask(done), '');
    assert.deepEqual(sent().map(({ type }) => type), ['image_url', 'text']);
    assert.equal(sent()[1].text, alone);
    const crop = decode(Buffer.from(sent()[0].image_url.url.split(',')[1], 'base64'));
    assert.ok(crop.width < decode(RECEIPT.buffer).width, 'the crop, not the full picture');
    await field('Prompt').fill('Read it.');
    assert.match(await page.locator('#prompt-note').innerText(), /no \{question\} in it/);
    await page.getByRole('button', { name: 'Usual prompt' }).click();
    await page.getByRole('checkbox', { name: /^Crop only/ }).uncheck();
    assert.equal(await page.locator('#sent-prompt').textContent(), usual);
  });

  on('the request is copied as a command, without the key', async () => {
    await field('Key').fill(KEY);
    endpoint.bodies.length = 0;
    await page.getByRole('button', { name: 'Copy request as curl' }).click();
    await page.locator('#prompt-note').filter({ hasText: 'Copied' }).waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(command.includes(KEY), false);
    assert.ok(command.startsWith(`curl -N '${endpoint.url}/chat/completions'`), command.slice(0, 200));
    assert.match(command, /-H "authorization: Bearer \$API_KEY"/);
    const body = JSON.parse(command.split("<<'JSON'\n")[1].split('\nJSON')[0]);
    assert.equal(body.messages[0].content.length, 3);
    assert.deepEqual(endpoint.bodies, [], 'nothing is sent');
  });
});
