// Times inference by ONNX Runtime on random data, as one JSON line.
//
//   NODE_PATH=FOLDER/node_modules node ort.js MODEL.onnx BATCH THREADS SECONDS
//
// BATCH 0 stands for a model whose input has one fixed dimension. Outputs are allocated once.
// `first_at` is the monotonic clock at the first result, so that who started the process knows how
// long that took.
"use strict";
const path = require("path");
const ort = require("onnxruntime-node");

const [, , file, batchText, threads, seconds] = process.argv;
const batch = Number(batchText);
const name = path.basename(file, ".onnx");
// What follows the batch, in the order of ONNX's convolutions.
const SHAPES = {mnist_mlp: [784], mnist_cnn: [1, 28, 28], chain1: [1], chain16: [16]};

function random(dims) {
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) data[i] = Math.random();
  return new ort.Tensor("float32", data, dims);
}

async function main() {
  const session = await ort.InferenceSession.create(file, {
    intraOpNumThreads: Number(threads),
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
  });
  const sample = SHAPES[name] || [3, 224, 224];
  const feeds = {[session.inputNames[0]]: random(batch ? [batch, ...sample] : sample)};
  const first = await session.run(feeds);
  const firstAt = Number(process.hrtime.bigint()) * 1e-9;
  const fetches = {};
  for (const key of session.outputNames)
    fetches[key] = new ort.Tensor("float32", new Float32Array(first[key].size), first[key].dims);
  const times = [], start = performance.now(), budget = seconds * 1000;
  while (performance.now() - start < budget || times.length < 3) {
    const before = performance.now();
    await session.run(feeds, fetches);
    const after = performance.now();
    if (after - start > budget / 5) times.push(after - before);
  }
  times.sort((a, b) => a - b);
  const line = {
    peer: "onnxruntime-" + require("onnxruntime-node/package.json").version,
    workload: name,
    threads: Number(threads),
    median_ms: times[times.length >> 1],
    min_ms: times[0],
    runs: times.length,
    first_at: firstAt,
    peak_mb: process.resourceUsage().maxRSS / 1024,
  };
  if (batch) line.batch = batch;
  console.log(JSON.stringify(line));
}

main().catch((e) => {
  console.error(String(e));
  process.exit(1);
});
