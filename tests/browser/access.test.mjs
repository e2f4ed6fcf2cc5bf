// For everyone: axe-core finds no violation, on desk and phone, light and dark, in every state of the page; and all of it
// fits the screen; nothing that has the focus is covered, all of it can be hit, and what a box is, is heard.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { file } from './lib/files.mjs';
import { boxAfter, grip, image, kept, open, propose, question, started } from './lib/page.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

describe('for everyone', () => {
  const at = started();
  const { on } = at;

  async function violations(page) {
    // Half-shown elements have half their contrast.
    await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState !== 'running'));
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} (${node.any[0]?.message ?? ''})`).join(' | ')}`);
  }

  for (const colorScheme of ['light', 'dark']) {
    for (const [name, screen] of [['desk', { width: 1280, height: 900 }], ['phone', { width: 390, height: 844 }]]) {
      test(`no violation on the ${name}, ${colorScheme}`, async () => {
        const context = await at.chrome.newContext({ viewport: screen, colorScheme, reducedMotion: 'reduce' });
        // As a script of the driver's: the page's content security policy keeps foreign ones out.
        await context.addInitScript(axe);
        const page = await open(context, at.server.url);
        await kept(page, `axe ${name} ${colorScheme}`, async () => {
          await boxAfter(page, null);
          assert.deepEqual(await violations(page), [], 'with the sample');
          await page.getByRole('button', { name: 'From the web' }).click();
          await page.getByText('What the model did').click();
          await page.getByLabel('Where the model sees evidence').check();
          assert.equal(await propose(page, 'What is the date?'), 'done');
          await page.getByRole('button', { name: 'Other places' }).click();
          await page.getByRole('button', { name: /^Place 1/ }).waitFor();
          assert.deepEqual(await violations(page), [], 'with everything open');
          await page.getByText('Learn: GRPO, live').click();
          await page.getByText("In the paper's words").click();
          await page.getByRole('button', { name: 'Take one step' }).click();
          await page.locator('#learn-moves tr').first().waitFor({ timeout: 60_000 });
          await page.waitForFunction(() => document.querySelector('#learn').getAttribute('aria-busy') === 'false');
          assert.deepEqual(await violations(page), [], 'with a lesson');
          await image(page).setInputFiles(file('letter.png', Buffer.from('no picture at all')));
          await page.locator('#message').waitFor();
          assert.deepEqual(await violations(page), [], 'with a complaint');
          const [inner, scroll] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
          assert.ok(scroll <= inner, `${scroll} > ${inner}`);
        });
        await context.close();
      });
    }
  }

  for (const [name, context] of [
    ['a small desk', { viewport: { width: 1024, height: 768 } }],
    ['a phone', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }],
  ]) {
    on(`nothing that has the focus is covered, and everything can be hit: ${name}`, async (page) => {
      await boxAfter(page, null);
      await question(page).focus();
      const hidden = await page.evaluate(() => {
        const all = [...document.querySelectorAll('button, a[href], input, select, textarea, summary')];
        const seen = all.filter((element) => element.checkVisibility() && !element.closest('[inert]') && !element.disabled && element.tabIndex >= 0);
        return seen.flatMap((element) => {
          element.focus();
          if (document.activeElement !== element) return [];
          const { left, top, width, height } = element.getBoundingClientRect();
          const at = document.elementFromPoint(left + width / 2, top + height / 2);
          const own = at && (element.contains(at) || at.contains(element) || element.labels?.[0]?.contains(at));
          return own ? [] : [`${element.id || element.textContent}: ${at?.id || at?.className}`];
        });
      });
      assert.deepEqual(hidden, []);
      const small = await page.evaluate(() => [...document.querySelectorAll('button, input, select, textarea, summary, .link, label.check')]
        .filter((element) => element.checkVisibility() && !element.matches('.check input, #grip'))
        .map((element) => [element.id || element.textContent.trim(), element.getBoundingClientRect()])
        .filter(([, { width, height }]) => width < 24 || height < 23.5)
        .map(([name, { width, height }]) => `${name} ${width} x ${height}`));
      assert.deepEqual(small, []);
    }, { context });
  }

  on('what a box is, is heard: found, moved by keys, and in the history', async (page) => {
    await boxAfter(page, null);
    const heard = page.locator('#heard');
    assert.match(await heard.innerText(), /^Box found: [\d.]+ % wide, [\d.]+ % high, (left|centre|right), (top|middle|bottom); crop \d+ × \d+$/);
    await grip(page).focus();
    await page.keyboard.press('ArrowUp');
    await heard.filter({ hasText: 'Box moved' }).waitFor();
    assert.equal(await propose(page, 'What is the date?'), 'done');
    assert.match(await page.getByLabel('Size', { exact: true }).getAttribute('aria-valuetext'), /× area/);
    const names = await page.locator('#past button').evaluateAll((all) => all.map((button) => button.ariaLabel));
    assert.ok(names.length > 1 && new Set(names).size === names.length, names.join(' | '));
    assert.deepEqual(await page.locator('#question, #answer, #run-full').evaluateAll((all) => all.map((element) => element.dir)), ['auto', 'auto', 'auto']);
  });
});
