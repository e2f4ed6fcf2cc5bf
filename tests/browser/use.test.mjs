// The page in a person's hands: samples, the box by hand, back and forth, links, what the model sees.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { decode, file, greyPng, picture } from './lib/files.mjs';
import {
  box, boxAfter, choose, complaint, cropBytes, edges, grip, image, open, propose, question, started,
} from './lib/page.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const sample = (name) => readFileSync(new URL(`../../web/samples/${name}.jpg`, import.meta.url));

describe('the page in use', () => {
  const at = started({ spotless: true, permissions: ['clipboard-read', 'clipboard-write'] });
  const { on } = at;
  let elsewhere;
  before(async () => {
    elsewhere = await pictures();
  });
  after(() => elsewhere?.close());
  const data = (page) => box(page).getAttribute('data-box');
  /** The crop has the pixels of the original under the box. */
  const cropIsCut = async (page, original) => {
    const [x1, y1, x2, y2] = await edges(page);
    const crop = decode(await cropBytes(page));
    const at = (percent, side) => Math.round((percent * side) / 100);
    assert.ok(Math.abs(crop.width - (at(x2, original.width) - at(x1, original.width))) <= 1);
    assert.ok(Math.abs(crop.height - (at(y2, original.height) - at(y1, original.height))) <= 1);
    const [left, top] = [at(x1, original.width), at(y1, original.height)];
    const near = [0, -1, 1].some((dx) => [0, -1, 1].some((dy) => String(original.rgb(left + dx, top + dy)) === String(crop.rgb(0, 0))));
    assert.ok(near, 'the first pixel of the crop is the original\'s');
  };

  on('opens with a sample, its question and its box, without touching the state', async (page) => {
    await boxAfter(page, null);
    assert.deepEqual((await page.told.states()).map(([name]) => name), ['loading', 'ready']);
    assert.equal(await question(page).inputValue(), 'What is the total?');
    assert.ok(await page.evaluate(() => window.shift) < 0.02, `shift ${await page.evaluate(() => window.shift)}`);
    // The proposal is real: the same click gives the same box.
    const shown = await data(page);
    assert.equal(await propose(page), 'done');
    assert.equal(await data(page), shown);
  });

  on('another picture takes the sample, its box and its question away at once', async (page) => {
    await boxAfter(page, null);
    await image(page).setInputFiles(RECEIPT);
    assert.equal(await box(page).isVisible(), false);
    assert.equal(await question(page).inputValue(), '');
    await page.locator('#picture-facts').filter({ hasText: 'pixels' }).waitFor();
    assert.equal(await box(page).isVisible(), false);
    await question(page).fill('What is the date?');
    await choose(page, file('again.png', RECEIPT.buffer));
    assert.equal(await question(page).inputValue(), 'What is the date?', 'a typed question stays');
  });

  on('every sample of the gallery shows its box; suggestions belong to it', async (page) => {
    await boxAfter(page, null);
    for (const [title, asked] of [['Sign', 'How far is it to Glasgow?'], ['Plate', 'What is written on the number plate?'], ['Scan', 'What is the total?']]) {
      assert.equal(await through(page, () => page.getByRole('button', { name: title, exact: true }).click()), 'done');
      assert.equal(await question(page).inputValue(), asked);
      assert.equal(await box(page).isVisible(), true);
    }
    const before = await data(page);
    assert.equal(await through(page, () => page.getByRole('button', { name: 'What is the address?', exact: true }).click()), 'done');
    assert.notEqual(await data(page), before);
    assert.equal(await question(page).inputValue(), 'What is the address?');
  });

  on('a picture without print: it does not see the answer, and its guess is behind a click', async (page) => {
    // Waves of grey, nothing to read.
    const waves = greyPng(480, 360, (y, row) => { for (let x = 0; x < row.length; x++) row[x] = 128 + 60 * Math.sin(x / 40) * Math.cos(y / 55); });
    await choose(page, file('waves.png', waves));
    assert.equal(await propose(page, 'What does the ticket to Lisbon cost?'), 'done');
    const absent = page.getByText('I do not see an answer to that in this picture.');
    await absent.waitFor();
    assert.equal(await box(page).isVisible(), false);
    assert.equal(await page.getByRole('link', { name: 'Save crop' }).isVisible() && await page.locator('#crop').isVisible(), false);
    await page.getByRole('button', { name: 'Show the best guess' }).click();
    assert.equal(await box(page).isVisible(), true);
    assert.equal(await absent.isVisible(), false);
    assert.equal(await page.locator('#crop').isVisible(), true);
    // What can be read is seen at once.
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.equal(await box(page).isVisible(), true);
  });

  on('undo and redo bring pictures, questions and boxes back', async (page) => {
    await boxAfter(page, null);
    const first = await data(page);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const total = await data(page);
    assert.equal(await propose(page, 'What is the date?'), 'done');
    const date = await data(page);
    assert.notEqual(total, date);
    await page.getByRole('button', { name: 'Undo' }).click();
    assert.deepEqual([await data(page), await question(page).inputValue()], [total, 'What is the total?']);
    await page.locator('body').press('Control+z'); // the picture without a box
    assert.equal(await box(page).isVisible(), false);
    await page.locator('body').press('Control+z');
    assert.equal(await data(page), first);
    // A picture that came back is known to the worker again.
    assert.equal(await propose(page), 'done');
    assert.equal(await data(page), first);
    await page.locator('body').press('Control+z');
    for (let step = 0; step < 2; step++) await page.locator('body').press('Control+Shift+z');
    const crops = await page.locator('#past button').count();
    assert.ok(crops >= 2, `${crops} crops`);
  });

  on('the box is moved and resized with the pointer, and its crop follows', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const [x1, y1, x2, y2] = await edges(page);
    const area = await page.locator('#picture').boundingBox();
    const middle = { x: area.x + ((x1 + x2) / 200) * area.width, y: area.y + ((y1 + y2) / 200) * area.height };
    await page.mouse.move(middle.x, middle.y);
    await page.mouse.down();
    await page.mouse.move(middle.x - 30, middle.y - 60, { steps: 5 });
    await page.mouse.up();
    await page.locator('#crop-facts').filter({ hasText: 'by hand' }).waitFor();
    const moved = await edges(page);
    assert.ok(Math.abs(moved[1] - (y1 - (60 / area.height) * 100)) < 0.5, `${moved}`);
    assert.ok(Math.abs(moved[2] - moved[0] - (x2 - x1)) < 0.05, 'moving keeps the size');
    await settled(page);
    await cropIsCut(page, decode(RECEIPT.buffer));
    const corner = { x: area.x + (moved[2] / 100) * area.width, y: area.y + (moved[3] / 100) * area.height };
    await page.mouse.move(corner.x, corner.y);
    await page.mouse.down();
    await page.mouse.move(corner.x - 10, corner.y + 40, { steps: 4 });
    await page.mouse.up();
    await settled(page);
    const resized = await edges(page);
    assert.ok(resized[3] > moved[3] + 2 && resized[2] < moved[2] && resized[0] === moved[0], `${resized}`);
    await cropIsCut(page, decode(RECEIPT.buffer));
    await page.getByRole('button', { name: 'Reset', exact: true }).click();
    await settled(page);
    assert.deepEqual(await edges(page), [x1, y1, x2, y2]);
    // Beside the box a new one is drawn.
    await page.mouse.move(area.x + 5, area.y + 5);
    await page.mouse.down();
    await page.mouse.move(area.x + area.width / 4, area.y + area.height / 4, { steps: 4 });
    await page.mouse.up();
    await settled(page);
    const drawn = await edges(page);
    assert.ok(Math.abs(drawn[2] - 25) < 1 && Math.abs(drawn[3] - 25) < 1, `${drawn}`);
    await cropIsCut(page, decode(RECEIPT.buffer));
  });

  on('a finger moves the box, and beside it the page scrolls', async (page) => {
    await boxAfter(page, null);
    const [, y1] = await edges(page);
    const target = await grip(page).boundingBox();
    const client = await page.context().newCDPSession(page);
    const touch = (type, points) => client.send('Input.dispatchTouchEvent', { type, touchPoints: points });
    const at = { x: target.x + target.width / 2, y: target.y + target.height / 2 };
    await touch('touchStart', [at]);
    for (let step = 1; step <= 5; step++) await touch('touchMove', [{ x: at.x, y: at.y - step * 8 }]);
    await touch('touchEnd', []);
    await settled(page);
    assert.ok((await edges(page))[1] < y1 - 2, `${await edges(page)}`);
    const moved = await data(page);
    assert.equal(await page.evaluate(() => scrollY), 0, 'the page stayed where it was');
    const { x, y } = await page.locator('#picture').boundingBox();
    const beside = { x: x + 12, y: y + 300 };
    await touch('touchStart', [beside]);
    for (let step = 1; step <= 10; step++) await touch('touchMove', [{ x: beside.x, y: beside.y - step * 15 }]);
    await touch('touchEnd', []);
    await page.waitForFunction(() => scrollY > 60);
    assert.equal(await data(page), moved);
  }, { context: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } });

  on('keys move, resize, scale and reset the box', async (page) => {
    await boxAfter(page, null);
    const start = await edges(page);
    await grip(page).focus();
    const press = async (key) => {
      const before = await data(page);
      await grip(page).press(key);
      const now = await boxAfter(page, before);
      await settled(page);
      return now;
    };
    assert.deepEqual(await press('ArrowUp'), [start[0], start[1] - 1, start[2], start[3] - 1]);
    assert.deepEqual(await press('Shift+ArrowDown'), [start[0], start[1] - 1, start[2], start[3]]);
    const [x1, , x2] = await press('-');
    assert.ok(x2 - x1 < start[2] - start[0]);
    assert.deepEqual(await press('Escape'), start);
  });

  on('the slider grows the box by its area', async (page) => {
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    const start = await edges(page);
    const slider = page.getByLabel('Size', { exact: true });
    await slider.fill('20'); // ten steps double the area
    await settled(page);
    const ratio = area(await edges(page)) / area(start);
    assert.ok(ratio > 3.5 && ratio < 4.05, `${ratio}`);
    await slider.fill('0');
    await settled(page);
    assert.deepEqual(await edges(page), start);
  });

  on('other places, and a second look inside the box', async (page) => {
    await choose(page, file('scan.jpg', sample('scan')));
    assert.equal(await propose(page, 'What is the date?'), 'done');
    await page.getByRole('button', { name: 'Other places' }).click();
    await page.getByRole('button', { name: /^Place 1: \d/ }).waitFor();
    const places = await page.getByRole('button', { name: /^Place \d/ }).count();
    assert.ok(places >= 1 && places <= 5);
    const place = page.getByRole('button', { name: /^Place 1/ });
    const left = await place.evaluate((button) => parseFloat(button.style.left));
    await place.press('Enter'); // places may lie in one another: a pointer would take the smaller one
    await settled(page);
    assert.equal((await edges(page))[0], left);
    const grow = async () => {
      await page.getByLabel('Size', { exact: true }).fill('30');
      await settled(page);
      return edges(page);
    };
    const again = async () => {
      assert.equal(await through(page, () => page.getByRole('button', { name: 'Look again inside' }).click()), 'done');
      return edges(page);
    };
    // A second look finds something smaller inside, or says that there is nothing: which of the two is the model's to say.
    const second = async () => {
      const outer = await grow();
      const inner = await again();
      const said = /nothing smaller/i.test(await page.locator('#crop-note').innerText());
      assert.equal(said, inner.every((edge, at) => edge === outer[at]), `${inner} in ${outer}`);
      assert.ok(inner[0] >= outer[0] - 0.01 && inner[1] >= outer[1] - 0.01 && inner[2] <= outer[2] + 0.01 && inner[3] <= outer[3] + 0.01, `${inner} in ${outer}`);
    };
    await second();
    assert.equal(await propose(page, 'Which company issued this receipt?'), 'done');
    await second();
    await cropIsCut(page, { ...decode(sample('scan')), rgb: () => decode(sample('scan')).rgb(0, 0) }).catch((error) => {
      if (!/first pixel/.test(error.message)) throw error; // JPEG decoders differ by a few steps
    });
  });

  on('the crop and a link to it are copied; the link holds no key and brings all back', async (page) => {
    await boxAfter(page, null);
    await grip(page).press('ArrowUp');
    await settled(page);
    await page.getByLabel('Key', { exact: true }).fill('sk-never-shared');
    await page.getByRole('button', { name: 'Copy', exact: true }).click();
    await page.locator('#crop-note').filter({ hasText: 'Copied' }).waitFor();
    const copied = await page.evaluate(async () => {
      const [item] = await navigator.clipboard.read();
      return [...new Uint8Array(await (await item.getType('image/png')).arrayBuffer())].length;
    });
    assert.ok(copied > 100);
    await page.getByRole('button', { name: 'Copy link' }).click();
    await page.locator('#crop-note').filter({ hasText: 'link' }).waitFor();
    const link = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(link.startsWith(`${at.server.url}#picture=samples/receipt.jpg&question=`), link);
    assert.equal(link.includes('sk-never'), false);
    assert.equal(await page.evaluate(() => location.href), link);
    const wanted = await data(page);
    const other = await open(page.context(), link);
    await boxAfter(other, null);
    assert.equal(await data(other), wanted);
    assert.equal(await question(other).inputValue(), 'What is the total?');
  });

  on('a picture from the web is loaded; one that may not be read is named', async (page) => {
    await page.getByRole('button', { name: 'From the web' }).click();
    await page.getByLabel('Address of the picture').fill(`${elsewhere.url}open.png`);
    await page.getByRole('button', { name: 'Load' }).click();
    await page.locator('#picture-facts').filter({ hasText: '620 ×' }).waitFor();
    assert.equal(elsewhere.cookies, undefined);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    page.told.errors.length = 0;
    for (const [path, sentence] of [['closed.png', /does not let other pages read/], ['missing.png', /status 404/], ['text.png', /not a picture/]]) {
      await page.getByRole('button', { name: 'From the web' }).click();
      await page.getByLabel('Address of the picture').fill(elsewhere.url + path);
      await page.getByRole('button', { name: 'Load' }).click();
      await page.locator('#message').waitFor();
      assert.match(await complaint(page), sentence);
      assert.equal(await page.locator('#picture').evaluate((img) => img.naturalWidth), 620);
    }
    page.told.errors.length = 0; // the browser's own words about the refusals
  });

  on('what the model sees: the evidence, its own view, and the figures', async (page) => {
    await boxAfter(page, null);
    await page.getByLabel('Where the model sees evidence').check();
    const lit = await page.locator('#evidence').evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return Math.max(...data.filter((_, at) => at % 4 === 3));
    });
    assert.ok(lit > 20, `${lit}`);
    await page.getByLabel('As the model sees it').check();
    await page.locator('#canvas:not([hidden])').waitFor();
    const [width, height] = await page.locator('#canvas').evaluate(async (img) => (await img.decode(), [img.naturalWidth, img.naturalHeight]));
    assert.equal(width % 32 + height % 32, 0, `${width} × ${height}`);
    const { canvas_pixels: least, max_canvas_pixels: most = least } = JSON.parse(readFileSync(new URL('../../models/default/config.json', import.meta.url)));
    assert.ok(width * height > 0.8 * least && width * height < 1.2 * most, `${width} × ${height}`);
    await page.getByText('What the model did').click();
    assert.match(await page.locator('#figures').innerText(), /Encoding it\s+(\d|done)/);
    // A view belongs to its picture.
    const old = await page.locator('#canvas').getAttribute('src');
    await choose(page, RECEIPT);
    await page.waitForFunction((old) => document.querySelector('#canvas').src !== old && !document.querySelector('#canvas').hidden, old);
  });
});

/** Does something that proposes a crop; waits for `working` and then the end, and returns it. */
async function through(page, act) {
  const already = await page.evaluate(() => window.states.length);
  await act();
  const end = await page.waitForFunction((already) => {
    const [first, ...rest] = window.states.slice(already).map(([name]) => name);
    return first === 'working' && ['done', 'error'].includes(rest.at(-1)) && rest.at(-1);
  }, already, { polling: 20, timeout: 60_000 });
  return end.jsonValue();
}

/** Waits until no crop is being cut any more. */
async function settled(page) {
  await page.waitForFunction(() => {
    const crop = document.querySelector('#crop');
    const same = window.lastCrop === crop.src && window.lastBox === document.querySelector('#box').dataset.box;
    window.lastCrop = crop.src;
    window.lastBox = document.querySelector('#box').dataset.box;
    return same && !crop.hidden;
  }, null, { polling: 150 });
}

/** Another site with pictures that may and may not be read by other pages. */
async function pictures() {
  const site = {};
  const server = createServer((request, response) => {
    site.cookies = request.headers.cookie;
    const kinds = {
      '/open.png': [200, RECEIPT.buffer, { 'Access-Control-Allow-Origin': '*' }],
      '/closed.png': [200, RECEIPT.buffer, {}],
      '/text.png': [200, Buffer.from('no picture at all, only words'), { 'Access-Control-Allow-Origin': '*' }],
    };
    const [status, body, headers] = kinds[request.url] ?? [404, Buffer.alloc(0), { 'Access-Control-Allow-Origin': '*' }];
    response.writeHead(status, { 'Content-Type': 'image/png', ...headers }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(site, {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  });
}
