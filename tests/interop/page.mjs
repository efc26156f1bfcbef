// Does the page hold up in a real browser? node page.mjs URL [FOLDER FOR SCREENSHOTS]
//
// Needs playwright-core in the current folder's node_modules and a Chromium (CHROMIUM=/usr/bin/chromium). The daemon at
// URL must be running with at least one changing value. Exit: 0 fine, 1 with every fault on a line of its own.

import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

const { chromium } = createRequire(join(process.cwd(), 'x.js'))('playwright-core');
const [url, folder = 'screenshots'] = process.argv.slice(2);
if (!url) {
  console.error('usage: node page.mjs URL [FOLDER]');
  process.exit(2);
}

/** WCAG 2.2, 1.4.3: text of normal size. */
const CONTRAST = 4.5;
/** The daemon steps at least once a second and the page shows at most two pictures a second. */
const CHANGES_WITHIN_MS = 6000;
/** The page calls numbers old after 5 s; it looks twice a second. */
const OLD_WITHIN_MS = 9000;
/** A stream that has been silent is dialled again after 15 s at the latest. */
const BACK_WITHIN_MS = 20000;

const faults = [];
const fault = (text) => { faults.push(text); console.log(`FAULT ${text}`); };

mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
try {
  for (const width of [390, 1280]) {
    for (const colorScheme of ['light', 'dark']) await look(width, colorScheme);
  }
  await cutOff();
} finally {
  await browser.close();
}
console.log(faults.length ? `${faults.length} faults` : `the page holds up; screenshots in ${folder}`);
process.exit(faults.length ? 1 : 0);

async function look(width, colorScheme) {
  const view = `${width} ${colorScheme}`;
  const page = await browser.newPage({ viewport: { width, height: width < 600 ? 844 : 800 }, colorScheme });
  page.on('console', (message) => fault(`${view}: console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => fault(`${view}: error: ${error.message}`));
  page.on('requestfailed', (request) => fault(`${view}: request failed: ${request.url()}`));
  page.on('response', (answer) => { if (answer.status() >= 400) fault(`${view}: ${answer.status()} ${answer.url()}`); });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) fault(`${view}: asks somebody else: ${request.url()}`);
  });
  await page.goto(url);
  if (await isNever(page, () => document.querySelector('#live').textContent === 'Live', CHANGES_WITHIN_MS)) {
    fault(`${view}: never live`);
  }
  const before = await page.evaluate(() => document.querySelector('main').innerText);
  if (await isNever(page, (then) => document.querySelector('main').innerText !== then, CHANGES_WITHIN_MS, before)) {
    fault(`${view}: nothing changed within ${CHANGES_WITHIN_MS} ms`);
  }
  for (const span of ['1', '0']) {
    // By keyboard: the focused radio button answers to the arrow keys.
    await page.locator('input[name=span]:checked').focus();
    await page.keyboard.press('ArrowRight');
    if (!(await page.locator(`input[name=span][value="${span}"]`).isChecked())) fault(`${view}: arrow keys do not choose`);
    await page.locator('#main-phases svg').first().focus();
    await page.keyboard.press('ArrowLeft');
    await page.waitForTimeout(400);
    await wide(page, `${view} span ${span}`);
    await contrast(page, `${view} span ${span}`, false);
    await page.screenshot({ path: join(folder, `${width}-${colorScheme}-${span === '1' ? 'day' : 'now'}.png`), fullPage: true });
  }
  await contrast(page, `${view} old`, true);
  await page.close();
}

async function isNever(page, condition, timeout, argument) {
  return page.waitForFunction(condition, argument, { timeout }).then(() => false, () => true);
}

async function wide(page, view) {
  const [scroll, seen] = await page.evaluate(() => {
    const root = document.scrollingElement;
    return [Math.max(root.scrollWidth, document.body.scrollWidth), root.clientWidth];
  });
  if (scroll > seen) fault(`${view}: scrolls sideways: ${scroll} of ${seen} px`);
}

/** The contrast of every text that is seen, against the backgrounds behind it, composed as the browser does. */
async function contrast(page, view, isOld) {
  const { count, low } = await page.evaluate(([least, asOld]) => {
    const parse = (color) => {
      const parts = color.match(/[\d.]+/g).map(Number);
      return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
    };
    const over = (top, alpha, bottom) => top.map((channel, i) => channel * alpha + bottom[i] * (1 - alpha));
    const light = (rgb) => {
      const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      if (!element) return [255, 255, 255];
      const { rgb, alpha } = parse(getComputedStyle(element).backgroundColor);
      return alpha === 1 ? rgb : over(rgb, alpha, behind(element.parentElement));
    };
    const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
    if (asOld) document.body.classList.add('stale');
    const low = [];
    let count = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim();
      const element = walker.currentNode.parentElement;
      if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.unseen, noscript, svg')) continue;
      count++;
      const ground = behind(element);
      const { rgb, alpha } = parse(getComputedStyle(element).color);
      const ink = over(rgb, alpha * opacity(element), ground);
      const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < least) low.push(`${ratio.toFixed(2)} "${text.slice(0, 40)}" (${element.className || element.tagName})`);
    }
    if (asOld) document.body.classList.remove('stale');
    return { count, low };
  }, [CONTRAST, isOld]);
  if (count < 10) fault(`${view}: only ${count} texts to be seen`);
  for (const text of low) fault(`${view}: contrast ${text}`);
}

/** A gateway that falls silent on an open connection: the page says so, and is live again when the gateway is back. */
async function cutOff() {
  const line = await silentable(new URL(url));
  const page = await browser.newPage();
  const isLive = () => document.querySelector('#live').textContent === 'Live' && !document.body.matches('.stale');
  const isOld = () => document.querySelector('#live').textContent !== 'Live' && document.body.matches('.stale');
  await page.goto(line.url);
  if (await isNever(page, isLive, CHANGES_WITHIN_MS)) fault('cut off: never live before');
  line.fallSilent();
  if (await isNever(page, isOld, OLD_WITHIN_MS)) fault(`cut off: old numbers look live after ${OLD_WITHIN_MS} ms`);
  await page.screenshot({ path: join(folder, 'cut-off.png') });
  line.speak();
  if (await isNever(page, isLive, BACK_WITHIN_MS)) fault('cut off: not live again');
  await page.close();
  line.close();
}

/** A line to the gateway that can fall silent without closing, as a Wi-Fi does that has gone out of reach. */
async function silentable(target) {
  const sockets = new Set();
  let isSilent = false;
  const server = createServer((near) => {
    const far = connect(Number(target.port || 80), target.hostname);
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on('data', (bytes) => { if (!isSilent) to.write(bytes); });
      from.on('error', () => {});
      from.on('close', () => { sockets.delete(from); if (!isSilent) to.destroy(); });
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const hangUp = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    fallSilent: () => { isSilent = true; },
    speak: () => { hangUp(); isSilent = false; },
    close: () => { hangUp(); server.close(); },
  };
}
