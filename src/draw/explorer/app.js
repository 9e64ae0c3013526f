/* app.js: the state of the page, which is also in its address, and what changes it. */
const $ = id => document.getElementById(id);
const TABS = [['node', 'Node'], ['passes', 'Passes'], ['threads', 'Threads'], ['memory', 'Memory'], ['about', 'About']];
const state = { step: 0, moment: 0, view: doc.views[0].name, node: -1, tab: 'about', pass: 0, rewrite: -1, near: 0 };
let playing = false, timer = 0, chosenBox = null;

/* ---- the address ---- */

function writeAddress() {
  const q = new URLSearchParams();
  const put = (key, value, usual) => { if (value !== usual) q.set(key, value); };
  put('step', state.step + 1, 1);
  put('at', state.moment, 0);
  put('view', state.view, doc.views[0].name);
  put('node', state.node >= 0 ? nodes[state.node].name : '', '');
  put('tab', state.tab, 'about');
  put('pass', state.pass, 0);
  put('rewrite', state.rewrite, -1);
  put('near', state.near, 0);
  history.replaceState(null, '', '#' + q);
}

function readAddress() {
  const q = new URLSearchParams(location.hash.slice(1));
  const whole = (key, low, high, usual) => {
    const v = Number(q.get(key) ?? usual);
    return Number.isInteger(v) ? Math.min(Math.max(v, low), high) : usual;
  };
  state.step = whole('step', 1, Math.max(1, steps.length), 1) - 1;
  state.moment = whole('at', 0, LAST, 0);
  state.view = doc.views.some(v => v.name === q.get('view')) ? q.get('view') : doc.views[0].name;
  state.node = q.has('node') ? nodes.findIndex(n => n.name === q.get('node')) : -1;
  state.tab = TABS.some(t => t[0] === q.get('tab')) ? q.get('tab') : 'about';
  state.pass = whole('pass', 0, doc.passes.length, 0);
  state.rewrite = whole('rewrite', -1, 1e6, -1);
  state.near = whole('near', 0, 9, 0);
}

/* ---- drawing the state ---- */

function currentView() { return doc.views.find(v => v.name === state.view); }
function currentSource() { return (state.tab === 'passes' && state.pass && graphAfter(state.pass)) || currentView(); }

/* Nodes that the drawing and the charts mark: the chosen one, or those of its box. */
function chosenNodes() { return new Set(chosenBox && chosenBox.nodes.includes(state.node) ? chosenBox.nodes : state.node >= 0 ? [state.node] : []); }

function markBoxes() {
  const box = state.node >= 0 ? drawing.boxOf.get(state.node) : null;
  const touched = new Set(), rewrite = state.tab === 'passes' && state.pass ? doc.passes[state.pass - 1].rewrites[state.rewrite] : null;
  if (rewrite) rewrite.nodes.forEach(i => { const b = drawing.boxOf.get(i); if (b) touched.add(b); });
  let near = null;
  if (box && state.near) {
    near = new Set([box]);
    for (let i = 0; i < state.near; i++)
      [...near].forEach(b => { b.inLines.forEach(l => near.add(drawing.boxes[l.from])); b.outLines.forEach(l => near.add(drawing.boxes[l.to])); });
  }
  drawing.boxes.forEach(b => {
    b.element.classList.toggle('chosen', b === box);
    b.element.classList.toggle('touched', touched.has(b));
    b.element.classList.toggle('far', !!near && !near.has(b));
    b.element.setAttribute('aria-pressed', String(b === box));
  });
  drawing.lines.forEach(l => {
    l.element.classList.toggle('of', !!box && (drawing.boxes[l.from] === box || drawing.boxes[l.to] === box));
    l.element.classList.toggle('far', !!near && !(near.has(drawing.boxes[l.from]) && near.has(drawing.boxes[l.to])));
  });
  chosenBox = box;
}

function sentence(step, moment) {
  if (!steps.length) return ['', 'No run was recorded.'];
  const begin = doc.run.training ? `step ${steps[step].step}: ` : '';
  if (moment === 0) return ['', begin + 'inputs and variables are there, nothing is computed yet'];
  if (isUpdateMoment(moment)) return ['update', begin + 'all variables take their next values'];
  const n = nodes[order[moment - 1]];
  return [PARTS[n.part], `${begin}${n.name} = ${n.op}, ${brief(valueAt(n.id, 0, step, moment))}`];
}

/* Above the scrubber: which of its places are forward, gradient, update. */
let phasesOf = null;
function showPhases() {
  if (phasesOf === currentView()) return;
  phasesOf = currentView();
  const runs = [];
  stops().forEach(m => {
    const part = Math.max(0, partAt(m));
    if (runs.length && runs[runs.length - 1][0] === part) runs[runs.length - 1][1]++;
    else runs.push([part, 1]);
  });
  $('phases').replaceChildren(...steps.flatMap(() => runs.map(([part, n]) => el('i', { class: 'p' + part, style: `flex:${n}` }))));
}

function showWhere(announce) {
  const [part, text] = sentence(state.step, state.moment);
  $('where').replaceChildren(part ? el('b', { class: 'p' + PARTS.indexOf(part) }, part + ' ') : '', text);
  $('where').dataset.part = part;
  const list = stops();
  $('scrubber').max = Math.max(0, steps.length * list.length - 1);
  $('scrubber').value = state.step * list.length + list.filter(m => m <= state.moment).length - 1;
  $('scrubber').setAttribute('aria-valuetext', `${part} ${text}`);
  if (announce) $('live').textContent = `${part} ${text}`;
  $('first').disabled = $('back').disabled = state.step === 0 && state.moment === 0;
  $('last').disabled = $('next').disabled = $('play').disabled = !steps.length || (state.step === steps.length - 1 && state.moment === LAST);
}

function showPanel() {
  const where = $('content'), from = where.dataset.tab, scroll = where.scrollTop;
  const open = [...where.querySelectorAll('details')].map(d => d.open), focus = document.activeElement;
  const held = where.contains(focus) ? focus.id || (focus.dataset.rewrite && `[data-rewrite="${focus.dataset.rewrite}"]`) : '';
  const key = `${state.tab} ${state.node} ${state.pass}`;
  const block = chosenBox && chosenBox.nodes.length > 1 && chosenBox.kind === 'block';
  let content;
  if (state.tab === 'passes') content = showPasses();
  else if (state.tab === 'threads') content = showThreads(chosenNodes());
  else if (state.tab === 'memory') content = showMemory(chosenNodes());
  else if (state.tab === 'node' && block && !single) content = showBlock(chosenBox, state.step, state.moment);
  else if (state.tab === 'node' && state.node >= 0) content = showNode(state.node, state.step, state.moment);
  else content = state.tab === 'about' ? showAbout() : [el('p', { class: 'none' }, 'Choose a node: click it, search for it, or walk along the graph with j and k.')];
  where.replaceChildren(...content.flat(9).filter(c => c !== null && c !== undefined && c !== false));
  where.dataset.tab = key;
  if (from === key) {
    where.scrollTop = scroll;
    [...where.querySelectorAll('details')].forEach((d, i) => { d.open = !!open[i]; });
  } else where.scrollTop = 0;
  if (held) (held[0] === '[' ? where.querySelector(held) : $(held))?.focus();
  document.querySelectorAll('#tabs [role=tab]').forEach(t => {
    const on = t.dataset.tab === state.tab;
    t.setAttribute('aria-selected', String(on));
    t.tabIndex = on ? 0 : -1;
  });
}

function render(announce) {
  show(currentSource(), currentSource() === currentView() ? 'view' : 'after');
  paint(state.step, state.moment);
  markBoxes();
  showPanel();
  showWhere(announce);
  showPhases();
  drawLoss(state.step);
  document.querySelectorAll('#views button').forEach(b => b.setAttribute('aria-pressed', String(b.dataset.view === state.view)));
  $('near').value = String(state.near);
  writeAddress();
}

/* ---- what changes the state ---- */

let single = false; /* a member of a block was chosen, not the block */
function set(change, announce = false) {
  Object.assign(state, change);
  render(announce);
}

/* Chooses a node; if the drawing does not have it, one that does is shown. */
function choose(i, fromList = false) {
  single = fromList;
  const view = currentView();
  const has = v => v.boxes.some(b => b.nodes.includes(i));
  const best = has(view) ? view : doc.views.find(has) || view;
  set({ node: i, tab: state.tab === 'passes' && !fromList ? 'passes' : 'node', view: best.name });
  const box = drawing.boxOf.get(i);
  if (box) reveal(box, fromList);
}

function chooseBox(b) {
  single = false;
  if (!b.nodes.length) return;
  const node = b.shown ?? shownNode(b);
  set({ node, tab: state.tab === 'about' || state.tab === 'passes' && drawing.name !== 'after' ? 'node' : state.tab });
  reveal(b, false);
}

/* Moments of a step at which something in the drawing is complete. */
function stops() {
  const v = currentView();
  if (v.stops) return v.stops;
  const boxOf = new Map();
  v.boxes.forEach((b, k) => b.nodes.forEach(n => boxOf.set(n, k)));
  const list = [0];
  order.forEach((n, i) => {
    const box = boxOf.get(n), next = i + 1 < order.length ? boxOf.get(order[i + 1]) : undefined;
    if (box !== undefined && (box !== next || nodes[n].part !== nodes[order[i + 1]].part)) list.push(i + 1);
  });
  if (hasUpdates) list.push(LAST);
  else if (list[list.length - 1] !== LAST) list.push(LAST);
  return v.stops = list;
}

/* The next stop from here, or null at the end. */
function neighbour(direction) {
  const list = stops();
  if (direction > 0) {
    const on = list.find(m => m > state.moment);
    if (on !== undefined) return { step: state.step, moment: on };
    return state.step + 1 < steps.length ? { step: state.step + 1, moment: 0 } : null;
  }
  const back = list.filter(m => m < state.moment).pop();
  if (back !== undefined) return { step: state.step, moment: back };
  return state.step > 0 ? { step: state.step - 1, moment: LAST } : null;
}

function pause() {
  clearTimeout(timer);
  dropTokens();
  playing = false;
  $('play').querySelector('path').setAttribute('d', 'M4 2.5L13 8l-9 5.5z');
  $('play').setAttribute('aria-pressed', 'false');
  $('play').setAttribute('aria-label', 'Play');
}

function goTo(place, announce = true) {
  pause();
  if (place && steps.length) set(place, announce);
}

/* One step on, with tensors that run into the box that computes. */
function advance(duration, then) {
  const place = neighbour(1);
  if (!place) { pause(); return; }
  const box = place.moment > 0 && !isUpdateMoment(place.moment) ? drawing.boxOf.get(order[place.moment - 1]) : null;
  if (box && playing) reveal(box, false);
  fly(box, duration, () => { set(place, !playing); if (then) then(); });
}

function stepOn() {
  pause();
  advance(320);
}

function play() {
  if (playing) { pause(); return; }
  if (state.tab === 'passes') set({ tab: 'about' });
  playing = true;
  $('play').querySelector('path').setAttribute('d', 'M4 3h2.6v10H4zM9.4 3H12v10H9.4z');
  $('play').setAttribute('aria-pressed', 'true');
  $('play').setAttribute('aria-label', 'Pause');
  const beat = () => {
    const pace = 1000 / Number($('speed').value);
    advance(Math.min(700, pace * 0.7), () => { if (playing) timer = setTimeout(beat, stillness.matches ? pace : pace * 0.3); });
  };
  beat();
}

/* The next or previous node along the order of the drawing. */
function walk(direction) {
  const boxes = drawing.boxes, at = chosenBox ? chosenBox.id : direction > 0 ? -1 : boxes.length;
  const next = boxes[Math.min(Math.max(at + direction, 0), boxes.length - 1)];
  chooseBox(next);
  reveal(next, false);
  $('live').textContent = next.element.getAttribute('aria-label') || next.title;
}

function turnTheme() {
  const dark = document.documentElement.dataset.theme !== 'dark';
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  drawMap();
}

/* ---- search ---- */

let found = [], foundAt = 0;
function search() {
  const text = $('search').value.trim().toLowerCase();
  const rank = n => n.name.toLowerCase() === text ? 0 : n.name.toLowerCase().startsWith(text) ? 1 : n.name.toLowerCase().includes(text) ? 2 : (n.op || n.kind).includes(text) ? 3 : 4;
  found = text ? nodes.map(n => [rank(n), n]).filter(r => r[0] < 4).sort((a, b) => a[0] - b[0] || a[1].id - b[1].id).slice(0, 30).map(r => r[1]) : [];
  foundAt = 0;
  $('found').replaceChildren(...(found.length || !text ? found.map((n, i) => el('li', { role: 'option', id: 'found-' + i, 'aria-selected': String(i === 0), on: { pointerdown: e => { e.preventDefault(); take(i); } } }, n.name + ' ', el('small', {}, `${PARTS[n.part]} ${n.op || n.kind}`))) : [el('li', {}, 'nothing has this name or op')]));
  $('found').hidden = !text;
  $('search').setAttribute('aria-expanded', String(!!text));
}

function take(i) {
  if (!found[i]) return;
  pause();
  choose(found[i].id, true);
  $('search').value = '';
  search();
}

function onSearchKey(e) {
  if (e.key === 'Enter') { take(foundAt); canvas.focus(); }
  else if (e.key === 'Escape') { $('search').value = ''; search(); canvas.focus(); }
  else if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
    foundAt = Math.min(Math.max(foundAt + (e.key === 'ArrowDown' ? 1 : -1), 0), found.length - 1);
    [...$('found').children].forEach((li, k) => { li.setAttribute('aria-selected', String(k === foundAt)); if (k === foundAt) li.scrollIntoView({ block: 'nearest' }); });
    $('search').setAttribute('aria-activedescendant', 'found-' + foundAt);
  } else return;
  e.preventDefault();
}

/* ---- keys ---- */

const HELP = [['→ ←', 'one step on, one step back'], ['↓ ↑', 'the same moment of the next, of the previous training step'], ['Space', 'play, pause'], ['Home End', 'to the start, to the end of the run'], ['/', 'search for a node by name or op'], ['j k', 'next and previous node'], ['1 2 3', 'what to draw: blocks, the forward graph, all nodes'], ['n', 'around the chosen node: all, 1, 2 or 4 edges'], ['p', 'the compiler\'s passes; then < > for the next pass'], ['+ − 0', 'zoom; fit the whole graph'], ['d', 'light or dark'], ['Escape', 'choose nothing'], ['?', 'this help']];
const NEARS = [0, 1, 2, 4];
const KEYS = {
  ArrowRight: stepOn,
  ArrowLeft: () => goTo(neighbour(-1)),
  ArrowDown: () => goTo({ step: Math.min(state.step + 1, steps.length - 1), moment: state.moment }),
  ArrowUp: () => goTo({ step: Math.max(state.step - 1, 0), moment: state.moment }),
  ' ': play,
  Home: () => goTo({ step: 0, moment: 0 }),
  End: () => goTo({ step: steps.length - 1, moment: LAST }),
  '/': () => $('search').focus(),
  '?': () => help(),
  j: () => walk(1),
  k: () => walk(-1),
  n: () => set({ near: NEARS[(NEARS.indexOf(state.near) + 1) % 4] }),
  p: () => set({ tab: state.tab === 'passes' ? 'node' : 'passes' }),
  '>': () => set({ tab: 'passes', pass: Math.min(state.pass + 1, doc.passes.length), rewrite: -1 }),
  '<': () => set({ tab: 'passes', pass: Math.max(state.pass - 1, 0), rewrite: -1 }),
  '+': () => zoom(1.25),
  '=': () => zoom(1.25),
  '-': () => zoom(0.8),
  0: () => { fit(true); move(); },
  d: turnTheme,
  Escape: () => { pause(); set({ node: -1, near: 0 }); },
};
doc.views.forEach((v, i) => { KEYS[i + 1] = () => changeView(v.name); });

function changeView(name) { pause(); set({ view: name, tab: state.tab === 'passes' ? 'node' : state.tab }); }

function onKey(e) {
  const at = e.target, typing = at.matches('input[type=search], select, textarea');
  if (e.ctrlKey || e.metaKey || e.altKey || $('helping').open || typing) return;
  const slides = at.matches('input[type=range]') && /^(Arrow|Home|End|Page)/.test(e.key);
  const presses = at.matches('button, summary, [role=tab]') && (e.key === ' ' || e.key === 'Enter');
  const reads = at.closest('#content, .scroll') && !at.matches('input') && /^(Arrow(Up|Down)|Home|End| )$/.test(e.key);
  if (slides || presses || reads || !KEYS[e.key]) return;
  e.preventDefault();
  KEYS[e.key]();
}

function help() {
  $('helping').replaceChildren(el('h2', {}, 'Keys'), el('table', {}, el('tbody', {}, HELP.map(([keys, text]) => el('tr', {}, el('td', {}, keys.split(' ').flatMap(k => [el('kbd', {}, k), ' '])), el('td', {}, text))))),
    el('p', {}, 'The address of the page holds its state: copy it to show somebody what you see.'),
    el('form', { method: 'dialog' }, el('button', {}, 'Close')));
  $('helping').showModal();
}

/* ---- setting up ---- */

function setUpTabs() {
  $('tabs').append(...TABS.map(([name, title]) => el('button', { type: 'button', role: 'tab', 'data-tab': name, 'aria-controls': 'content', on: {
    click: () => set({ tab: name }),
    keydown: e => {
      const turn = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!turn) return;
      e.preventDefault();
      e.stopPropagation();
      const i = (TABS.findIndex(t => t[0] === state.tab) + turn + TABS.length) % TABS.length;
      set({ tab: TABS[i][0] });
      $('tabs').children[i].focus();
    },
  } }, title)));
}

function setUpPlayer() {
  $('scrubber').disabled = !steps.length;
  $('scrubber').addEventListener('input', e => {
    const list = stops();
    goTo({ step: Math.floor(e.target.value / list.length), moment: list[e.target.value % list.length] }, false);
  });
  $('first').onclick = KEYS.Home;
  $('back').onclick = KEYS.ArrowLeft;
  $('play').onclick = play;
  $('next').onclick = stepOn;
  $('last').onclick = KEYS.End;
}

function setUpDrawing() {
  const parts = new Set(doc.views.flatMap(v => v.boxes.map(b => b.part)));
  const sign = (kind, part) => svg('svg', { viewBox: '-13 -7 26 14', class: 'box done p' + part }, outline(kind, part, 24, 12));
  $('legend').append(...[['input', 0, 'input'], ['variable', 0, 'variable'], ['op', 0, 'forward'], ['op', 1, 'gradient'], ['op', 2, 'update']]
    .filter(l => parts.has(l[1])).map(([kind, part, text]) => el('span', {}, sign(kind, part), text)));
  $('views').append(...doc.views.map((v, i) => el('button', { type: 'button', 'data-view': v.name, title: `${v.title}  ${i + 1}`, on: { click: () => changeView(v.name) } }, v.title)));
  $('views').hidden = doc.views.length < 2;
  canvas.addEventListener('click', e => {
    const g = e.target.closest('.box');
    if (moved > 4) return;
    if (g) chooseBox(drawing.boxes[g.dataset.box]);
    else if (state.node >= 0) set({ node: -1, near: 0 });
  });
  canvas.addEventListener('pointerover', e => {
    const g = e.target.closest('.box'), tip = $('tip');
    tip.hidden = !g || e.pointerType === 'touch';
    if (tip.hidden) return;
    const b = drawing.boxes[g.dataset.box], n = b.nodes.length ? nodes[b.shown ?? shownNode(b)] : null, op = n && n.op && doc.ops[n.op];
    tip.replaceChildren(...[el('b', {}, b.title), el('br'), b.subtitle,
      op && op.formula && b.kind !== 'block' ? [el('br'), el('code', {}, op.formula)] : [],
      b.value ? [el('br'), b.value.textContent] : []].flat());
    const box = g.getBoundingClientRect(), frameBox = stage.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(box.left - frameBox.left, frameBox.width - tip.offsetWidth - 4)) + 'px';
    const below = box.bottom - frameBox.top + 6;
    tip.style.top = (below + tip.offsetHeight < frameBox.height ? below : Math.max(4, box.top - frameBox.top - tip.offsetHeight - 6)) + 'px';
  });
  canvas.addEventListener('pointerleave', () => { $('tip').hidden = true; });
  $('zoom-in').onclick = KEYS['+'];
  $('zoom-out').onclick = KEYS['-'];
  $('zoom-fit').onclick = KEYS[0];
}

document.documentElement.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
document.title = doc.graph.name + ' – rill explorer';
$('name').replaceChildren(doc.graph.name, ' ', el('small', {}, doc.run.training ? 'a training step, tensor by tensor' : 'tensor by tensor'));
setUpTabs();
setUpPlayer();
setUpDrawing();
$('search').addEventListener('input', search);
$('search').addEventListener('keydown', onSearchKey);
$('search').addEventListener('blur', () => { $('found').hidden = true; });
$('near').addEventListener('change', e => set({ near: Number(e.target.value) }));
$('theme').onclick = turnTheme;
$('help').onclick = help;
document.addEventListener('keydown', onKey);
window.addEventListener('hashchange', () => { readAddress(); render(false); });
new ResizeObserver(() => { refit(); drawLoss(state.step); }).observe(stage);
readAddress();
render(false);
if (state.node >= 0 && drawing.boxOf.get(state.node)) reveal(drawing.boxOf.get(state.node), false);
