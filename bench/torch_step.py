"""One training step of PyTorch on the networks of examples/, for comparison: prints one JSON line.

  python3 torch_step.py mnist_mlp|mnist_cnn BATCH THREADS SECONDS
"""
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

name, batch, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(threads)


def resident_bytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


start_bytes = resident_bytes()
torch.manual_seed(0)
if name == "mnist_mlp":
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 128),
                          nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
    x = torch.rand(batch, 784)
else:
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128),
                          nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.rand(batch, 1, 28, 28)
pool = [torch.randint(0, 10, (batch,)) for _ in range(64)]
model.train()


def step(i):
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(model(x), pool[i % 64]).backward()
    optimizer.step()


times, i, start = [], 0, time.perf_counter()
while time.perf_counter() - start < seconds or len(times) < 3:
    before = time.perf_counter()
    step(i)
    i += 1
    if i > 5 and time.perf_counter() - start > seconds / 5:
        times.append((time.perf_counter() - before) * 1e3)
print(json.dumps({"peer": "pytorch-" + torch.__version__.split("a")[0], "workload": name, "batch": batch,
                  "threads": threads, "median_ms": round(statistics.median(times), 4),
                  "min_ms": round(min(times), 4), "mean_ms": round(statistics.mean(times), 4),
                  "steps": len(times), "start_bytes": start_bytes,
                  "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
