// The page with WebGPU, on SwiftShader: a software adapter, so slow that a tiny model stands in for the shipped one.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { decode, file, picture } from './lib/files.mjs';
import { askButton, box, browser, choose, cropBytes, complaint, edges, kept, open, propose, site } from './lib/page.mjs';
import { keepsDevices } from './lib/devices.mjs';
import { KEY, provider } from './lib/provider.mjs';
import { FOLDER } from './lib/tiny.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const tiny = (name) => readFileSync(new URL(`models/tiny/${name}`, import.meta.url));

describe('the page with WebGPU', () => {
  let chrome, server, context;
  before(async () => {
    [chrome, server] = await Promise.all([browser({ webgpu: true }), site()]);
    context = await chrome.newContext({ acceptDownloads: true });
    for (const name of ['config.json', 'model.safetensors']) server.replace.set(`models/tiny/${name}`, tiny(name));
    const loader = readFileSync(new URL('worker_loader.js', `file://${process.env.DIST ?? new URL('../../dist', import.meta.url).pathname}/`), 'utf8');
    server.replace.set('worker_loader.js', Buffer.from(keepsDevices(loader)));
  });
  after(async () => {
    await chrome?.close();
    await server?.close();
  });
  const on = (name, query, body) => test(name, async () => {
    const page = await open(context, `${server.url}?model=models/tiny/${query}`);
    await kept(page, name, () => body(page));
    await page.close();
  });
  const device = (page) => page.locator('#device').getAttribute('data-device');
  const boxOn = async (query) => {
    const page = await open(context, `${server.url}?model=models/tiny/${query}`);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const found = await edges(page);
    await page.close();
    return found;
  };

  on('proposes on WebGPU, the same box as on the CPU, and asks with it', '&device=webgpu', async (page) => {
    assert.equal(await device(page), 'WebGPU', await page.locator('#device').innerText());
    assert.ok(!server.asked.some((path) => path.startsWith('trainable/')), 'nothing but the worker is needed for it');
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.match(await page.locator('#crop-facts').innerText(), /on WebGPU/);
    const here = await edges(page);
    const there = await boxOn('&device=cpu');
    here.forEach((edge, at) => assert.ok(Math.abs(edge - there[at]) <= 1, `${here} against ${there}`));
    const crop = decode(await cropBytes(page));
    assert.equal(crop.width, Math.round((here[2] * 620) / 100) - Math.round((here[0] * 620) / 100));

    const endpoint = await provider();
    for (const [label, value] of [['Base URL', endpoint.url], ['Model', 'strict'], ['Key', KEY]]) {
      await page.getByLabel(label, { exact: true }).fill(value);
    }
    await askButton(page).click();
    await page.locator('#answer').filter({ hasText: 'The total is 9.00 €.' }).waitFor();
    assert.deepEqual([endpoint.complaints, endpoint.requests.length], [[], 1]);
    await endpoint.close();
  });

  on('measures both and takes the faster one, saying so', '&device=auto', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await page.locator('#device').filter({ hasText: /against .* on/ }).waitFor({ timeout: 120_000 });
    const said = await page.locator('#device').innerText();
    const [, here, took, others, other] = said.match(/Runs on (the CPU|WebGPU)(?:, \d+ threads)?: (.*) a proposal, against (.*) on (WebGPU|the CPU)\./) ?? assert.fail(said);
    assert.notEqual(here, other, said);
    const ms = (words) => {
      const [, number, unit] = words.match(/^([\d.,]+) (ms|s)$/) ?? assert.fail(words);
      return Number(number.replaceAll(',', '')) * (unit === 's' ? 1000 : 1);
    };
    assert.ok(ms(took) <= ms(others), said);
    // And what it says is what it does.
    assert.equal(await device(page), here.replace('the ', ''));
    assert.equal(await propose(page, 'What is the date?'), 'done');
    const facts = await page.locator('#crop-facts').innerText();
    assert.ok(facts.includes(`on ${here}`), `${facts} | ${said}`);
  });

  test('SmolVLM answers on WebGPU, too, what it answers on the CPU', async () => {
    for (const [name, bytes] of Object.entries(FOLDER)) server.replace.set(`models/text/${name}`, bytes);
    const answers = [];
    for (const [device, devices] of [['webgpu', 2], ['cpu', 0]]) {
      const page = await open(context, `${server.url}?model=models/tiny/&device=${device}`);
      await choose(page, RECEIPT);
      assert.equal(await propose(page, 'What is the total?'), 'done');
      await page.getByLabel('Provider', { exact: true }).selectOption({ label: 'In this browser (SmolVLM)' });
      await page.getByLabel('Model', { exact: true }).fill('./models/text');
      await askButton(page).click();
      await page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 120_000 });
      answers.push(await page.locator('#answer').innerText());
      // The map policy's, and the reader's.
      assert.equal(await page.workers()[0].evaluate(() => self.devices.length), devices);
      await page.close();
    }
    assert.ok(answers[0].length > 0);
    assert.equal(answers[0], answers[1]);
  });

  on('a lost device falls back to the CPU', '&device=webgpu', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const before = await box(page).getAttribute('data-box');
    await page.workers()[0].evaluate(() => self.devices.forEach((device) => device.destroy()));
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.equal(await device(page), 'CPU');
    assert.match(await page.locator('#device').innerText(), /WebGPU failed here/);
    assert.equal(await complaint(page), '');
    const after = (await box(page).getAttribute('data-box')).split(',').map(Number);
    before.split(',').map(Number).forEach((edge, at) => assert.ok(Math.abs(edge - after[at]) <= 1));
  });

  on('GRPO, live, takes its steps on the CPU beside it', '&device=webgpu', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await page.getByText('Learn: GRPO, live').click();
    await page.getByLabel('The answer that you expect').fill('9.00');
    await page.getByRole('button', { name: 'Take one step' }).click();
    await page.locator('#learn-moves tr').nth(5).waitFor({ timeout: 60_000 });
    assert.match(await page.locator('#learn-caption').innerText(), /after 1 step/);
    assert.equal(await device(page), 'WebGPU');
  });

  test('without an adapter the same address runs on the CPU', async () => {
    const plain = await browser();
    const page = await open(await plain.newContext(), `${server.url}?model=models/tiny/&device=webgpu`);
    assert.equal(await device(page), 'CPU');
    assert.match(await page.locator('#device').innerText(), /offers no WebGPU/);
    await plain.close();
  });
});
