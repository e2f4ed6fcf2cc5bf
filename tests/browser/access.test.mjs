// For everyone: axe-core finds no violation, on desk and phone, light and dark, in every state of the page; and all of it
// fits the screen.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { file } from './lib/files.mjs';
import { boxAfter, image, kept, open, propose, started } from './lib/page.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

describe('for everyone', () => {
  const at = started();

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
});
