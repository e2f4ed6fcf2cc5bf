// The text policy on the page: SmolVLM's architecture, tiny and with random weights, from a Hugging Face folder named
// in the address. What it proposes means nothing; that it is a valid box, whatever the weights, is the promise.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { decode, file, picture } from './lib/files.mjs';
import { browser, choose, complaint, cropBytes, edges, kept, open, propose, site, state } from './lib/page.mjs';
import { FOLDER } from './lib/tiny.mjs';
import { keepsDevices } from './lib/devices.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('the text policy on the page', () => {
  let server;
  before(async () => {
    server = await site();
  });
  after(() => server?.close());
  const serve = () => {
    for (const [name, bytes] of Object.entries(FOLDER)) server.replace.set(`models/text/${name}`, bytes);
  };
  const found = {};

  /** Every number of tokens that the page shows from now on, with the page's state. */
  const watched = (page) => page.evaluateHandle(() => {
    const seen = [];
    const tokens = document.querySelector('#tokens');
    const look = () => seen.push([document.documentElement.dataset.state, tokens.querySelectorAll('.token').length]);
    new MutationObserver(look).observe(tokens, { childList: true });
    return seen;
  });

  /** What the page tells about a text policy: prompt, tokens, its view, where it looks. */
  async function shows(page, asked, bbox) {
    await page.getByText('What the model did').click();
    const prompt = await page.locator('#prompt').innerText();
    assert.match(prompt, /<image> × \d+/);
    assert.ok(prompt.includes(asked) && prompt.trimEnd().endsWith('Assistant:'), prompt);
    const tokens = await page.locator('#tokens .token').evaluateAll((all) => all.map((token) => ({
      text: token.firstChild.textContent, forced: token.classList.contains('forced'), chance: parseFloat(token.querySelector('small')?.textContent),
    })));
    assert.equal(tokens.map(({ text }) => text).join(''), ` [${bbox.join(', ')}].`);
    for (const { forced, chance } of tokens) assert.ok(forced ? Number.isNaN(chance) : chance > 0 && chance <= 100);
    assert.ok(tokens.some(({ forced }) => forced) && tokens.some(({ forced }) => !forced));

    await page.getByLabel('As the model sees it').check();
    await page.locator('#canvas:not([hidden])').waitFor();
    const [width, height] = await page.locator('#canvas').evaluate(async (img) => (await img.decode(), [img.naturalWidth, img.naturalHeight]));
    const tile = JSON.parse(FOLDER['preprocessor_config.json']).max_image_size.longest_edge;
    assert.deepEqual([width, height], [tile, tile], 'the global image');
    await page.getByLabel('As the model sees it').uncheck();

    await page.getByLabel('Where the model sees evidence').check();
    const free = page.getByRole('img', { name: 'Training-free box' });
    await free.waitFor();
    const [x1, y1, x2, y2] = (await free.getAttribute('data-box')).split(',').map(Number);
    assert.ok(0 <= x1 && x1 < x2 && x2 <= 100 && 0 <= y1 && y1 < y2 && y2 <= 100);
    const most = await page.locator('#evidence').evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return Math.max(...data.filter((_, at) => at % 4 === 3));
    });
    assert.ok(most > 150, 'the strongest cell is lit');
    // It belongs to its question.
    assert.equal(await propose(page, 'Who signed this?'), 'done', await complaint(page));
    await free.waitFor();
    await page.getByLabel('Where the model sees evidence').uncheck();
    assert.equal(await free.isVisible(), false);

    await tiles(page, asked, tile);

    await page.getByText('Learn: GRPO, live').click();
    await page.getByLabel('The answer that you expect').fill('9.00');
    await page.getByRole('button', { name: 'Draw a group' }).click();
    await page.locator('#learn-message').waitFor();
    assert.match(await page.locator('#learn-message').innerText(), /needs the small map policy/);
  }

  /** With a longer edge the picture comes in tiles: shown, named and counted as in the prompt. */
  async function tiles(page, asked, side) {
    const shown = page.locator('#tiles .tile');
    const facts = page.locator('#tiles-facts');
    assert.deepEqual(await shown.allInnerTexts(), ['<global-img>']);
    assert.match(await facts.innerText(), /^The global image alone/);
    const edge = page.getByLabel('Longest edge', { exact: true });
    assert.equal(await edge.locator('option').count(), 3);
    await edge.selectOption('2');
    await page.waitForFunction(() => document.querySelectorAll('#tiles .tile').length > 2);
    const names = await shown.allInnerTexts();
    const [, rows, columns, tokens] = (await facts.innerText()).match(/^(\d) × (\d) tiles .*: ([\d,]+) image tokens\.$/);
    assert.equal(names.length, rows * columns + 1);
    assert.equal(names.at(-1), '<global-img>');
    const strip = await shown.first().evaluate(async (tile) => {
      const img = new Image();
      img.src = getComputedStyle(tile).backgroundImage.slice(5, -2);
      await img.decode();
      return [img.naturalWidth, img.naturalHeight];
    });
    assert.deepEqual(strip, [side, side * names.length]);
    await page.getByLabel('As the model sees it').check();
    await page.locator('#mosaic:not([hidden])').waitFor();
    assert.equal(await page.locator('#mosaic .tile').count(), names.length - 1);
    assert.equal(await page.locator('#canvas').isVisible(), false);
    await page.getByLabel('As the model sees it').uncheck();

    // The next proposal reads them all.
    assert.equal(await propose(page, asked), 'done', await complaint(page));
    const prompt = await page.locator('#prompt').innerText();
    assert.deepEqual(prompt.match(/<row_\d_col_\d>|<global-img>/g), names);
    const counts = [...prompt.matchAll(/<image> × (\d+)/g)].map(([, count]) => Number(count));
    assert.equal(counts.reduce((a, b) => a + b), Number(tokens.replace(',', '')));
    await edge.selectOption('1');
    await page.waitForFunction(() => document.querySelectorAll('#tiles .tile').length === 1);
  }

  const QUESTIONS = ['What is the total?', 'When was this bought?'];
  for (const name of ['CPU', 'WebGPU']) {
    test(`writes a valid box on the ${name}`, async () => {
      serve();
      const chrome = await browser({ webgpu: name === 'WebGPU' });
      const context = await chrome.newContext({ acceptDownloads: true });
      const page = await open(context, `${server.url}?model=models/text/&device=${name.toLowerCase()}`);
      await kept(page, `text ${name}`, async () => {
        assert.equal(await page.locator('#device').getAttribute('data-device'), name, await page.locator('#device').innerText());
        await choose(page, RECEIPT);
        found[name] = [];
        for (const question of QUESTIONS) {
          const written = await watched(page);
          assert.equal(await propose(page, question), 'done', await complaint(page));
          const [x1, y1, x2, y2] = await edges(page);
          // Tokens come one after the other, before the box is there.
          const counts = (await written.evaluate((seen) => seen)).filter(([state]) => state !== 'done').map(([, count]) => count);
          assert.ok(counts.includes(1) && Math.max(...counts) > 8, `${counts}`);
          assert.ok(0 <= x1 && x1 < x2 && x2 <= 100 && 0 <= y1 && y1 < y2 && y2 <= 100, `${[x1, y1, x2, y2]}`);
          found[name].push([x1, y1, x2, y2]);
          const crop = decode(await cropBytes(page));
          assert.equal(crop.width, Math.round((x2 * 620) / 100) - Math.round((x1 * 620) / 100));
        }
        // Weights and kernels are SmolVLM's own: no training framework is fetched.
        assert.ok(!server.asked.some((path) => path.startsWith('trainable/')), `${server.asked}`);
        await shows(page, QUESTIONS.at(-1), found[name].at(-1));
        await choose(page, file('other.jpg', picture('receipt.jpg')));
        assert.equal(await propose(page), 'done', await complaint(page));
      });
      await chrome.close();
    });
  }

  test('both devices write the same boxes', () => {
    assert.deepEqual(found.WebGPU, found.CPU);
  });

  test('a lost device falls back to the CPU, with the same box', async () => {
    serve();
    const loader = readFileSync(new URL('worker_loader.js', `file://${process.env.DIST ?? new URL('../../dist', import.meta.url).pathname}/`), 'utf8');
    server.replace.set('worker_loader.js', Buffer.from(keepsDevices(loader)));
    const chrome = await browser({ webgpu: true });
    const page = await open(await chrome.newContext(), `${server.url}?model=models/text/&device=webgpu`);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, QUESTIONS[0]), 'done', await complaint(page));
    await page.workers()[0].evaluate(() => self.devices.forEach((device) => device.destroy()));
    assert.equal(await propose(page, QUESTIONS[1]), 'done', await complaint(page));
    assert.equal(await page.locator('#device').getAttribute('data-device'), 'CPU');
    assert.match(await page.locator('#device').innerText(), /WebGPU failed here/);
    assert.deepEqual(await edges(page), found.CPU[1]);
    await chrome.close();
    server.replace.delete('worker_loader.js');
  });

  test('a folder without its tokenizer is named, and a click tries again', async () => {
    serve();
    server.replace.set('models/text/tokenizer.json', 404);
    const chrome = await browser();
    const page = await open(await chrome.newContext(), `${server.url}?model=models/text/`, { ready: false });
    assert.equal(await state(page, 'ready', 'error'), 'error');
    assert.match(await complaint(page), /tokenizer\.json/);
    serve();
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await chrome.close();
  });
});
