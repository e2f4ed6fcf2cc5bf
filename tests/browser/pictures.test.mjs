// Getting a picture in: paste, drop, keys of input methods, odd files, other people's formats, a page that arrives in part.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { decode, file, greyPng, picture } from './lib/files.mjs';
import { boxAfter, choose, complaint, cropBytes, image, open, propose, question, started, state } from './lib/page.mjs';

const golden = (name) => readFileSync(new URL(`../../crates/picture/goldens/pictures/${name}`, import.meta.url));
const RECEIPT = file('receipt.png', picture('receipt.png'));
const notes = (page) => page.locator('#picture-notes');

/** Dispatches a paste or a drop with these files ([name, type, base64]) and words ({ type: text }). Returns whether the page took it. */
const offer = (page, event, selector, { files = [], words = {} }) => page.evaluate(([event, selector, files, words]) => {
  const data = new DataTransfer();
  for (const [name, type, base64] of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  for (const [type, text] of Object.entries(words)) data.setData(type, text);
  const at = document.querySelector(selector);
  const made = event === 'paste'
    ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true });
  return !at.dispatchEvent(made);
}, [event, selector, files, words]);
const png = (width, height) => ['shot.png', 'image/png', greyPng(width, height, (y, row) => row.fill(y)).toString('base64')];
const facts = (page, text) => page.locator('#picture-facts').filter({ hasText: text }).waitFor();

/** A PDF of so many pages, each with its number in letters of 40 points. */
function pdf(pages) {
  const objects = ['<</Type/Catalog/Pages 2 0 R>>', `<</Type/Pages/Count ${pages}/Kids[${Array.from({ length: pages }, (_, n) => `${4 + 2 * n} 0 R`).join(' ')}]>>`, '<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>'];
  for (let n = 1; n <= pages; n++) {
    const text = `BT /F 40 Tf 50 100 Td (Total ${n}) Tj ET`;
    objects.push(`<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 ${n * 200}]/Resources<</Font<</F 3 0 R>>>>/Contents ${objects.length + 2} 0 R>>`, `<</Length ${text.length}>>stream\n${text}\nendstream`);
  }
  let body = '%PDF-1.4\n';
  const places = objects.map((object, n) => {
    const at = body.length;
    body += `${n + 1} 0 obj${object}endobj\n`;
    return at;
  });
  const start = body.length;
  body += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('')}`;
  return Buffer.from(`${body}trailer<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${start}\n%%EOF`, 'latin1');
}

describe('getting a picture in', () => {
  const at = started();
  const { on } = at;

  on('text pasted into a field is text though a picture lies beside it; beside all fields the picture is taken, once', async (page) => {
    const cells = { files: [png(40, 30)], words: { 'text/plain': 'Total 4.20' } };
    assert.equal(await offer(page, 'paste', '#question', cells), false, 'left to the field');
    const both = { files: [png(41, 31)], words: { 'text/plain': `${at.server.url}nothing.png` } };
    assert.equal(await offer(page, 'paste', 'body', both), true);
    await facts(page, '41 ×');
    assert.equal(await complaint(page), '');
  });

  on('text dropped onto a field is the field\'s; of several files the first picture is taken and the others are named', async (page) => {
    const words = { words: { 'text/plain': 'What is the date?' } };
    for (const event of ['dragover', 'drop']) assert.equal(await offer(page, event, '#question', words), false, event);
    const files = [['notes.txt', 'text/plain', 'YQ=='], png(42, 32), ['b.jpg', 'image/jpeg', 'YQ==']];
    assert.equal(await offer(page, 'drop', '#question', { files }), true);
    await facts(page, '42 ×');
    assert.match(await notes(page).innerText(), /notes\.txt and b\.jpg left out/);
  });

  on('a picture within a link, and one that its address holds, are taken', async (page) => {
    const html = `<a href="${at.server.url}index.html"><img src="${at.server.url}samples/sign.jpg"></a>`;
    await offer(page, 'drop', '#drop', { words: { 'text/html': html, 'text/uri-list': `${at.server.url}index.html` } });
    const { width } = decode(readFileSync(new URL('../../web/samples/sign.jpg', import.meta.url)));
    await facts(page, `${width.toLocaleString('en')} ×`);
    const held = `data:image/png;base64,${png(43, 33)[2]}`;
    await offer(page, 'drop', '#drop', { words: { 'text/html': `<img src="${held}">` } });
    await facts(page, '43 ×');
  });

  on('an Enter that ends a composition submits nothing', async (page) => {
    const before = (await page.told.states()).length;
    const press = (selector, init, composing) => page.evaluate(([selector, init, composing]) => {
      const field = document.querySelector(selector);
      if (composing) field.dispatchEvent(new CompositionEvent('compositionstart', { bubbles: true }));
      field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...init }));
      if (composing) field.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }));
    }, [selector, init, composing]);
    for (const field of ['#question', '#model', '#key', '#base-url']) {
      await press(field, { keyCode: 229 });
      await press(field, { keyCode: 13, isComposing: true });
      await press(field, { keyCode: 13 }, true);
    }
    assert.equal((await page.told.states()).length, before, 'nothing was submitted');
    await press('#question', { keyCode: 13 });
    assert.equal(await state(page, 'done', 'error'), 'done');
  });

  on('a turned WebP, a moving picture and a see-through one are shown as they are looked at', async (page) => {
    for (const [name, note] of [['orientation_8.webp', ''], ['animated.gif', /first frame/], ['rgba.png', /see-through/]]) {
      const old = await page.locator('#picture').getAttribute('src');
      await choose(page, file(name, golden(name)));
      await page.waitForFunction((old) => {
        const shown = document.querySelector('#picture');
        const [width, height] = document.querySelector('#picture-facts').innerText.match(/\d+/g).map(Number);
        return shown.src !== old && shown.naturalWidth === width && shown.naturalHeight === height;
      }, old);
      if (note) assert.match(await notes(page).innerText(), note);
      // Opaque: the worker has put it on its colour. Between two pictures the element has no size, and nothing to read.
      await page.waitForFunction(() => {
        const shown = document.querySelector('#picture');
        if (!shown.naturalWidth || !shown.naturalHeight) return false;
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [shown.naturalWidth, shown.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(shown, 0, 0);
        return context.getImageData(0, 0, canvas.width, canvas.height).data.every((value, at) => at % 4 !== 3 || value === 255);
      });
    }
  });

  on('a whole picture without its last bytes is taken with a note', async (page) => {
    await choose(page, file('cut.png', RECEIPT.buffer.subarray(0, RECEIPT.buffer.length - 12)));
    assert.match(await notes(page).innerText(), /whole/);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    await choose(page, RECEIPT);
    assert.equal(await notes(page).isVisible(), false);
  });

  on('a drawing (SVG) goes through the browser, and is large enough to be read', async (page) => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100" width="200" height="100"><text x="20" y="60" font-size="40">Total</text></svg>';
    await image(page).setInputFiles({ name: 'a.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg) });
    await facts(page, '2,048 × 1,024');
    assert.match(await notes(page).innerText(), /browser's own decoder.*on white/s);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    assert.ok(decode(await cropBytes(page)).width > 1);
  });

  on('what nobody can read is named, and the picture before it stays', async (page) => {
    await choose(page, RECEIPT);
    const heic = Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1');
    await image(page).setInputFiles(file('a.heic', heic));
    await page.locator('#message').waitFor();
    assert.match(await complaint(page), /HEIC.*save it as JPEG or PNG/);
    await facts(page, '620 ×');
  });

  on('a document\'s first page is taken, another one by its number', async (page) => {
    await image(page).setInputFiles(file('a.pdf', pdf(3)));
    await facts(page, '2,048 × 1,365');
    assert.match(await notes(page).innerText(), /Page 1 of 3/);
    await page.getByLabel('Page', { exact: true }).fill('2');
    await page.getByLabel('Page', { exact: true }).press('Enter');
    await facts(page, '1,536 × 2,048');
    assert.match(await notes(page).innerText(), /Page 2 of 3/);
  });

  on('an AVIF goes through the browser, and says so', async (page) => {
    await image(page).setInputFiles(file('receipt.avif', picture('receipt.avif')));
    await facts(page, '248 × 392');
    assert.match(await notes(page).innerText(), /browser/i);
    assert.equal(await propose(page, 'What is the total?'), 'done');
    const crop = decode(await cropBytes(page));
    assert.ok(crop.width > 10 && crop.width < 248);
  });

  on('a document with a password is named, and the picture before it stays', async (page) => {
    await choose(page, RECEIPT);
    await image(page).setInputFiles(file('letter.pdf', picture('locked.pdf')));
    await page.locator('#message').waitFor();
    assert.match(await complaint(page), /password/);
    await facts(page, '620 ×');
  });

  on('a folder that is dropped is named, and the picture before it stays', async (page) => {
    await choose(page, RECEIPT);
    const folder = mkdtempSync(join(tmpdir(), 'dropped-'));
    const { x, y, width, height } = await page.locator('#drop').boundingBox();
    const client = await page.context().newCDPSession(page);
    const data = { items: [], files: [folder], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      await client.send('Input.dispatchDragEvent', { type, x: x + width / 2, y: y + height / 2, data });
    }
    await page.locator('#message').waitFor();
    rmSync(folder, { recursive: true });
    assert.match(await complaint(page), /That is a folder/);
    await facts(page, '620 ×');
  });

  on('a damaged document is named', async (page) => {
    await image(page).setInputFiles(file('a.pdf', Buffer.from('%PDF-1.7\n and nothing else')));
    await page.locator('#message').waitFor();
    assert.match(await complaint(page), /PDF document is damaged/);
  });

  test('a page that takes long to start says so with a button that reloads, and takes it back when it comes', async () => {
    let arrive;
    at.server.replace.set('page_bg.wasm', () => new Promise((resolve) => (arrive = () => resolve(undefined))));
    const context = await at.chrome.newContext();
    await context.clock.install();
    const page = await open(context, at.server.url, { ready: false });
    const slow = page.getByText('taking long to start');
    await context.clock.fastForward(44_000);
    assert.equal(await slow.isVisible(), false);
    await context.clock.fastForward(2_000);
    await slow.waitFor();
    assert.equal(await page.getByRole('button', { name: 'Reload the page' }).isVisible(), true);
    await context.clock.resume();
    at.server.replace.clear();
    arrive();
    assert.equal(await state(page, 'ready'), 'ready');
    assert.equal(await slow.isVisible(), false);
    await context.close();
  });

  const html = Buffer.from('<!doctype html><title>Welcome</title>');
  const half = (name) => () => readFileSync(new URL(`../../dist/${name}`, import.meta.url)).subarray(0, 5_000);
  for (const [name, path, content] of [
    ['a script that is a web page', 'boot.js', () => html],
    ['a module that is missing', 'page.js', () => 404],
    ['a module that is a web page', 'page_bg.wasm', () => html],
    ['a module that breaks off', 'page_bg.wasm', half('page_bg.wasm')],
    ['a worker that is missing', 'worker_loader.js', () => 404],
    ['a worker\'s module that breaks off', 'worker_bg.wasm', half('worker_bg.wasm')],
  ]) {
    on(`${name}: a sentence and a button that reloads, and no blame on the browser`, async (page) => {
      const button = page.getByRole('button', { name: 'Reload the page' });
      await button.waitFor({ timeout: 60_000 });
      const said = await page.getByRole('alert').filter({ has: button }).innerText();
      assert.match(said, /did not arrive/);
      assert.doesNotMatch(said, /browser cannot/);
      at.server.replace.clear();
      await button.click();
      assert.equal(await state(page, 'ready'), 'ready');
      await boxAfter(page, null);
    }, { ready: false, prepare: () => at.server.replace.set(path, content) });
  }

  on('a folder without its closing slash finds its files, on a host that answers every unknown address with the page', async (page) => {
    assert.equal(await state(page, 'ready'), 'ready');
    at.server.folder = undefined;
    assert.equal(new URL(page.url()).pathname, '/folder/');
  }, { ready: false, path: 'folder', prepare: () => (at.server.folder = 'folder') });
});
