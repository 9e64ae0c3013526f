"""Times PyTorch, as JSON lines.

  python3 torch_bench.py mnist_mlp|mnist_cnn BATCH THREADS SECONDS    training steps of examples/
  python3 torch_bench.py eltwise ELEMENTS THREADS SECONDS             what memory bounds

A training step sees other random labels each time, so that the network cannot learn the one batch
by heart. Elementwise results go to memory that is there already, as they do in rill.
`start_bytes` is the process's resident memory once PyTorch is imported.
"""
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

name, size, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(0)


def resident_bytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


start_bytes = resident_bytes()


def measure(workload, run, **more):
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 3:
        before = time.perf_counter()
        run()
        after = time.perf_counter()
        if after - start > seconds / 5:
            times.append((after - before) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peer": "pytorch-" + torch.__version__.split("a")[0], "workload": workload, "threads": threads,
                      "median_ms": round(statistics.median(times), 4), "min_ms": round(min(times), 4),
                      "mean_ms": round(statistics.mean(times), 4), "runs": len(times), "start_bytes": start_bytes,
                      "peak_bytes": peak, **more}), flush=True)


def train(model, optimizer, x):
    pool = [torch.randint(0, 10, (size,)) for _ in range(64)]
    steps = 0

    def step():
        nonlocal steps
        steps += 1
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), pool[steps % 64]).backward()
        optimizer.step()

    model.train()
    measure(name, step, batch=size)


def mlp():
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 128),
                          nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    train(model, torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9), torch.rand(size, 784))


def cnn():
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
                          nn.Linear(128, 10))
    train(model, torch.optim.Adam(model.parameters(), lr=1e-3), torch.rand(size, 1, 28, 28))


def eltwise():
    x, y = torch.randn(size), torch.empty(size)
    rows, rows_out = x.view(-1, 1024), y.view(-1, 1024)
    with torch.no_grad():
        measure("gelu", lambda: torch._C._nn.gelu(x, out=y))
        measure("softmax", lambda: torch.softmax(rows, 1, out=rows_out))
    for workload, kind in [("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)]:
        p = nn.Parameter(x.clone())
        p.grad = torch.randn(size)
        # `foreach` is the faster of the two ways for one array.
        measure(workload, kind([p], lr=1e-3, foreach=True).step)


{"mnist_mlp": mlp, "mnist_cnn": cnn, "eltwise": eltwise}[name]()
