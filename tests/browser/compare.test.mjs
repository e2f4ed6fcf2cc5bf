// "Did the crop matter?": three questions to the same model, side by side, with what differs marked and counted.
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { askButton, choose, cropBytes, onePage, propose } from './lib/page.mjs';
import { KEY, standIn } from './lib/providers.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const isGrey = ({ rgb, width, height }) => [[0, 0], [width - 1, height - 1], [width >> 1, height >> 1]].every((at) => rgb(...at).every((value) => value === 127));

describe('did the crop matter', () => {
  const at = onePage(() => standIn('chat'), { acceptDownloads: true });
  const { on, field, wrong } = at;
  let endpoint, page;
  before(() => ({ endpoint, page } = at));
  const button = () => page.getByRole('button', { name: 'Compare', exact: true });
  const ended = () => page.waitForFunction(() => !document.querySelector('#compare').disabled, null, { timeout: 20_000 });
  const compare = async () => {
    endpoint.requests.length = 0;
    await button().click();
    await ended();
    return wrong();
  };
  const column = async (id) => (await page.locator(`#run-${id}`).innerText()).trim();
  const marks = (id) => page.locator(`#run-${id} mark`).allInnerTexts();
  const verdict = () => page.locator('#verdict').innerText();

  on('without a crop it says what is missing', async () => {
    await page.waitForFunction(() => document.querySelector('#provider').options.length > 0);
    await choose(page, RECEIPT);
    assert.equal(await page.locator('#box').isVisible(), false, 'a new picture has no box');
    await page.locator('#question').fill('What is the total?');
    assert.match(await compare(), /Propose a crop first/);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await field('Base URL').fill(endpoint.url);
    await field('Model').fill('strict');
    await field('Key').fill(KEY);
  });

  on('the same question with full image, crop, and grey picture, streamed, marked, counted', async () => {
    endpoint.answer = (images) => (images.length === 2 && !isGrey(images[1]) ? 'The total is 9.00 €.' : 'The total is 8.00 €.');
    await page.getByText('Tokens and money').click();
    await page.getByLabel('Enlarge a smaller crop').uncheck();
    await field('Price in, $ per million tokens').fill('2');
    await field('Price out, $ per million tokens').fill('10');
    endpoint.requests.length = 0;
    endpoint.pause = 150;
    await button().click();
    await page.waitForFunction(() => document.querySelector('#run-full').textContent === 'The total ', null, { polling: 20 });
    assert.equal(await askButton(page).isDisabled(), true);
    endpoint.pause = 5;
    await ended();
    assert.equal(await wrong(), '');
    assert.deepEqual(endpoint.complaints, []);

    const [full, crop, blank] = endpoint.requests;
    assert.deepEqual([full, crop, blank].map(({ images }) => images.length), [1, 2, 2]);
    assert.equal(new Set([full, crop, blank].map(({ body }) => body.model)).size, 1);
    // Crop and grey picture are asked about in the same words; the full image alone has no second image to speak of.
    assert.equal(crop.texts[0], blank.texts[0]);
    assert.match(crop.texts[0], /\nThe second image is a part of the first/);
    assert.equal(full.texts[0], 'What is the total?\nGive a very brief answer.');
    for (const { images } of [crop, blank]) assert.ok(images[0].bytes.equals(full.images[0].bytes));
    assert.ok(crop.images[1].bytes.equals(await cropBytes(page)));
    const size = ({ width, height }) => `${width} x ${height}`;
    assert.equal(size(blank.images[1]), size(crop.images[1]));
    assert.ok(isGrey(blank.images[1]));

    assert.deepEqual([await column('full'), await column('crop'), await column('blank')],
      ['The total is 8.00 €.', 'The total is 9.00 €.', 'The total is 8.00 €.']);
    assert.deepEqual([await marks('full'), await marks('crop'), await marks('blank')], [['8.00'], ['9.00'], []]);
    assert.match(await page.locator('#run-full-facts').innerText(), /^First word after .*, all after .* 800 tokens in, 5 out · \$0\.0016$/);
    assert.match(await page.locator('#run-crop-facts').innerText(), /1,500 tokens in, 5 out · \$0\.0031$/);
    assert.match(await verdict(), /^The crop mattered.*Together \$0\.0077\.$/);
  });

  on('verdicts follow the answers', async () => {
    endpoint.answer = () => 'The total is 9.00 €.';
    assert.equal(await compare(), '');
    assert.match(await verdict(), /All three answers are the same/);
    assert.deepEqual([await marks('full'), await marks('crop'), await marks('blank')], [[], [], []]);
    endpoint.answer = (images) => `${images.length} pictures`;
    assert.equal(await compare(), '');
    assert.match(await verdict(), /with a grey picture too/);
  });

  on('the tokens foreseen stand beside those counted', async () => {
    await field('Provider').selectOption({ label: 'Anthropic' });
    await field('Model').fill('claude-haiku-4-5');
    // 620 x 980: 23 x 35 patches of 28 pixels.
    assert.match(await page.locator('#forecast').innerText(), /about 805 tokens for the full one at 620 × 980/);
    await field('Provider').selectOption({ label: 'OpenAI (chat completions)' });
    assert.equal(await field('Base URL').inputValue(), endpoint.url, 'what was typed for a provider is there again');
    assert.equal(await field('Key').inputValue(), KEY);
  });

  on('a model that takes one image only: the first answer stays, the others say why not', async () => {
    endpoint.answer = (images) => (images.length === 1 ? 'The total is 8.00 €.' : 400);
    assert.match(await compare(), /At most 1 image/);
    assert.equal(await column('full'), 'The total is 8.00 €.');
    assert.match(await column('crop'), /At most 1 image/);
    assert.match(await column('blank'), /At most 1 image/);
    assert.equal(await page.locator('#verdict').isVisible(), false);
  });

  on('a refused key is not tried three times', async () => {
    await field('Key').fill('sk-wrong-0815');
    endpoint.seen.length = 0;
    assert.match(await compare(), /refused the key/);
    assert.equal(endpoint.seen.filter(({ method }) => method === 'POST').length, 1);
    assert.equal(await column('blank'), 'Not asked.');
    await field('Key').fill(KEY);
  });

  on('stopping ends all of it, and the next try works', async () => {
    endpoint.answer = () => 'The total is 9.00 €.';
    endpoint.requests.length = 0;
    endpoint.pause = 400;
    await button().click();
    await page.waitForFunction(() => document.querySelector('#run-full').textContent === 'The total ', null, { polling: 20 });
    await page.getByRole('button', { name: 'Stop' }).click();
    await ended();
    assert.equal(await wrong(), 'Stopped.');
    assert.equal(await column('crop'), 'Not asked.');
    assert.equal(endpoint.requests.length, 1);
    endpoint.pause = 5;
    assert.equal(await compare(), '');
    assert.match(await verdict(), /All three answers are the same/);
    const widths = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(widths[1] <= widths[0]);
  });
});
