/* charts.js: the loss beside the scrubber, what threads did, and who has which bytes. */

/* ---- loss ---- */

const lossPlace = document.getElementById('loss');
function drawLoss(step) {
  const figure = doc.run.figures[0];
  lossPlace.hidden = !figure || !steps.length;
  if (lossPlace.hidden) return;
  const k = steps[step].step - 1, words = doc.run.figures.map(f => `${f.name.replaceAll('_', ' ')} ${short(number(f.values[k]), 5)}`);
  const text = `step ${k + 1}: ${words.join(', ')}`, place = el('div', { id: 'curve' });
  lossPlace.replaceChildren(el('p', {}, text), place);
  lossPlace.setAttribute('aria-label', `${figure.name} of each step; ${text}`);
  place.append(curve(figure.values.map(number), step, Math.max(120, place.clientWidth), Math.max(40, place.clientHeight)));
}

/* A number for each step of the training; recorded steps have a mark, and the current one a larger. */
function curve(v, step, w, h) {
  const finite = v.filter(Number.isFinite), left = 46, margin = 9;
  let low = Math.min(...finite), high = Math.max(...finite);
  if (!(high > low)) { low -= 0.5; high += 0.5; }
  const x = i => left + (v.length > 1 ? i / (v.length - 1) : 0.5) * (w - left - 10), y = u => margin + (high - u) / (high - low) * (h - 2 * margin);
  const chart = svg('svg', { class: 'chart', width: w, height: h, viewBox: `0 0 ${w} ${h}` });
  [low, high].forEach(u => {
    const t = svg('text', { x: left - 5, y: y(u) + 4, 'text-anchor': 'end' });
    t.textContent = short(u, 3);
    chart.append(svg('line', { class: 'grid', x1: left, x2: w - 6, y1: y(u), y2: y(u) }), t);
  });
  let path = '';
  v.forEach((u, i) => { if (Number.isFinite(u)) path += (path && Number.isFinite(v[i - 1]) ? 'L' : 'M') + x(i).toFixed(1) + ' ' + y(u).toFixed(1); });
  chart.append(svg('path', { class: 'curve', d: path }));
  steps.forEach((s, i) => {
    const u = v[s.step - 1];
    if (Number.isFinite(u)) chart.append(svg('circle', { class: i === step ? 'now' : 'mark', cx: x(s.step - 1), cy: y(u), r: i === step ? 6 : 3.5 }));
  });
  return chart;
}

/* ---- threads ---- */

function partOfStep(s) { return s.node >= 0 ? nodes[s.node].part : 0; }

function pickable(element, text, node, click) {
  element.append(svg('title', {}, text));
  element.style.cursor = 'pointer';
  element.addEventListener('click', () => { if (node >= 0) click(node); });
  return element;
}

function showThreads(chosen) {
  const p = doc.program;
  if (!p) return [el('p', { class: 'none' }, 'Nothing was run, so nothing was timed.')];
  const lane = 34, left = 22, h = p.threads * lane + 22, w = 900;
  const chart = svg('svg', { class: 'chart', viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label': 'which thread ran which step', style: `min-width:${w}px` });
  const x = t => left + t / p.time * (w - left - 8);
  for (let i = 0; i < p.threads; i++) {
    const t = svg('text', { x: 2, y: i * lane + 22 });
    t.textContent = i;
    chart.append(t, svg('line', { class: 'grid', x1: left, x2: w, y1: (i + 1) * lane, y2: (i + 1) * lane }));
  }
  p.events.forEach(([worker, s, start, end]) => {
    const step = p.steps[s], hit = chosen.has(step.node);
    chart.append(pickable(svg('rect', { class: `bar p${partOfStep(step)}` + (hit ? ' of' : ''), x: x(start), y: worker * lane + 4, width: Math.max(1, x(end) - x(start)), height: lane - 8 }),
      `${step.name}: ${step.op}, kernel ${step.kernel}, ${time(end - start)}`, step.node, choose));
  });
  [0, 0.5, 1].forEach(f => {
    const t = svg('text', { x: x(f * p.time), y: h - 6, 'text-anchor': f === 1 ? 'end' : f ? 'middle' : 'start' });
    t.textContent = time(Math.round(f * p.time));
    chart.append(t);
  });
  const busiest = p.steps.map((s, i) => [s, p.events.filter(e => e[1] === i).reduce((a, e) => a + e[3] - e[2], 0)]).sort((a, b) => b[1] - a[1]).slice(0, 12);
  return [el('h2', {}, 'Threads'), el('p', {}, `One run as the compiler has made it: ${p.steps.length} steps on ${p.threads} thread${p.threads === 1 ? '' : 's'}, ${time(p.time)}. Each bar is what a thread did of a step in one go; thread 0 is the caller's.` + (p.left_out ? ` ${p.left_out} bars are left out.` : '')),
    el('div', { class: 'scroll', tabindex: 0 }, chart),
    el('h3', {}, 'Longest steps'),
    el('table', { class: 'facts' }, el('tbody', {}, busiest.map(([s, t]) => el('tr', {}, el('td', { class: 'mono' }, time(t)),
      el('td', {}, s.node >= 0 ? el('ul', { class: 'links' }, nodeButton(s.node, s.name)) : s.name), el('td', { class: 'mono' }, `${s.op}, ${s.kernel}`)))))];
}

/* ---- memory ---- */

function showMemory(chosen) {
  const p = doc.program;
  if (!p) return [el('p', { class: 'none' }, 'Nothing was run, so nothing was placed.')];
  const w = 640, h = 300, n = p.steps.length || 1, chart = svg('svg', { class: 'chart', viewBox: `0 0 ${w} ${h + 20}`, role: 'img', 'aria-label': 'bytes of the arena over the steps of the run' });
  const x = s => s / n * w, y = b => h - b / Math.max(1, p.arena) * h;
  p.buffers.forEach(b => {
    const s = p.steps[b.first], hit = chosen.has(s.node);
    chart.append(pickable(svg('rect', { class: `bar p${partOfStep(s)}` + (hit ? ' of' : ''), x: x(b.first), width: Math.max(1.5, x(Math.min(b.last + 1, n)) - x(b.first)), y: y(b.offset + b.bytes), height: Math.max(1, b.bytes / Math.max(1, p.arena) * h) }),
      `${s.name}: ${b.type}, ${bytes(b.bytes)} at byte ${b.offset}, from step ${b.first} to ${b.last}`, s.node, choose));
  });
  const t = svg('text', { x: 0, y: h + 15 }), u = svg('text', { x: w, y: h + 15, 'text-anchor': 'end' });
  t.textContent = 'first step';
  u.textContent = 'last step';
  chart.append(svg('rect', { x: 0, y: 0, width: w, height: h, fill: 'none', class: 'grid' }), t, u);
  const largest = [...p.buffers].sort((a, b) => b.bytes - a.bytes).slice(0, 12);
  return [el('h2', {}, 'Memory'), el('p', {}, `The arena has ${bytes(p.arena)}; without sharing, the ${p.buffers.length} results would take ${bytes(p.unshared)}. A result holds its bytes from the step that writes it to the last one that reads it; then others get them.`),
    chart, el('h3', {}, 'Largest results'),
    el('table', { class: 'facts' }, el('tbody', {}, largest.map(b => el('tr', {}, el('td', { class: 'mono' }, bytes(b.bytes)), el('td', { class: 'mono' }, b.type),
      el('td', {}, p.steps[b.first].node >= 0 ? el('ul', { class: 'links' }, nodeButton(p.steps[b.first].node, p.steps[b.first].name)) : p.steps[b.first].name)))))];
}
