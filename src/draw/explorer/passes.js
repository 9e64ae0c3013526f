/* passes.js: the compiler's passes, one after the other, and each rewrite with its reason. */

/* The graph as it is after pass k (from 1 on): the last one that was drawn. */
function graphAfter(k) {
  for (let i = k - 1; i >= 0; i--) if (doc.passes[i].after) return doc.passes[i].after;
  return null;
}

function difference(text) {
  return el('pre', {}, text.split('\n').filter(Boolean).map(line =>
    el('span', { class: line[0] === '-' ? 'minus' : 'plus' }, line + '\n')));
}

function showRewrite(r, i) {
  const open = state.rewrite === i;
  const saved = [r.flops > 0 ? `${short(r.flops, 3)} operations` : '', r.bytes > 0 ? bytes(r.bytes) + ' moved' : ''].filter(Boolean).join(', ');
  return el('li', {}, el('button', { type: 'button', 'aria-expanded': String(open), 'data-rewrite': i, on: { click: () => chooseRewrite(open ? -1 : i) } },
    el('b', {}, r.rule), ' — ' + r.reason + (saved ? ` Saves ${saved}.` : '')), open ? difference(r.diff) : null);
}

function chooseRewrite(i) {
  set({ rewrite: i });
  const at = drawing.boxes.find(b => b.element.classList.contains('touched'));
  if (at) reveal(at, false);
}

function showPasses() {
  const k = state.pass, pass = doc.passes[k - 1];
  const slider = el('input', { type: 'range', class: 'wide', id: 'pass', min: 0, max: doc.passes.length, step: 1, 'aria-label': 'Pass of the compiler', 'aria-valuetext': pass ? pass.name : 'as drawn', on: { input: e => set({ pass: Number(e.target.value), rewrite: -1 }) } });
  slider.value = k;
  const head = [el('h2', {}, 'What the compiler does'), slider,
    el('p', { id: 'pass-name' }, el('b', {}, k ? `${k} of ${doc.passes.length}: ${pass.name}` : 'The graph as it was drawn'), k ? ` (${pass.class === '-' ? 'always runs' : 'class ' + pass.class}) ${pass.nodes_before} → ${pass.nodes_after} nodes` : '')];
  if (!k) return [...head, el('p', {}, 'Move the slider: each pass reads a graph and makes a new one. Class A keeps every bit; class B stays within a bound.'),
    el('table', { class: 'facts' }, el('tbody', {}, doc.passes.map((p, i) => el('tr', {}, el('td', {}, el('ul', { class: 'links' }, el('li', {}, el('button', { type: 'button', on: { click: () => set({ pass: i + 1, rewrite: -1 }) } }, p.name)))), el('td', {}, p.n_rewrites || ''), el('td', {}, p.summary)))))];
  return [...head, el('p', {}, pass.summary),
    el('p', { class: 'none' }, pass.after ? 'The drawing is the graph after this pass; boxes with a heavy edge are new.' : graphAfter(k) ? 'The drawing is the graph as an earlier pass left it.' : 'The graph is too large to be drawn after each pass.'),
    el('h3', {}, pass.n_rewrites === 1 ? 'One rewrite' : pass.n_rewrites ? `${pass.n_rewrites} rewrites` : 'No rewrites'),
    el('ul', { class: 'rewrites' }, pass.rewrites.map(showRewrite)),
    pass.n_rewrites > pass.rewrites.length ? el('p', { class: 'none' }, `${pass.n_rewrites - pass.rewrites.length} more are left out.`) : null];
}
