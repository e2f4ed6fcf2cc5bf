// Bad input: each gets a clear sentence, picture and question stay, and the next try works.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe } from 'node:test';
import { decode, editSafetensors, file, greyPng, picture } from './lib/files.mjs';
import {
  box, calm, choose, complaint, cropBytes, image, modelFile, propose, proposeButton, question, started, state,
} from './lib/page.mjs';

const QUESTION = 'What is the total?';
// As Photoshop writes small files: four channels of different sizes.
const inks = readFileSync(new URL('../../crates/picture/goldens/pictures/cmyk_half.jpg', import.meta.url));
// Its Huffman tables overwritten.
const damaged = Buffer.from(picture('receipt.jpg')).fill('damaged', 185, 205);
const RECEIPT = file('receipt.png', picture('receipt.png'));

describe('bad input', () => {
  const at = started();
  const { on } = at;

  const refused = [
    ['text with the name of a picture', file('letter.png', Buffer.from('Dear Sir or Madam, this is no picture at all.')), /not a picture/],
    ['an empty file', file('empty.png', Buffer.alloc(0)), /empty/],
    ['a truncated PNG', file('half.png', RECEIPT.buffer.subarray(0, 20_000)), /ends too early/],
    ['a broken PDF', file('letter.jpg', Buffer.from('%PDF-1.7\n%âãÏÓ\n1 0 obj')), /PDF document is damaged.*save its page as PNG/],
    ['a JPEG damaged inside', file('damaged.jpg', damaged), /damaged.*save it anew/],
    ['a truncated JPEG', file('half.jpg', picture('receipt.jpg').subarray(0, 30_000)), /ends too early/],
  ];
  for (const [name, bad, sentence] of refused) {
    on(`${name} is refused, and the picture before it stays`, async (page) => {
      await choose(page, RECEIPT);
      assert.equal(await propose(page, QUESTION), 'done');
      const before = await box(page).getAttribute('data-box');
      await image(page).setInputFiles(bad);
      await page.locator('#message').waitFor();
      assert.match(await complaint(page), sentence);
      assert.equal(await question(page).inputValue(), QUESTION);
      assert.equal(await page.locator('#picture').evaluate((img) => img.naturalWidth), 620);
      assert.equal(await box(page).getAttribute('data-box'), before);
      assert.equal(await propose(page), 'done');
      assert.equal(await complaint(page), '');
    });
  }

  on('a click right after a bad picture ends in error, the next one works', async (page) => {
    await question(page).fill(QUESTION);
    await image(page).setInputFiles(file('letter.png', Buffer.from('no picture')));
    await proposeButton(page).click();
    assert.equal(await state(page, 'done', 'error'), 'error');
    assert.match(await complaint(page), /picture/);
    await choose(page, RECEIPT);
    assert.equal(await propose(page), 'done');
  });

  const accepted = [
    ['1 x 1', file('dot.png', greyPng(1, 1, (_, row) => row.fill(128))), [1, 1]],
    ['an animated GIF (its first frame)', file('animated.gif', picture('animated.gif')), [248, 392]],
    ['a CMYK JPEG', file('cmyk.jpg', picture('cmyk.jpg')), [248, 392]],
    ['a CMYK JPEG with half-size channels', file('inks.jpg', inks), [29, 19]],
    ['a very flat one', file('flat.png', greyPng(2000, 3, (y, row) => row.fill(y * 80))), [2000, 3]],
  ];
  for (const [name, good, [width, height]] of accepted) {
    on(`${name} gives a box`, async (page) => {
      await choose(page, good);
      assert.equal(await propose(page, QUESTION), 'done');
      const crop = decode(await cropBytes(page));
      assert.ok(crop.width >= 1 && crop.width <= width && crop.height >= 1 && crop.height <= height);
      await choose(page, RECEIPT);
      assert.equal(await propose(page), 'done');
    });
  }

  on('12,000 x 9,000 gives a box, and the page stays responsive', async (page) => {
    const huge = file('huge.png', greyPng(12_000, 9_000, (y, row) => row.fill((y >> 3) & 255)));
    await calm(async () => {
      await page.evaluate(() => (window.longest = 0));
      await choose(page, huge);
      assert.equal(await propose(page, QUESTION), 'done');
      return page.evaluate(() => window.longest);
    });
    await choose(page, RECEIPT);
    assert.equal(await propose(page), 'done');
  });

  on('an empty question, and one of 10,000 characters', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, '   '), 'error');
    assert.match(await complaint(page), /question/);
    assert.equal(await propose(page, 'total '.repeat(1667).slice(0, 10_000).replace(/ $/, '.')), 'error');
    assert.match(await complaint(page), /10,000 characters/);
    assert.equal((await question(page).inputValue()).length, 10_000);
    assert.equal(await propose(page, QUESTION), 'done');
    const states = (await page.told.states()).map(([name]) => name);
    assert.deepEqual(states, ['loading', 'ready', 'working', 'error', 'working', 'error', 'working', 'done']);
  });

  on('something that is no file is dropped', async (page) => {
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.setData('text/plain', 'only words');
      document.querySelector('#drop').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    assert.match(await complaint(page), /no picture in that/);
  });

  const WEIGHTS = 'models/default/model.safetensors';
  const first = (header) => Object.keys(header).filter((name) => name !== '__metadata__').sort()[0];
  const folders = [
    ['a missing tensor', WEIGHTS, () => editSafetensors(modelFile('model.safetensors'), (header, data) => {
      // The last in the file, so that the data stays without holes.
      const names = Object.keys(header).filter((name) => name !== '__metadata__');
      const last = names.sort((a, b) => header[b].data_offsets[1] - header[a].data_offsets[1])[0];
      const start = header[last].data_offsets[0];
      delete header[last];
      return data.subarray(0, start);
    }), /missing|lack/i],
    ['an extra tensor', WEIGHTS, () => editSafetensors(modelFile('model.safetensors'), (header, data) => {
      header['no.such.tensor'] = { dtype: 'F32', shape: [1], data_offsets: [data.length, data.length + 4] };
      return Buffer.concat([data, Buffer.alloc(4)]);
    }), /no\.such\.tensor/],
    ['a misshapen tensor', WEIGHTS, () => editSafetensors(modelFile('model.safetensors'), (header) => {
      header[first(header)].shape.push(1);
    }), /shape/i],
    ['no weights at all', WEIGHTS, () => 404, /model\.safetensors could not be loaded/],
    ['a cut-off file', WEIGHTS, () => modelFile('model.safetensors').subarray(0, 5_000), /model could not be loaded/],
    ['a config.json that is none', 'models/default/config.json', () => Buffer.from('not json'), /config\.json/],
  ];
  for (const [name, path, content, sentence] of folders) {
    on(`a model folder with ${name} is named, and a click tries again`, async (page) => {
      assert.equal(await state(page, 'ready', 'error'), 'error');
      assert.match(await complaint(page), sentence);
      await choose(page, RECEIPT);
      assert.equal(await propose(page, QUESTION), 'error');
      assert.match(await complaint(page), sentence);
      at.server.replace.clear();
      assert.equal(await propose(page), 'done');
    }, { ready: false, prepare: () => at.server.replace.set(path, content()) });
  }
});
