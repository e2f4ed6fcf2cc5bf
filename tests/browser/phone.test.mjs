// On a phone and a small desk: the question under its picture, the box in view, small boxes by their middle, drawing
// and zooming with fingers.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { box, boxAfter, edges, grip, propose, started } from './lib/page.mjs';

const PHONE = { context: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } };
const SMALL_DESK = { context: { viewport: { width: 1024, height: 768 } } };

describe('on a phone and a small desk', () => {
  const { on } = started({ spotless: true });
  /** Fingers by way of the browser's own protocol: each call says where all of them are. */
  const hand = async (page) => {
    const client = await page.context().newCDPSession(page);
    return (type, ...touchPoints) => client.send('Input.dispatchTouchEvent', { type, touchPoints });
  };

  on('the question stands directly under the picture', async (page) => {
    await boxAfter(page, null);
    const [drop, form] = await Promise.all(['#drop', '#form'].map((at) => page.locator(at).boundingBox()));
    assert.ok(form.y >= drop.y + drop.height && form.y < drop.y + drop.height + 40, `${JSON.stringify(form)} under ${JSON.stringify(drop)}`);
  }, PHONE);

  on('after Propose the box is in view', async (page) => {
    await boxAfter(page, null);
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    // As from a keyboard: the button is not scrolled to.
    await page.evaluate(() => document.querySelector('#form').requestSubmit());
    await page.waitForFunction(() => document.documentElement.dataset.state === 'done', null, { timeout: 120_000 });
    const { top, bottom } = await box(page).evaluate((box) => box.getBoundingClientRect().toJSON());
    assert.ok(top >= 0 && bottom <= 844, `${top} to ${bottom}`);
  }, PHONE);

  on('the smallest box is moved by its middle', async (page) => {
    await boxAfter(page, null);
    await page.getByLabel('Size', { exact: true }).fill('-20');
    await page.getByLabel('Size', { exact: true }).dispatchEvent('change');
    await page.locator('#crop-facts').filter({ hasText: 'by hand' }).waitFor();
    const before = await edges(page);
    await grip(page).scrollIntoViewIfNeeded();
    const { x, y, width, height } = await grip(page).boundingBox();
    const touch = await hand(page);
    const at = { x: x + width / 2, y: y + height / 2 };
    await touch('touchStart', at);
    for (let step = 1; step <= 5; step++) await touch('touchMove', { x: at.x - 6 * step, y: at.y });
    await touch('touchEnd');
    const after = await boxAfter(page, before.join(','));
    assert.ok(after[0] < before[0] - 1 && Math.abs((after[2] - after[0]) - (before[2] - before[0])) < 0.05, `${before} to ${after}`);
  }, PHONE);

  on('a box is drawn with a finger, when that is wanted', async (page) => {
    await boxAfter(page, null);
    const draw = page.getByRole('button', { name: 'Draw a box' });
    await draw.click();
    assert.equal(await draw.getAttribute('aria-pressed'), 'true');
    const area = await page.locator('#picture').boundingBox();
    const touch = await hand(page);
    const before = await box(page).getAttribute('data-box');
    await touch('touchStart', { x: area.x + 10, y: area.y + 10 });
    for (let step = 1; step <= 5; step++) await touch('touchMove', { x: area.x + 10 + 12 * step, y: area.y + 10 + 10 * step });
    await touch('touchEnd');
    const [x1, y1, x2, y2] = await boxAfter(page, before);
    assert.ok(Math.abs(x1 - (10 / area.width) * 100) < 1 && Math.abs(x2 - (70 / area.width) * 100) < 1.5, `${x1} ${x2}`);
    assert.ok(y2 > y1 + 5);
    assert.equal(await draw.getAttribute('aria-pressed'), 'false', 'the next finger scrolls again');
  }, PHONE);

  on('two fingers show the picture larger, a button smaller again', async (page) => {
    await boxAfter(page, null);
    const area = await page.locator('#picture').boundingBox();
    const stage = await page.locator('#drop').boundingBox();
    const touch = await hand(page);
    const y = stage.y + stage.height / 3;
    const x = area.x + area.width / 2;
    await touch('touchStart', { x: x - 20, y, id: 0 }, { x: x + 20, y, id: 1 });
    for (let step = 1; step <= 6; step++) await touch('touchMove', { x: x - 20 - 10 * step, y, id: 0 }, { x: x + 20 + 10 * step, y, id: 1 });
    await touch('touchEnd');
    const near = await page.locator('#picture').boundingBox();
    assert.ok(near.width > 2.5 * area.width, `${area.width} to ${near.width}`);
    const out = page.getByRole('button', { name: 'Zoom out' });
    while (await out.isEnabled()) await out.click();
    assert.ok(Math.abs((await page.locator('#picture').boundingBox()).width - area.width) < 2);
  }, PHONE);

  on('the wheel with Ctrl shows the picture larger where it points', async (page) => {
    await boxAfter(page, null);
    const area = await page.locator('#picture').boundingBox();
    const at = { x: area.x + area.width / 4, y: area.y + area.height / 4 };
    await page.mouse.move(at.x, at.y);
    await page.keyboard.down('Control');
    await page.mouse.wheel(0, -240);
    await page.keyboard.up('Control');
    await page.waitForFunction((width) => document.querySelector('#picture').getBoundingClientRect().width > 1.5 * width, area.width);
    // A box that is proposed is brought on the stage.
    assert.equal(await propose(page), 'done');
    const [found, stage] = await Promise.all([box(page).boundingBox(), page.locator('#drop').boundingBox()]);
    assert.ok(found.x >= stage.x - 1 && found.x + found.width <= stage.x + stage.width + 1 && found.y >= stage.y - 1 && found.y + found.height <= stage.y + stage.height + 1);
  }, SMALL_DESK);
});
