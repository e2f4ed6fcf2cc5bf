// Providers: each in its own language, tests of the connection, and that a key goes where it belongs and nowhere else.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { askButton, browser, choose, kept, open, propose, site } from './lib/page.mjs';
import { KEY, standIn } from './lib/providers.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('providers', () => {
  let chrome, server, page, context, chat, responses, anthropic, gemini;
  before(async () => {
    [chrome, server, chat, responses, anthropic, gemini] = await Promise.all([
      browser(), site(), standIn('chat'), standIn('responses'), standIn('anthropic'), standIn('gemini'),
    ]);
    context = await chrome.newContext({ acceptDownloads: true });
    page = await open(context, server.url);
    page.asked = [];
    page.on('request', (request) => page.asked.push(request.url()));
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
  });
  after(async () => {
    await chrome?.close();
    for (const each of [server, chat, responses, anthropic, gemini]) await each?.close();
  });

  const on = (name, body) => test(name, () => kept(page, name, body));
  const field = (name) => page.getByLabel(name, { exact: true });
  const take = async (provider, url, { model = 'strict', key = KEY } = {}) => {
    await field('Provider').selectOption({ label: provider });
    await field('Base URL').fill(url);
    await field('Model').fill(model);
    await field('Key').fill(key);
  };
  const ended = () => page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 20_000 });
  const ask = async () => {
    await askButton(page).click();
    await ended();
    const wrong = page.locator('#ask-message');
    return (await wrong.isVisible()) ? wrong.innerText() : '';
  };
  const testConnection = async () => {
    await page.getByRole('button', { name: 'Test the connection' }).click();
    const tested = page.locator('#tested');
    await tested.filter({ hasNotText: 'Testing…' }).waitFor();
    return tested.innerText();
  };

  const CASES = () => [
    ['OpenAI (responses)', responses], ['Anthropic', anthropic], ['Google Gemini', gemini], ['OpenAI (chat completions)', chat],
    ['Mistral', chat], ['Ollama', chat],
  ];

  on('each is asked in its own language, and its answer streams in', async () => {
    for (const [name, endpoint] of CASES()) {
      endpoint.requests.length = 0;
      await take(name, endpoint.url);
      endpoint.pause = 150;
      await askButton(page).click();
      await page.waitForFunction(() => document.querySelector('#answer').textContent === 'The total ', null, { polling: 20 });
      endpoint.pause = 5;
      await ended();
      assert.equal(await page.locator('#answer').innerText(), 'The total is 9.00 €.', name);
      assert.deepEqual(endpoint.complaints, [], name);
      const [{ images, texts, body }] = endpoint.requests;
      assert.equal(images.length, 2, name);
      assert.match(texts[0], /^What is the total\?/);
      assert.ok(images[0].bytes.equals(RECEIPT.buffer), 'the full image comes first');
      assert.equal('stream_options' in body, ['OpenAI (chat completions)', 'Ollama'].includes(name), name);
      assert.match(await page.locator('#answer-facts').innerText(), /^First word after .* 1,500 tokens in, 5 out/, name);
    }
    assert.equal(page.asked.some((url) => url.includes(KEY)), false, 'a key in an address');
  });

  on('the connection is tested, and models are offered', async () => {
    for (const [name, endpoint] of CASES()) {
      await take(name, endpoint.url);
      const proved = name === 'Ollama' ? /The connection works\. Whether the key is right/ : /The connection works and the key is accepted\./;
      assert.match(await testConnection(), proved, name);
      const offered = await page.locator('#models option').evaluateAll((all) => all.map((option) => option.value));
      assert.deepEqual(offered, endpoint === gemini ? ['strict'] : ['strict', 'other'], name);
      await take(name, endpoint.url, { key: 'sk-wrong-0815' });
      assert.match(await testConnection(), /refused the key \(40[01]\)/, name);
      assert.equal((await page.locator('body').innerText()).includes('sk-wrong-0815'), false);
    }
    for (const name of ['Anthropic', 'Google Gemini', 'OpenRouter']) {
      await take(name, 'http://127.0.0.1:9/v1', { key: '' });
      assert.match(await testConnection(), /wants a key/, name);
    }
  });

  on('no reply: what to do is said, with this page’s own origin', async () => {
    const origin = new URL(server.url).origin;
    chat.closed = true; // runs, but allows no web page
    for (const [name, setting] of [
      ['Ollama', `OLLAMA_ORIGINS=${origin} ollama serve`], ['LM Studio', 'lms server start --cors'],
      ['llama.cpp server', `--cors-origins ${origin}`], ['vLLM', `--allowed-origins '["${origin}"]'`],
    ]) {
      await take(name, chat.url);
      assert.match(await testConnection(), /No reply from http:\/\/127\.0\.0\.1:\d+/, name);
      const reasons = await page.locator('#reasons').innerText();
      assert.ok(reasons.includes(setting), `${name}: ${reasons}`);
      assert.match(reasons, /may not be running/);
      assert.match(await ask(), /No reply from/, name);
      assert.ok((await page.locator('#reasons').innerText()).includes(setting));
    }
    chat.closed = false;
    assert.match(await testConnection(), /The connection works/);
    assert.equal(await page.locator('#reasons').isVisible(), false);
  });

  on('a key goes only to the origin it was typed for', async () => {
    const other = await standIn('chat');
    await take('OpenAI (chat completions)', chat.url);
    assert.equal(await ask(), '');
    await field('Base URL').fill(other.url);
    assert.match(await ask(), /refused the key/);
    assert.equal(await field('Key').inputValue(), '', 'the field shows the key of the new origin: none');
    // Even where the browser reports no change of the field.
    await field('Base URL').fill(chat.url);
    await field('Base URL').press('Tab');
    assert.equal(await field('Key').inputValue(), KEY, 'and it is there again for the old one');
    await page.locator('#base-url').evaluate((input, url) => (input.value = url), other.url);
    assert.match(await ask(), /refused the key/);
    await page.locator('#base-url').evaluate((input, url) => (input.value = url), chat.url);
    assert.equal(await ask(), '');
    await page.locator('#base-url').evaluate((input, url) => (input.value = url), other.url);
    assert.match(await testConnection(), /refused the key/);
    // A provider that has a place of its own, and back.
    await field('Provider').selectOption({ label: 'Anthropic' });
    assert.equal(await field('Key').inputValue(), '');
    assert.equal(await field('Base URL').inputValue(), 'http://127.0.0.1:9/v1', 'what was typed for it before');
    assert.ok(other.seen.length >= 3);
    assert.equal(other.seen.some(({ url, headers }) => JSON.stringify([url, headers]).includes(KEY)), false);
    await other.close();
  });

  on('a redirect is not followed: it would take the key along', async () => {
    const elsewhere = await standIn('anthropic');
    anthropic.redirect = `${elsewhere.origin}/v1/messages`;
    await take('Anthropic', anthropic.url);
    assert.match(await ask(), /sends on to another address/);
    assert.match(await testConnection(), /sends on to another address/);
    assert.deepEqual(elsewhere.seen, []);
    anthropic.redirect = null;
    assert.equal(await ask(), '');
    await elsewhere.close();
  });

  on('the full image can be sent smaller, and the saving is foreseen', async () => {
    await take('OpenAI (chat completions)', chat.url, { model: 'gpt-5.6-luna' });
    await page.getByText('Tokens and money').click();
    await field('Price in, $ per million tokens').fill('0.2');
    const forecast = page.locator('#forecast');
    // 20 x 31 patches of 32 pixels for 620 x 980, 1.2 tokens each.
    assert.match(await forecast.innerText(), /about 744 tokens for the full one at 620 × 980.*by OpenAI's rule of 32-pixel patches\.$/);
    await field('Full picture at most').selectOption('512');
    assert.match(await forecast.innerText(), /about 212 tokens for the full one at 324 × 512.*saves 532 tokens of it \(72 %\), \$0\.000\d+ each time/);
    await field('Model').fill('strict');
    assert.match(await forecast.innerText(), /no rule is published/);
    chat.requests.length = 0;
    assert.equal(await ask(), '');
    const [{ images: [full, crop] }] = chat.requests;
    assert.deepEqual([full.width, full.height, full.type], [324, 512, 'image/jpeg']);
    assert.equal(crop.type, 'image/png');
    assert.match(await page.locator('#answer-facts').innerText(), /1,500 tokens in, 5 out · \$0\.00030$/);
    await field('Full picture at most').selectOption('2048');
  });

  on('keys stay in memory unless asked for, and then in this tab only', async () => {
    const stored = (of = page) => of.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    await take('OpenAI (chat completions)', chat.url);
    assert.equal(await ask(), '');
    assert.equal((await stored()).includes(KEY), false);
    const box = page.getByLabel(/Keep keys in this tab/);
    assert.equal(await box.isChecked(), false);
    await box.check();
    assert.ok((await page.evaluate(() => sessionStorage.getItem('cropvlm.keys'))).includes(KEY));
    assert.equal((await page.evaluate(() => JSON.stringify({ ...localStorage }))).includes(KEY), false);
    await page.reload();
    await page.waitForFunction(() => document.querySelector('#provider').options.length > 0);
    assert.equal(await box.isChecked(), true);
    await field('Base URL').fill(chat.url);
    await field('Base URL').press('Tab');
    assert.equal(await field('Key').inputValue(), KEY);
    const second = await context.newPage();
    await second.goto(server.url);
    assert.equal((await stored(second)).includes(KEY), false);
    await second.close();
    await box.uncheck();
    assert.equal((await stored()).includes(KEY), false);
  });

  on('nothing goes anywhere else, and the policy closes what it can', async () => {
    const mine = [server, chat, responses, anthropic, gemini].map(({ url }) => new URL(url).origin);
    const foreign = page.asked.filter((url) => /^https?:/.test(url) && !mine.includes(new URL(url).origin));
    assert.deepEqual(foreign.filter((url) => !/^http:\/\/127\.0\.0\.1:\d+\//.test(url)), []);
    const spy = await standIn('chat');
    const blocked = await page.evaluate(async (origin) => {
      const seen = [];
      document.addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective));
      new Image().src = `${origin}/pixel.png?secret`;
      document.body.append(Object.assign(document.createElement('iframe'), { src: `${origin}/frame` }));
      document.body.append(Object.assign(document.createElement('script'), { src: `${origin}/script.js` }));
      document.body.append(Object.assign(document.createElement('form'), { action: `${origin}/form`, method: 'post' }));
      [...document.forms].at(-1).submit();
      try { new WebSocket(`${origin.replace('http', 'ws')}/socket`); } catch { /* refused at once */ }
      for (let waited = 0; waited < 5_000 && new Set(seen).size < 5; waited += 50) await new Promise((resolve) => setTimeout(resolve, 50));
      return [...new Set(seen)].sort();
    }, spy.origin);
    assert.deepEqual(blocked, ['connect-src', 'form-action', 'frame-src', 'img-src', 'script-src-elem']);
    assert.deepEqual(spy.seen, []);
    await spy.close();
  });
});
