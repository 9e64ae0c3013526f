/* graph.js: the drawing: boxes and lines where the document says they are, pan and zoom, tokens that
 * run along the lines, and the small map. What is shown is `drawing`; it is a view of the graph, or
 * the graph as a pass of the compiler leaves it. */
const canvas = document.getElementById('drawing'), stage = document.getElementById('stage');
const stillness = matchMedia('(prefers-reduced-motion: reduce)');
let drawing = null;

/* ---- making ---- */

/* The outline of a box: its kind in shape. */
function outline(kind, part, w, h) {
  const x = -w / 2, y = -h / 2, r = h / 2;
  if (kind === 'input') return svg('rect', { class: 'shape', x, y, width: w, height: h, rx: r });
  if (kind === 'variable') {
    const e = 4;
    return svg('path', { class: 'shape', d: `M${x} ${y + e}a${w / 2} ${e} 0 0 1 ${w} 0v${h - 2 * e}a${w / 2} ${e} 0 0 1 ${-w} 0zm0 0a${w / 2} ${e} 0 0 0 ${w} 0` });
  }
  if (kind === 'constant') return svg('rect', { class: 'shape', x, y, width: w, height: h });
  if (part === 1) return svg('path', { class: 'shape', d: `M${x + 9} ${y}H${-x}l-9 ${h}H${x}z` });
  if (part === 2) return svg('path', { class: 'shape', d: `M${x + 9} ${y}H${-x - 9}L${-x} 0l-9 ${h / 2}H${x + 9}L${x} 0z` });
  return svg('rect', { class: 'shape', x, y, width: w, height: h, rx: 8 });
}

/* Text of at most so many characters, cut in the middle, and squeezed if the font is a wide one. */
function label(text, cls, y, width, most) {
  const cut = text.length > most ? text.slice(0, most / 2) + '…' + text.slice(1 - most / 2) : text;
  const t = svg('text', { class: cls, y });
  t.textContent = cut;
  t.fit = width;
  return t;
}

function makeBox(from, i, hasValues) {
  const g = svg('g', {
    class: `box p${from.part} k-${from.kind}` + (from.fresh ? ' fresh' : ''), role: 'button', tabindex: -1,
    transform: `translate(${from.x} ${from.y})`, 'data-name': from.title, 'data-box': i,
  });
  const lines = 1 + (from.subtitle ? 1 : 0) + (hasValues ? 1 : 0), top = (lines === 1 ? 4 : lines === 2 ? -4 : -11) + (from.kind === 'variable' ? 3 : 0);
  const inner = from.w - (from.part && from.kind !== 'variable' ? 22 : 14);
  g.append(outline(from.kind, from.part, from.w, from.h));
  const texts = [label(from.title, 'title', top, inner, 30)];
  if (from.subtitle) texts.push(label(from.subtitle, 'subtitle', top + 15, inner, 40));
  if (hasValues) texts.push(label('', 'value', top + 30, inner, 30));
  g.append(...texts);
  return { ...from, id: i, element: g, texts, value: hasValues ? texts[texts.length - 1] : null, inLines: [], outLines: [] };
}

function makeDrawing(source, name) {
  const hasValues = name !== 'after', d = { name, source, width: source.width, height: source.height, root: svg('g', {}), boxOf: new Map() };
  d.boxes = source.boxes.map((b, i) => makeBox(b, i, hasValues));
  d.lines = source.lines.map(l => ({ ...l, element: svg('path', { class: 'wire', d: l.path, 'marker-end': 'url(#arrow)' }) }));
  d.lines.forEach(l => { d.boxes[l.to].inLines.push(l); d.boxes[l.from].outLines.push(l); });
  d.boxes.forEach(b => b.nodes.forEach(n => { if (!d.boxOf.has(n)) d.boxOf.set(n, b); }));
  d.root.append(...d.lines.map(l => l.element), ...d.boxes.map(b => b.element));
  d.tokens = svg('g', { 'aria-hidden': 'true' });
  d.root.append(d.tokens);
  return d;
}

/* Wide fonts: what does not fit is squeezed. A canvas measures much faster than the drawing does. */
const ruler = document.createElement('canvas').getContext('2d');
function fitTexts(texts) {
  const fonts = {};
  texts.forEach(t => {
    const cls = t.getAttribute('class');
    if (!fonts[cls]) { const c = getComputedStyle(t); fonts[cls] = `${c.fontStyle} ${c.fontWeight} ${c.fontSize} ${c.fontFamily}`; }
    ruler.font = fonts[cls];
    if (ruler.measureText(t.textContent).width > t.fit) { t.setAttribute('textLength', t.fit); t.setAttribute('lengthAdjust', 'spacingAndGlyphs'); }
    else if (t.hasAttribute('textLength')) t.removeAttribute('textLength');
  });
}

const made = new Map();
function show(source, name) {
  if (drawing && drawing.source === source) return false;
  if (!made.has(source)) made.set(source, makeDrawing(source, name));
  if (drawing) drawing.place = { ...frame };
  drawing = made.get(source);
  const arrow = svg('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7.5, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: 'userSpaceOnUse', orient: 'auto-start-reverse' }, svg('path', { d: 'M0 0L8 4L0 8z', fill: 'var(--wire)' }));
  canvas.replaceChildren(svg('defs', {}, arrow), drawing.root);
  if (!drawing.fitted) fitTexts(drawing.boxes.flatMap(b => b.texts));
  drawing.fitted = true;
  if (drawing.place) frame = drawing.place; else fit(false);
  move();
  return true;
}

/* ---- what is computed ---- */

/* The node whose value a box shows: the last that is computed, for an update what becomes of the
 * variable. */
function shownNode(b) {
  const ops = b.nodes.filter(i => nodes[i].kind === 'op');
  if (b.part === 2 && b.kind === 'block') {
    const next = ops.find(i => doc.graph.updates.some(u => u[1] === i && nodes[u[0]].trainable));
    if (next !== undefined) return next;
  }
  return ops.length ? ops[ops.length - 1] : b.nodes[0];
}

/* Marks what is computed, and what was just now. */
function paint(step, moment) {
  const at = moment > 0 && !isUpdateMoment(moment) ? order[moment - 1] : -1;
  const changed = [];
  drawing.boxes.forEach(b => {
    if (!b.value) return;
    const node = b.shown ?? (b.shown = shownNode(b)), value = valueAt(node, 0, step, moment);
    const text = brief(value), isNow = b.nodes.includes(at) || (isUpdateMoment(moment) && b.nodes.some(n => nextOf.has(n)));
    if (b.value.textContent !== text) { b.value.textContent = text; changed.push(b.value); }
    b.element.classList.toggle('done', value !== null);
    b.element.classList.toggle('now', isNow);
    b.element.dataset.state = value !== null ? 'computed' : 'not computed';
    b.element.setAttribute('aria-label', `${PARTS[b.part]} ${b.kind} ${b.title}, ${b.subtitle}, ${text}`);
  });
  drawing.lines.forEach(l => l.element.classList.toggle('hot', drawing.boxes[l.to].element.classList.contains('now') && moment > 0 && !isUpdateMoment(moment)));
  fitTexts(changed);
}

/* ---- tokens ---- */

let flight = 0;
function dropTokens() {
  cancelAnimationFrame(flight);
  if (drawing) drawing.tokens.replaceChildren();
}

function token(part) {
  if (part === 1) return svg('path', { class: 'token p1', d: 'M0-7L7 0L0 7L-7 0z' });
  if (part === 2) return svg('rect', { class: 'token p2', x: -6, y: -6, width: 12, height: 12 });
  return svg('circle', { class: 'token p0', r: 7 });
}

/* Tensors run along the lines into a box; `done` is called when they are there. */
function fly(box, duration, done) {
  dropTokens();
  const lines = box ? box.inLines.slice(0, 24) : [];
  if (stillness.matches || !lines.length || duration < 60) { done(); return; }
  const runs = lines.map(l => ({ path: l.element, length: l.element.getTotalLength(), token: token(drawing.boxes[l.from].part) }));
  drawing.tokens.append(...runs.map(r => r.token));
  const start = performance.now();
  const frameStep = now => {
    const t = Math.min(1, (now - start) / duration), eased = t * t * (3 - 2 * t);
    runs.forEach(r => {
      const p = r.path.getPointAtLength(r.length * eased);
      r.token.setAttribute('transform', `translate(${p.x} ${p.y})`);
    });
    if (t < 1) { flight = requestAnimationFrame(frameStep); return; }
    dropTokens();
    done();
  };
  frameStep(start);
}

/* ---- pan and zoom ---- */

/* The part of the drawing that is seen: its upper left corner and the zoom. */
let frame = { x: 0, y: 0, k: 1 };
function size() { return [stage.clientWidth || 1, stage.clientHeight || 1]; }

function move() {
  drawing.root.setAttribute('transform', `scale(${frame.k}) translate(${-frame.x} ${-frame.y})`);
  drawMap();
}

/* The frame that fit() chose last, and for what. */
let fitted = {};

/* All of it, or as much as can be read, from where the values come in. */
function fit(whole) {
  const [w, full] = size(), h = full - 34 /* the legend's */, margin = 20;
  const all = Math.min((w - 44) / (drawing.width + 2 * margin), h / (drawing.height + 2 * margin), 1.6);
  const legible = Math.min(0.9, Math.max(0.5, w / 1550)), k = whole || all > 0.74 * legible ? all : legible;
  const start = drawing.boxes.find(b => b.kind === 'input') || drawing.boxes[0];
  frame = { k, x: drawing.width / 2 - (w - 44) / k / 2, y: drawing.height / 2 - h / k / 2 };
  if (k * (drawing.width + 2 * margin) > w) frame.x = Math.min(Math.max(start.x - w / k / 2, -margin), drawing.width + margin - w / k);
  if (k * (drawing.height + 2 * margin) > h) frame.y = Math.max(start.y - h / k / 3, -margin);
  fitted = { ...frame, whole };
}

/* After a change of size; what was moved by hand stays. */
function refit() {
  if (['x', 'y', 'k'].every(p => fitted[p] === frame[p])) fit(fitted.whole);
  move();
}

function zoom(factor, cx, cy) {
  const [w, h] = size(), k = Math.min(4, Math.max(0.02, frame.k * factor));
  const px = cx ?? w / 2, py = cy ?? h / 2;
  frame.x += px / frame.k - px / k;
  frame.y += py / frame.k - py / k;
  frame.k = k;
  move();
}

/* A corner of the frame for which little outside of the drawing is seen. */
function within(at, length, seen) {
  const margin = 40, most = length + margin - seen / frame.k;
  return most < -margin ? (length - seen / frame.k) / 2 : Math.min(Math.max(at, -margin), most);
}

/* Brings a box into sight. */
function reveal(b, centre) {
  const [w, h] = size(), x = (b.x - frame.x) * frame.k, y = (b.y - frame.y) * frame.k;
  if (!centre && x > b.w / 2 * frame.k && x < w - b.w / 2 * frame.k && y > 30 && y < h - 40) return;
  if (frame.k < 0.5 && centre) frame.k = 0.8;
  frame.x = within(b.x - w / frame.k / 2, drawing.width, w);
  frame.y = within(b.y - h / frame.k / 2, drawing.height, h);
  move();
}

const pointers = new Map();
let moved = 0;
canvas.addEventListener('pointerdown', e => {
  pointers.set(e.pointerId, e);
  moved = 0;
});
canvas.addEventListener('pointermove', e => {
  const was = pointers.get(e.pointerId);
  if (!was) return;
  if (pointers.size === 2) {
    const other = [...pointers.values()].find(p => p.pointerId !== e.pointerId), box = canvas.getBoundingClientRect();
    const before = Math.hypot(was.clientX - other.clientX, was.clientY - other.clientY), now = Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
    if (before > 0) zoom(now / before, (e.clientX + other.clientX) / 2 - box.left, (e.clientY + other.clientY) / 2 - box.top);
  } else {
    frame.x -= (e.clientX - was.clientX) / frame.k;
    frame.y -= (e.clientY - was.clientY) / frame.k;
    move();
  }
  moved += Math.abs(e.clientX - was.clientX) + Math.abs(e.clientY - was.clientY);
  if (moved > 4 && !canvas.hasPointerCapture(e.pointerId)) canvas.setPointerCapture(e.pointerId);
  pointers.set(e.pointerId, e);
});
['pointerup', 'pointercancel', 'pointerleave'].forEach(type => canvas.addEventListener(type, e => pointers.delete(e.pointerId)));
canvas.addEventListener('wheel', e => {
  e.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-e.deltaY * 0.0015), e.clientX - box.left, e.clientY - box.top);
}, { passive: false });

/* ---- the map ---- */

const map = document.getElementById('map');
function drawMap() {
  const [w, h] = size(), all = Math.min(w / drawing.width, h / drawing.height);
  map.hidden = frame.k <= all * 1.15;
  if (map.hidden) return;
  const k = Math.min(150 / drawing.width, 110 / drawing.height), context = map.getContext('2d');
  map.width = 150;
  map.height = 110;
  const style = getComputedStyle(document.documentElement), hues = ['--forward', '--gradient', '--update'].map(v => style.getPropertyValue(v));
  drawing.boxes.forEach(b => {
    context.fillStyle = hues[b.part];
    context.fillRect((b.x - b.w / 2) * k, (b.y - b.h / 2) * k, Math.max(1, b.w * k), Math.max(1, b.h * k));
  });
  context.strokeStyle = style.getPropertyValue('--ink');
  context.strokeRect(frame.x * k, frame.y * k, w / frame.k * k, h / frame.k * k);
}
map.addEventListener('pointerdown', e => {
  const k = Math.min(150 / drawing.width, 110 / drawing.height), [w, h] = size();
  frame.x = e.offsetX / k - w / frame.k / 2;
  frame.y = e.offsetY / k - h / frame.k / 2;
  move();
});
