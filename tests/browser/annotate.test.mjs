// `cropvlm annotate` in a real browser: nested boxes and questions from the keyboard alone, and what is saved is on the
// disk; a pointer draws, too; a refusal is said and loses nothing; axe-core finds no violation.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';
import { browser } from './lib/page.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// `cargo xtask test` says where the program is that it has built and tested before.
const program = process.env.CROPVLM ?? fileURLToPath(new URL('../../target/release/cropvlm', import.meta.url));
const skip = existsSync(program) ? false : `${program} is not built: cargo build --release -p trainer`;

/** A page of 200 x 100 pixels. */
function png() {
  const page = new PNG({ width: 200, height: 100 });
  page.data.fill(230);
  return PNG.sync.write(page);
}

describe('cropvlm annotate', { skip }, () => {
  const at = {};
  before(async () => {
    at.folder = mkdtempSync(join(tmpdir(), 'annotate-'));
    for (const name of ['a.png', 'b.png']) writeFileSync(join(at.folder, name), png());
    writeFileSync(join(at.folder, 'notes.txt'), 'no picture');
    at.program = spawn(program, ['annotate', at.folder, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    at.url = await new Promise((resolve, reject) => {
      let text = '';
      at.program.stdout.on('data', (more) => {
        text += more;
        const found = /http:\/\/\S+\//.exec(text);
        if (found) resolve(found[0]);
      });
      at.program.on('exit', () => reject(new Error('the program ended')));
    });
    at.chrome = await browser();
  });
  after(async () => {
    await at.chrome?.close();
    at.program?.kill();
    rmSync(at.folder, { recursive: true, force: true });
  });

  /** The lines of the file. */
  const lines = () => {
    const file = join(at.folder, 'annotations.jsonl');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').filter(Boolean).map(JSON.parse) : [];
  };
  const says = (page, text) => page.locator('#status').filter({ hasText: text }).waitFor();
  const shows = (page, name) => page.locator(`#picture[alt="${name}"]`).waitFor();
  const rects = (page) => page.locator('#overlay rect').count();
  async function opened(options) {
    const context = await at.chrome.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    await context.addInitScript(axe);
    const page = await context.newPage();
    page.errors = [];
    page.on('pageerror', (error) => page.errors.push(String(error)));
    await page.goto(at.url);
    await shows(page, 'a.png');
    await page.waitForFunction(() => document.activeElement?.id === 'question');
    return page;
  }

  test('boxes and a question from the keyboard alone', async () => {
    const page = await opened();
    const { keyboard } = page;
    await keyboard.press('Escape');
    for (const key of ['n', 'ArrowLeft', 'n', 'Shift+ArrowDown', 'Alt+ArrowRight']) await keyboard.press(key);
    await keyboard.press('Escape');
    await keyboard.type('What is the total?');
    await keyboard.press('Tab');
    await keyboard.type('9.00');
    await keyboard.press('Control+Enter');
    await says(page, 'Saved a-0.');
    const [line] = lines();
    assert.deepEqual(line.nested, [[78, 40, 118, 60], [69, 35, 129, 66]]);
    assert.deepEqual([line.image, line.question, line.answers, line.boxes, line.width, line.height],
      ['a.png', 'What is the total?', ['9.00'], [[78, 40, 118, 60]], 200, 100]);
    // The form is empty for the next one, which is about the next picture.
    assert.equal(await rects(page), 0);
    await keyboard.press('PageDown');
    await shows(page, 'b.png');
    await keyboard.press('PageUp');
    await shows(page, 'a.png');
    assert.deepEqual(page.errors, []);
    await page.context().close();
  });

  test('a box that is drawn, changed and saved by going on', async () => {
    const page = await opened();
    await page.keyboard.press('PageDown');
    await shows(page, 'b.png');
    const stage = await page.locator('#picture').boundingBox();
    const [x, y] = [stage.x + 20, stage.y + 10];
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + 60, y + 30, { steps: 3 });
    await page.mouse.up();
    assert.equal(await rects(page), 1);
    await page.getByRole('textbox', { name: 'Question' }).fill('What is drawn?');
    await page.keyboard.press('PageUp');
    await shows(page, 'a.png');
    const line = lines().find(({ image }) => image === 'b.png');
    assert.deepEqual(line.nested, [[20, 10, 80, 40]]);
    await page.context().close();
  });

  test('a refusal is said and loses nothing; a question can be changed and deleted', async () => {
    const page = await opened();
    const { keyboard } = page;
    await page.getByRole('button', { name: /^What is the total/ }).click();
    assert.equal(await rects(page), 2);
    await keyboard.press('Escape');
    // The smallest box out of the larger one.
    await keyboard.press('1');
    for (let i = 0; i < 20; i++) await keyboard.press('ArrowRight');
    const before = lines();
    await keyboard.press('Control+Enter');
    await says(page, 'does not lie inside');
    assert.deepEqual(lines(), before);
    await keyboard.press('PageDown');
    await says(page, 'does not lie inside');
    assert.equal(await rects(page), 2, 'what was drawn is still there');
    await keyboard.press('Delete');
    await keyboard.press('Control+Enter');
    await says(page, 'Saved a-0.');
    assert.deepEqual(lines().find(({ id }) => id === 'a-0').nested, [[69, 35, 129, 66]]);
    await page.getByRole('button', { name: /^What is the total/ }).click();
    await page.getByRole('button', { name: 'Delete question' }).click();
    await says(page, 'Deleted a-0.');
    assert.ok(lines().every(({ id }) => id !== 'a-0'));
    await page.context().close();
  });

  test('what is no picture is named, and axe-core finds no violation', async () => {
    for (const colorScheme of ['light', 'dark']) {
      const page = await opened({ colorScheme });
      assert.match(await page.locator('#skipped').innerText(), /notes\.txt/);
      await page.keyboard.press('Escape');
      await page.keyboard.press('n');
      await page.getByText('Keys', { exact: true }).click();
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      assert.deepEqual(found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
      await page.context().close();
    }
  });
});
