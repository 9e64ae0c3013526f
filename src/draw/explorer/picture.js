/* picture.js: tensors as colours. Values on both sides of zero go from blue over white to orange,
 * others from dark to light (after cividis); both are safe for the colour-blind. */
const DIVERGING = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 30], [127, 39, 4]];
const SEQUENTIAL = [[0, 32, 76], [66, 78, 107], [124, 123, 120], [187, 175, 113], [255, 234, 70]];
const NOT_A_NUMBER = [230, 0, 160];

function mix(stops, t) {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * (at - i)));
}

/* Colours of a range: value -> [r, g, b]. */
function colours(low, high) {
  if (low < 0 && high > 0) {
    const most = Math.max(-low, high);
    return v => Number.isNaN(v) ? NOT_A_NUMBER : mix(DIVERGING, (v / most + 1) / 2);
  }
  return v => Number.isNaN(v) ? NOT_A_NUMBER : mix(SEQUENTIAL, high > low ? (v - low) / (high - low) : 0.5);
}

function css(rgb) { return 'rgb(' + rgb.join(',') + ')'; }
function isDark(rgb) { return rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11 < 140; }

/* Draws n tiles of w x h pixels; at(tile, i, j) is a value. */
function tiles(n, w, h, at, colour, label) {
  const across = Math.min(n, Math.ceil(1.2 * Math.sqrt(n * h / w)));
  const gap = n > 1 ? 1 : 0, down = Math.ceil(n / across);
  const canvas = el('canvas', { class: 'picture', role: 'img', 'aria-label': label });
  canvas.width = across * (w + gap) - gap;
  canvas.height = down * (h + gap) - gap;
  const context = canvas.getContext('2d'), image = context.createImageData(canvas.width, canvas.height);
  for (let k = 0; k < n; k++)
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++) {
        const y = Math.floor(k / across) * (h + gap) + i, x = (k % across) * (w + gap) + j;
        image.data.set([...colour(at(k, i, j)), 255], 4 * (y * canvas.width + x));
      }
  context.putImageData(image, 0, 0);
  const zoom = Math.max(1, Math.min(18, Math.floor(300 / canvas.width), Math.floor(300 / canvas.height)));
  canvas.style.width = canvas.width * zoom + 'px';
  return canvas;
}

function scaleBar(low, high) {
  const canvas = el('canvas', { 'aria-hidden': 'true' }), colour = colours(low, high);
  canvas.width = 64;
  canvas.height = 1;
  const context = canvas.getContext('2d');
  for (let i = 0; i < 64; i++) {
    context.fillStyle = css(colour(low + (high - low) * i / 63));
    context.fillRect(i, 0, 1, 1);
  }
  return el('div', { class: 'scale' }, short(low), canvas, short(high));
}

/* The picture that the document has of a large tensor. */
function recordedPicture(p) {
  const raw = atob(p.pixels), low = number(p.low), high = number(p.high);
  const value = b => b === 255 ? NaN : low + (high - low) * b / 254;
  const at = (k, i, j) => value(raw.charCodeAt((k * p.height + i) * p.width + j));
  const about = (p.of > p.tiles ? `${p.tiles} of ${p.of} ` : p.of > 1 ? `${p.of} ` : '') + p.what +
    (p.scale > 1 ? `, each pixel the mean of ${p.scale} × ${p.scale} elements` : '');
  return [el('p', { class: 'none' }, about), tiles(p.tiles, p.width, p.height, at, colours(low, high), about),
    scaleBar(low, high)];
}

/* All elements of a small tensor, as a table of coloured numbers, or as a picture with more than that. */
function wholePicture(value) {
  const n = count(value.shape), w = value.shape.length ? value.shape[value.shape.length - 1] : 1, h = n / w;
  const [low, high] = range(value), colour = colours(low, high), v = value.data.map(number);
  if (n > 144 || w > 16 || value.shape.length > 2)
    return [tiles(1, w, h, (k, i, j) => v[i * w + j], colour, `heat map of ${h} by ${w} values`), scaleBar(low, high)];
  const row = i => el('tr', {}, Array.from({ length: w }, (_, j) => {
    const c = colour(v[i * w + j]);
    return el('td', { style: `background:${css(c)};color:${isDark(c) ? '#fff' : '#111'}` }, short(value.data[i * w + j]));
  }));
  return [el('div', { class: 'scroll' }, el('table', { class: 'numbers mono' },
    el('tbody', {}, Array.from({ length: h }, (_, i) => row(i))))), n > 1 ? scaleBar(low, high) : null];
}

function histogram(stats) {
  const most = Math.max(...stats.histogram), n = stats.histogram.length;
  const chart = svg('svg', { class: 'chart', viewBox: '0 0 240 54', role: 'img', 'aria-label': 'histogram', style: 'max-width:320px' });
  stats.histogram.forEach((c, i) => chart.append(svg('rect', { class: 'bar', style: '--c:var(--soft)', x: i * 240 / n, width: 240 / n - 1, y: 40 - 40 * c / most, height: 40 * c / most })));
  chart.append(svg('text', { x: 0, y: 52 }, short(stats.min)), svg('text', { x: 240, y: 52, 'text-anchor': 'end' }, short(stats.max)));
  return chart;
}

/* All that there is to see of a value. `name` and `type` are for the line with every digit. */
function showValue(value, name, type) {
  if (!value) return [el('p', { class: 'none' }, 'not computed')];
  const out = [];
  if (count(value.shape) === 0) return [el('p', { class: 'none' }, 'no elements')];
  if (value.picture) out.push(...recordedPicture(value.picture));
  else if (isWhole(value)) out.push(...wholePicture(value));
  if (value.stats) {
    const s = value.stats;
    out.push(el('table', { class: 'facts' }, el('tbody', {},
      [['least', s.min], ['largest', s.max], ['mean', s.mean], ['standard deviation', s.std], ['zeros', s.zeros]]
        .concat(s.nan ? [['NaN', s.nan]] : [], s.inf ? [['infinite', s.inf]] : [])
        .filter(r => r[1] !== undefined).map(r => el('tr', {}, el('th', {}, r[0]), el('td', {}, short(r[1], 6)))))));
    if (s.histogram) out.push(histogram(s));
  }
  const dtype = type.split('[')[0];
  const line = isWhole(value) ? `${name}: ${dtype}[${value.shape.join(',')}] = ${exact(value)}`
    : `${name}: ${dtype}[${value.shape.join(',')}], begins ${value.data.join(', ')} …`;
  out.push(el('details', {}, el('summary', {}, isWhole(value) ? 'every digit' : 'first elements'), el('pre', { class: 'exact' }, line)));
  return out;
}
