// A picture on its side: turned on the stage with box, question and crop; and read upright where it stays as it lies.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { decode, file, picture, turned } from './lib/files.mjs';
import { askButton, box, boxAfter, choose, complaint, cropBytes, edges, propose, question, started } from './lib/page.mjs';
import { KEY, provider } from './lib/provider.mjs';

const RECEIPT = picture('receipt.png');

describe('a picture on its side', () => {
  const { on } = started({ spotless: true });
  let endpoint;
  before(async () => {
    endpoint = await provider();
  });
  after(() => endpoint?.close());
  const cut = (page) => page.waitForFunction(() => document.querySelector('#crop').naturalWidth > 0 && !document.querySelector('#crop').hidden);

  on('turned by the button, four times: box, question and crop follow', async (page) => {
    await choose(page, file('receipt.png', RECEIPT));
    assert.equal(await propose(page, 'What is the date?'), 'done');
    const start = await edges(page);
    const first = decode(await cropBytes(page));
    const size = await page.locator('#picture').evaluate((img) => [img.naturalWidth, img.naturalHeight]);
    let now = start;
    for (let turn = 1; turn <= 4; turn++) {
      await page.getByRole('button', { name: 'Rotate by 90°' }).click();
      const [x1, y1, x2, y2] = now;
      const next = [100 - y2, x1, 100 - y1, x2];
      now = await boxAfter(page, now.map(String).join(','));
      next.forEach((edge, at) => assert.ok(Math.abs(edge - now[at]) < 0.02, `${now} for ${next}`));
      await page.waitForFunction((width) => document.querySelector('#picture').naturalWidth === width, size[turn % 2]);
      await page.locator('#picture-facts').filter({ hasText: 'pixels' }).waitFor();
      assert.equal(await question(page).inputValue(), 'What is the date?');
      if (turn === 1) {
        await cut(page);
        const lying = decode(await cropBytes(page));
        assert.deepEqual([lying.width, lying.height], [first.height, first.width]);
        // Left below becomes left above.
        assert.deepEqual(lying.rgb(0, 0), first.rgb(0, first.height - 1));
      }
    }
    await cut(page);
    const last = decode(await cropBytes(page));
    assert.deepEqual([last.width, last.height], [first.width, first.height]);
    assert.equal(await page.locator('#crop-of').isVisible(), false, 'it still belongs to the question');
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.waitForFunction((width) => document.querySelector('#picture').naturalWidth === width, size[1]);
    assert.equal(await complaint(page), '');
  });

  on('left on its side, its crop is shown, saved and sent upright', async (page) => {
    await choose(page, file('receipt.png', RECEIPT));
    assert.equal(await propose(page, 'What is the date?'), 'done');
    const upright = decode(await cropBytes(page));
    assert.ok(upright.width > upright.height);
    await choose(page, file('lying.png', turned(RECEIPT)));
    assert.equal(await propose(page, 'What is the date?'), 'done');
    const [x1, y1, x2, y2] = await edges(page);
    const [width, height] = await page.locator('#picture').evaluate((img) => [img.naturalWidth, img.naturalHeight]);
    assert.ok((x2 - x1) * width < (y2 - y1) * height, 'the box lies as the picture does');
    const crop = decode(await cropBytes(page));
    assert.ok(crop.width > crop.height, `${crop.width} x ${crop.height}`);
    await page.getByLabel('Base URL', { exact: true }).fill(endpoint.url);
    await page.getByLabel('Model', { exact: true }).fill('strict');
    await page.getByLabel('Key', { exact: true }).fill(KEY);
    endpoint.requests.length = 0;
    await askButton(page).click();
    await page.waitForFunction(() => !document.querySelector('#ask').disabled, null, { timeout: 60_000 });
    const [, sent] = endpoint.requests[0].images;
    assert.ok(sent.width > sent.height, `${sent.width} x ${sent.height}`);
    assert.ok(Math.abs(sent.width / sent.height - crop.width / crop.height) < 0.05, `${sent.width} x ${sent.height}, ${crop.width} x ${crop.height}`);
  });
});
