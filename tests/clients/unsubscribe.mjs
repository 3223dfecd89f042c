// What a person does with the link in a letter, in Debian's Chromium: unsubscribe.mjs URL with|without STEP [FOLDER]
//
// STEP is `look`, `unsubscribe` or `undo`. `with` and `without` say whether the browser runs scripts. With a FOLDER, it puts
// pictures of what it sees there, as a telephone and as a desk have it.

import { chromium } from 'playwright-core';

const [url, scripts, step, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const context = await browser.newContext({ javaScriptEnabled: scripts === 'with', viewport: { width: 360, height: 640 } });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  const asked = [];
  page.on('request', (request) => asked.push(`${request.method()} ${request.url()}`));

  const answer = await page.goto(url);
  if (answer.status() !== 200) throw new Error(`the link answers ${answer.status()}`);
  if (step !== 'look') {
    const buttons = page.getByRole('button');
    if ((await buttons.count()) !== 1) throw new Error(`the page has ${await buttons.count()} buttons`);
    // By the keyboard in one browser, by the mouse in the other.
    const posted = page.waitForResponse((response) => response.request().method() === 'POST');
    if (scripts === 'with') {
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
    } else {
      await buttons.click();
    }
    if ((await posted).status() !== 200) throw new Error(`the button answers ${(await posted).status()}`);
    // The page says what was done.
    await page.getByRole('status').waitFor({ timeout: 10_000 });
  }
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 640 });
    const main = await page.locator('main').boundingBox();
    if (main.x < 0 || main.x + main.width > width) throw new Error(`at ${width} pixels the page is cut off`);
    if (folder) await page.screenshot({ path: `${folder}/${step}-${scripts}-${width}.png` });
  }
  // The page's style is taken, and nothing else is asked for.
  const font = await page.locator('main').evaluate((main) => getComputedStyle(main).maxWidth);
  if (font === 'none') throw new Error('the style was refused');
  const others = asked.filter((asked) => !asked.endsWith(` ${url}`) && !asked.endsWith('/favicon.ico'));
  if (others.length > 0) throw new Error(`the page asks for ${others}`);
  if ((await context.cookies()).length > 0) throw new Error('the page sets a cookie');
  const unexpected = faults.filter((fault) => !fault.includes('favicon'));
  if (unexpected.length > 0) throw new Error(`the browser complains: ${unexpected}`);
  console.log(await page.locator('main').innerText());
} finally {
  await browser.close();
}
