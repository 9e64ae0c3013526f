/* format.js: numbers and elements as text and HTML. */
function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === 'on') for (const [type, f] of Object.entries(value)) e.addEventListener(type, f);
    else if (value !== false && value !== null && value !== undefined) e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined && c !== false));
  return e;
}

const SVG = 'http://www.w3.org/2000/svg';
function svg(tag, attributes, ...children) {
  const e = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

/* A few digits, for looking; "nan" and the infinities are strings in the document. */
function short(v, digits = 4) {
  if (typeof v !== 'number') return String(v);
  if (Number.isInteger(v) && Math.abs(v) < 1e6) return String(v).replace('-', '−');
  let s = v.toPrecision(digits);
  if (s.includes('e')) s = s.replace(/\.?0+e/, 'e').replace('e+', 'e');
  else if (s.includes('.')) s = s.replace(/\.?0+$/, '');
  return s.replace('-', '−');
}

/* The number of a JSON value: NaN and infinities are numbers again. */
function number(v) {
  if (typeof v === 'boolean') return v ? 1 : 0;
  if (typeof v === 'number') return v;
  return { nan: NaN, inf: Infinity, '-inf': -Infinity }[v] ?? Number(v);
}

function count(shape) { return shape.reduce((a, b) => a * b, 1); }

/* All elements are there. */
function isWhole(value) { return value.data.length === count(value.shape); }

/* Nested rows with every digit, as `rill run` prints them. */
function exact(value) {
  let i = 0;
  const rows = depth => depth === value.shape.length
    ? (x => typeof x === 'string' ? JSON.stringify(x) : String(x))(value.data[i++])
    : '[' + Array.from({ length: value.shape[depth] }, () => rows(depth + 1)).join(',') + ']';
  return rows(0);
}

function range(value) {
  if (value.stats) return [number(value.stats.min ?? NaN), number(value.stats.max ?? NaN)];
  const v = value.data.map(number).filter(Number.isFinite);
  return [Math.min(...v), Math.max(...v)];
}

/* A value in the space of a box. */
function brief(value) {
  if (!value) return 'not computed';
  const n = count(value.shape);
  if (n === 0) return 'no elements';
  if (n === 1) return short(value.data[0], 5);
  if (n <= 3) {
    const text = '[' + value.data.map(v => short(v, 3)).join(', ') + ']';
    if (text.length <= 22) return text;
  }
  const [low, high] = range(value);
  return Number.isFinite(low) && low <= high ? short(low, 3) + ' … ' + short(high, 3) : 'nothing finite';
}

function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let i = 0;
  for (; n >= 1024 && i < 3; i++) n /= 1024;
  return (i ? n.toPrecision(3) : n) + ' ' + units[i];
}

function time(ns) { return ns < 1e3 ? ns + ' ns' : ns < 1e6 ? (ns / 1e3).toPrecision(3) + ' µs' : (ns / 1e6).toPrecision(3) + ' ms'; }
