/* Graphs for the tests: as JSON texts. */

/* Residual blocks of ten nodes each. */
function residual(blocks) {
  const width = 8, variables = [], nodes = [];
  let x = 'x';
  for (let i = 0; i < blocks; i++) {
    const at = `block${i}/`;
    variables.push(
      { name: at + 'w1', dtype: 'f32', shape: [width, width], init: { op: 'orthogonal' } },
      { name: at + 'b1', dtype: 'f32', shape: [width] },
      { name: at + 'w2', dtype: 'f32', shape: [width, width], init: { op: 'uniform', low: -0.1, high: 0.1 } },
      { name: at + 'b2', dtype: 'f32', shape: [width] });
    nodes.push(
      { name: at + 'product1', op: 'matmul', inputs: [x, at + 'w1'] },
      { name: at + 'sum1', op: 'add', inputs: [at + 'product1', at + 'b1'] },
      { name: at + 'act', op: 'tanh', inputs: [at + 'sum1'] },
      { name: at + 'product2', op: 'matmul', inputs: [at + 'act', at + 'w2'] },
      { name: at + 'sum2', op: 'add', inputs: [at + 'product2', at + 'b2'] },
      { name: at + 'out', op: 'add', inputs: [at + 'sum2', x] });
    x = at + 'out';
  }
  return JSON.stringify({
    format: 'rill-graph', version: 1, name: 'residual',
    inputs: [{ name: 'x', dtype: 'f32', shape: ['batch', width] }],
    variables, nodes, outputs: [x],
  });
}

module.exports = { residual };
