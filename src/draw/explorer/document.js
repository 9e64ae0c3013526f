/* document.js: the document in the page, and the run as a list of moments.
 *
 * A recorded step has the moments 0 (inputs and variables are there), 1 .. n (node number i of
 * `order` has been computed) and, if there are updates, one more: all variables change at once.
 * A place in the run is a step and a moment of it. */
const doc = JSON.parse(document.getElementById('document').textContent);
const nodes = doc.graph.nodes;
const PARTS = ['forward', 'gradient', 'update'];

nodes.forEach((n, i) => { n.id = i; n.readers = []; n.gradients = []; });
nodes.forEach(n => {
  (n.inputs || []).forEach(p => { if (p && !nodes[p[0]].readers.includes(n.id)) nodes[p[0]].readers.push(n.id); });
  if (n.gradient_of !== undefined) nodes[n.gradient_of].gradients.push(n.id);
});

const steps = doc.run.steps;
/* What was computed, in the page's order: nodes that the run needed. */
const order = steps.length ? doc.graph.order.filter(i => steps[0].values[i]) : [];
const momentOf = new Map(order.map((node, i) => [node, i + 1]));
const hasUpdates = doc.run.training && doc.graph.updates.length > 0;
const nMoments = 1 + order.length + (hasUpdates ? 1 : 0);
const LAST = nMoments - 1;
/* variable -> [node, port] of what it becomes */
const nextOf = new Map(doc.graph.updates.map(u => [u[0], [u[1], u[2]]]));

function isUpdateMoment(moment) { return hasUpdates && moment === LAST; }

/* The part of the run that a moment is in; -1: the start. */
function partAt(moment) {
  if (moment === 0) return -1;
  return isUpdateMoment(moment) ? 2 : nodes[order[moment - 1]].part;
}

/* The value of an output, or null if it is not computed at that place. */
function valueAt(node, port, step, moment) {
  const n = nodes[node];
  if (n.kind === 'constant') return n.value;
  const values = steps.length ? steps[step].values[node] : 0;
  if (!values) return null;
  if (n.kind === 'op' && !(momentOf.get(node) <= moment)) return null;
  if (n.kind === 'variable' && isUpdateMoment(moment) && nextOf.has(node)) {
    const [from, at] = nextOf.get(node);
    return valueAt(from, at, step, LAST);
  }
  return values[port];
}

/* The value that a variable has before the update; null for other nodes. */
function valueBefore(node, step) {
  return nodes[node].kind === 'variable' && steps.length && steps[step].values[node]
    ? steps[step].values[node][0] : null;
}
