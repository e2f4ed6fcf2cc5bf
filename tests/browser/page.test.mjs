// The way of a person through the page, without WebGPU, with the model that ships: picture, question, box, crop.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode, file, greyPng, picture, withOrientation } from './lib/files.mjs';
import {
  askButton, box, calm, choose, cropBytes, complaint, edges, image, modelFile, open, propose, proposeButton, question, started, state,
} from './lib/page.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('the page without WebGPU', () => {
  const at = started();
  const { on } = at;

  on('picture, question, box, crop of the original pixels', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const states = (await page.told.states()).map(([name]) => name);
    assert.deepEqual(states, ['loading', 'ready', 'working', 'done']);

    const [x1, y1, x2, y2] = await edges(page);
    assert.ok(0 <= x1 && x1 < x2 && x2 <= 100 && 0 <= y1 && y1 < y2 && y2 <= 100, `${[x1, y1, x2, y2]}`);
    const original = decode(RECEIPT.buffer);
    const pixel = (percent, side) => halfToEven((percent * side) / 100);
    const left = pixel(x1, original.width), top = pixel(y1, original.height);
    const crop = decode(await cropBytes(page));
    assert.deepEqual([crop.width, crop.height], [pixel(x2, original.width) - left, pixel(y2, original.height) - top]);
    const natural = await page.locator('#crop').evaluate((img) => [img.naturalWidth, img.naturalHeight]);
    assert.deepEqual(natural, [crop.width, crop.height]);
    for (let y = 0; y < crop.height; y++) {
      for (let x = 0; x < crop.width; x++) assert.deepEqual(crop.rgb(x, y), original.rgb(left + x, top + y));
    }
    // The box stands where its numbers say, over the picture as it is shown.
    const [over, under] = [await box(page).boundingBox(), await page.locator('#picture').boundingBox()];
    assert.ok(Math.abs(over.x - under.x - (x1 / 100) * under.width) < 2);
    assert.ok(Math.abs(over.height - ((y2 - y1) / 100) * under.height) < 6.1);
    assert.deepEqual(page.told.errors, []);
  });

  on('says which device runs and why', async (page) => {
    assert.equal(await page.locator('#device').getAttribute('data-device'), 'CPU');
    assert.match(await page.locator('#device').innerText(), /Runs on the CPU(, \d+ threads)? \(this browser offers no WebGPU\)/);
  });

  on('several questions about one picture, each click through working', async (page) => {
    await choose(page, RECEIPT);
    const seen = [];
    for (const text of ['What is the total?', 'What is the date?', 'What is the address?']) {
      assert.equal(await propose(page, text), 'done');
      seen.push(await box(page).getAttribute('data-box'));
    }
    assert.equal(new Set(seen).size > 1, true, `the question changes the box: ${seen.join(' | ')}`);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.equal(await box(page).getAttribute('data-box'), seen[0], 'nothing leaks from one proposal into the next');
    const states = (await page.told.states()).map(([name]) => name);
    assert.equal(states.filter((name) => name === 'working').length, 4);
  });

  on('a picture with EXIF orientation is shown and seen as that says, and its crop reads', async (page) => {
    const upright = picture('receipt.jpg');
    const { width, height } = decode(upright);
    await choose(page, file('turned.jpg', withOrientation(upright, 6)));
    const shown = await page.locator('#picture').evaluate((img) => [img.naturalWidth, img.naturalHeight]);
    assert.deepEqual(shown, [height, width]);
    assert.match(await page.locator('#picture-facts').innerText(), new RegExp(`${grouped(height)} × ${grouped(width)}`));
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const [x1, y1, x2, y2] = await edges(page);
    const left = halfToEven((x1 * height) / 100), top = halfToEven((y1 * width) / 100);
    const crop = decode(await cropBytes(page));
    // As its orientation says, this receipt lies on its side: its crop is turned once more, so that it can be read.
    assert.deepEqual([crop.height, crop.width], [halfToEven((x2 * height) / 100) - left, halfToEven((y2 * width) / 100) - top]);
    // Orientation 6: the pixel (x, y) on the stage is the stored pixel (y, stored height - 1 - x); that of the crop comes
    // from (crop height - 1 - y, x) of the box. JPEG decoders differ by a few steps in a channel, hence the mean.
    const stored = decode(upright);
    let difference = 0;
    for (let y = 0; y < crop.height; y++) {
      for (let x = 0; x < crop.width; x++) {
        const expected = stored.rgb(top + x, height - crop.height - left + y);
        crop.rgb(x, y).forEach((value, at) => (difference += Math.abs(value - expected[at])));
      }
    }
    difference /= crop.width * crop.height * 3;
    assert.ok(difference < 2, `mean difference ${difference}`);
  });

  on('paste and drop bring pictures too', async (page) => {
    const bytes = [...RECEIPT.buffer];
    for (const kind of ['paste', 'drop']) {
      await page.evaluate(([kind, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'receipt.png', { type: 'image/png' }));
        const options = { bubbles: true, cancelable: true };
        const event = kind === 'paste'
          ? new ClipboardEvent('paste', { clipboardData: data, ...options })
          : new DragEvent('drop', { dataTransfer: data, ...options });
        document.querySelector('#drop').dispatchEvent(event);
      }, [kind, bytes]);
      await page.locator('#picture-facts').filter({ hasText: '620 × 980 pixels' }).waitFor();
      assert.equal(await propose(page, 'What is the total?'), 'done');
      await choose(page, file('dot.png', greyPng(1, 1, (_, row) => row.fill(9)))); // something else, in between
    }
  });

  on('the page is usable before the model is there, and a click waits for it', async (page) => {
    assert.equal(await state(page, 'loading'), 'loading');
    await choose(page, RECEIPT);
    await question(page).fill('What is the total?');
    await proposeButton(page).click();
    assert.equal(await state(page, 'working'), 'working');
    assert.match(await page.locator('#note').innerText(), /still loading/);
    release();
    assert.equal(await state(page, 'done', 'error'), 'done');
  }, { ready: false, prepare: () => {
    const held = new Promise((resolve) => (release = resolve));
    at.server.replace.set('models/default/model.safetensors', () => held.then(() => modelFile('model.safetensors')));
  } });
  let release;

  test('no task on the main thread takes long', async () => {
    await calm(async () => {
      const context = await at.chrome.newContext();
      const page = await open(context, at.server.url);
      await choose(page, file('receipt.jpg', picture('receipt.jpg')));
      for (const text of ['What is the total?', 'What is the date?']) await propose(page, text);
      const longest = await page.evaluate(() => window.longest);
      await context.close();
      return longest;
    });
  });

  on('controls have names, and the keyboard is enough', async (page) => {
    assert.equal(await image(page).getAttribute('type'), 'file');
    for (const name of ['Base URL', 'Model', 'Key']) assert.equal(await page.getByLabel(name, { exact: true }).count(), 1, name);
    for (const control of [proposeButton(page), askButton(page)]) assert.equal(await control.count(), 1);
    await choose(page, RECEIPT);
    await question(page).fill('What is the total?');
    await question(page).press('Enter');
    assert.equal(await state(page, 'done', 'error'), 'done');
  });

  on('fits a phone, in the dark, without motion', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const [inner, scroll] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(scroll <= inner, `${scroll} > ${inner}`);
    // Light print on a dark ground.
    const [ground, print] = await page.evaluate(() => {
      const { backgroundColor, color } = getComputedStyle(document.documentElement);
      return [backgroundColor, color].map((text) => text.match(/[\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3);
    });
    assert.ok(ground < 64 && print > 192, `${print} on ${ground}`);
    // What moves for others while the model works stands still.
    await page.evaluate(() => (document.documentElement.dataset.model = 'busy'));
    const moving = () => page.evaluate(() => [...document.querySelectorAll('*')].filter((element) => {
      const { animationName, transitionProperty, transitionDuration } = getComputedStyle(element);
      return animationName !== 'none' || (transitionProperty !== 'none' && /[1-9]/.test(transitionDuration));
    }).length);
    assert.equal(await moving(), 0);
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    assert.ok(await moving() > 0, 'nothing moves at all, so that nothing is tested');
  }, { context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark', reducedMotion: 'reduce' } });

  on('a worker that breaks is replaced, and the next try works', async (page) => {
    await choose(page, RECEIPT);
    // Loading anew may be too short to be seen by looking now and then.
    await page.evaluate(() => {
      window.busy = false;
      new MutationObserver(() => (window.busy ||= document.documentElement.dataset.model === 'busy'))
        .observe(document.documentElement, { attributes: true, attributeFilter: ['data-model'] });
    });
    const worker = page.workers().find((worker) => worker.url().includes('worker_loader'));
    await worker.evaluate(() => void setTimeout(() => { throw new Error('broken by the test'); }));
    await page.waitForFunction(() => window.busy);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.equal(await complaint(page), '');
  });
});

const grouped = (number) => number.toLocaleString('en-US');

function halfToEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}
