/* Makes the pages that the tests look at, with the command that was built, and opens them. */
const { execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { chromium } = require('playwright-core');
const { residual } = require('./graphs.js');

const root = path.join(__dirname, '..', '..');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rill-browser-'));
const INPUT = 'x=[[0,1],[1,1],[-0.5,0.25]]';
const ROW = 'x=[[0.5,-0.2,0.1,0.7,-1,0.3,0,1]]';

let rill = 'rill';
function run(...args) {
  return execFileSync(rill, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
}

/* name -> { graph, args }: how it is made. */
function specs() {
  fs.writeFileSync(path.join(folder, 'residual.json'), residual(100));
  const train = (graph, data) => ({ graph: `examples/${graph}.json`, args: ['--data', data, '--steps', '3', '--every', '4', '--batch-size', '16'] });
  return {
    xor: train('xor', 'synthetic:xor'),
    mlp: train('mnist_mlp', 'synthetic:digits'),
    cnn: train('mnist_cnn', 'synthetic:digits'),
    lenet5: train('lenet5', 'synthetic:digits'),
    forward: { graph: 'examples/xor.json', args: ['--input', INPUT] },
    empty: { graph: 'examples/xor.json', args: [] },
    residual: { graph: path.join(folder, 'residual.json'), args: ['--input', ROW] },
  };
}

function make(command) {
  rill = path.resolve(command);
  const pages = {};
  for (const [name, { graph, args }] of Object.entries(specs())) {
    const file = path.join(folder, name + '.html');
    run('show', graph, '--format', 'html', ...args, '-o', file);
    pages[name] = { file, graph, bytes: fs.statSync(file).size };
  }
  return pages;
}

/* Opens a page; whatever it says on the console or asks of the network is kept as a complaint. */
async function open(browser, file, { width = 1280, height = 800, hash = '', ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  const url = 'file://' + file;
  page.on('console', m => page.complaints.push('console: ' + m.text()));
  page.on('pageerror', e => page.complaints.push('error: ' + e.message));
  page.on('request', r => { if (r.url().split('#')[0] !== url) page.complaints.push('request: ' + r.url().slice(0, 200)); });
  await page.goto(url + hash);
  await page.waitForSelector('#drawing .box');
  return page;
}

function launch(chrome) {
  return chromium.launch({ executablePath: chrome, args: ['--no-sandbox'] });
}

function clean() { fs.rmSync(folder, { recursive: true, force: true }); }

module.exports = { make, open, launch, clean, run, INPUT, ROW };
