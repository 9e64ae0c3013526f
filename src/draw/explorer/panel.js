/* panel.js: what the chosen node is: op, formula, documentation, neighbours, values. */

function nodeButton(i, text) {
  return el('li', {}, el('button', { type: 'button', class: 'p' + nodes[i].part, on: { click: () => choose(i, true) } }, text ?? nodes[i].name));
}

function nodeList(title, list, text) {
  if (!list.length) return [];
  const shown = list.slice(0, 40);
  return [el('h3', {}, title), el('ul', { class: 'links' }, shown.map((i, k) => nodeButton(i, text && text(i, k)))),
    list.length > 40 ? el('p', { class: 'none' }, `and ${list.length - 40} more`) : null];
}

/* The name of input k of an op: the last name stands for all that follow. */
function portName(op, k) {
  const names = doc.ops[op] ? doc.ops[op].inputs : [];
  return names[Math.min(k, names.length - 1)] ?? '';
}

function describeOp(n) {
  const op = doc.ops[n.op];
  if (!op) return [];
  const inputs = n.inputs.map((p, k) => p && [portName(n.op, k), nodes[p[0]].name + (p[1] ? ':' + p[1] : ''), p[0]]).filter(Boolean);
  return [
    el('p', {}, op.summary),
    op.formula ? el('code', { class: 'formula p' + n.part }, op.formula) : null,
    n.formula && n.formula !== op.formula ? [el('p', { class: 'none' }, 'here'), el('code', { class: 'formula own p' + n.part }, n.formula)] : null,
    el('table', { class: 'facts' }, el('tbody', {},
      inputs.map(([port, name, i]) => el('tr', {}, el('th', {}, el('code', {}, port)), el('td', {},
        el('ul', { class: 'links' }, nodeButton(i, name))))),
      Object.entries(n.attributes || {}).map(([key, v]) => el('tr', {}, el('th', {}, key), el('td', {}, el('code', {}, v)))))),
    op.doc ? el('details', {}, el('summary', {}, 'documentation of ' + n.op), el('p', {}, op.doc)) : null,
  ];
}

const KINDS = { input: 'fed to each run', variable: 'kept between runs', constant: 'the same in every run' };

function showNode(i, step, moment) {
  const n = nodes[i], before = valueBefore(i, step), out = [];
  out.push(el('h2', {}, n.name), el('p', {},
    el('span', { class: 'chip p' + n.part }, PARTS[n.part]), el('span', { class: 'chip' }, n.op || n.kind),
    el('code', {}, n.types.join(', '))));
  if (n.kind === 'op') out.push(...describeOp(n));
  else out.push(el('p', {}, KINDS[n.kind] + (n.kind === 'variable' ? n.trainable ? ', trained' : ', not trained' : '')));
  n.types.forEach((type, port) => {
    const value = valueAt(i, port, step, moment), changed = before && isUpdateMoment(moment) && nextOf.has(i);
    const name = n.name + (port ? ':' + port : '');
    out.push(el('h3', {}, (changed ? 'After the update' : 'Value') + (n.types.length > 1 ? ' ' + name : '')),
      el('div', { class: 'shown', 'data-port': port }, showValue(value, name, type)));
    if (changed) out.push(el('h3', {}, 'Before the update'), ...showValue(before, name, type));
  });
  if (n.gradient_of !== undefined) out.push(...nodeList('Part of the gradient of', [n.gradient_of]));
  if (nextOf.has(i)) out.push(...nodeList('Becomes', [nextOf.get(i)[0]]));
  out.push(...nodeList('Read by', n.readers), ...nodeList('Its gradient', n.gradients));
  const inside = nodes.filter(m => m.inside === i).map(m => m.id);
  return out.concat(nodeList('Inside', inside));
}

/* A box of several nodes: its members with their values. */
function showBlock(box, step, moment) {
  const members = box.nodes.filter(i => nodes[i].kind !== 'constant');
  return [el('h2', {}, box.title), el('p', {}, el('span', { class: 'chip p' + box.part }, PARTS[box.part]),
    el('span', { class: 'chip' }, `${members.length} nodes`)),
    el('p', {}, box.part === 1 ? 'How the loss changes with its inputs: these nodes are made by differentiating it.'
      : box.part === 2 ? 'What a training step does when all gradients are there; variables change at once, at its end.' : ''),
    el('table', { class: 'facts' }, el('tbody', {}, members.slice(0, 60).map(i => el('tr', {},
      el('td', {}, el('ul', { class: 'links' }, nodeButton(i))), el('td', { class: 'mono' }, nodes[i].op || nodes[i].kind), el('td', { class: 'mono' }, brief(valueAt(i, 0, step, moment))))))),
    members.length > 60 ? el('p', { class: 'none' }, `and ${members.length - 60} more`) : null];
}

function showAbout() {
  const run = doc.run, trained = nodes.filter(n => n.kind === 'variable' && n.trainable);
  const facts = [['graph', doc.graph.name], ['nodes', nodes.length + (doc.graph.updates.length ? ' with gradient and update' : '')], ['variables that are trained', trained.length],
    ['made by', doc.about ? el('code', {}, doc.about) : 'rill ' + doc.rill], ['recorded', steps.length ? run.training ? `${steps.length} training steps, batches of ${run.batch} of ${run.rows} rows` : 'one run' : 'nothing'],
    ['seed', run.seed]];
  return [el('h2', {}, 'What this is'),
    el('p', {}, steps.length ? 'A graph, and the tensors that really ran through it. Play, or step with the arrow keys: first the values forward, then the gradients back, then the update. Choose a node to see its formula and its values.'
      : 'A graph of which no run was recorded: values are not computed. rill show GRAPH --format html --data SPEC, or --input NAME=VALUE, records one.'),
    el('table', { class: 'facts' }, el('tbody', {}, facts.map(([k, v]) => el('tr', {}, el('th', {}, k), el('td', {}, v)))))];
}
