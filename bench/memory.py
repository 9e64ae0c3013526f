"""Peak resident memory of a training step, rill beside PyTorch, as Markdown tables.

  python3 bench/memory.py BUILD [BATCH [THREADS]]

Each peer trains in a process of its own, three times; the smallest peak counts. "process" is the
peak of the whole process; "growth" is what it grew by: since main began for rill, and since torch
was imported for PyTorch, so that neither pays for its libraries. "planned" is what rill says that
it needs before the first run: arena, constants, variables and their next values. What grows
beyond that is the process's own: the model, the batch, kernels' scratch, thread stacks.
"""
import json
import os
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
build = sys.argv[1]
batch = sys.argv[2] if len(sys.argv) > 2 else "128"
threads = sys.argv[3] if len(sys.argv) > 3 else "2"
SECONDS = "1"


def run(command):
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return json.loads(lines[-1])


def best(command):
    runs = [run(command) for _ in range(3)]
    return min(r["peak_bytes"] for r in runs), min(r["peak_bytes"] - r["start_bytes"] for r in runs), runs[0]


def mega(n):
    return f"{n / 1e6:,.1f}"


print(f"batch {batch}, {threads} threads, megabytes\n")
print("| network | peer | process | growth | planned |")
print("| --- | --- | ---: | ---: | ---: |")
for name in ["mnist_mlp", "mnist_cnn"]:
    graph = os.path.join(here, "..", "examples", name + ".json")
    rows = {}
    for level in ["0", "2"]:
        rows["rill, level " + level] = best(
            [os.path.join(build, "bench", "bench_step"), graph, batch, threads, SECONDS, level])
    rows["PyTorch"] = best([sys.executable, os.path.join(here, "torch_step.py"), name, batch, threads, SECONDS])
    for peer, (process, growth, info) in rows.items():
        planned = mega(info["planned_bytes"]) if "planned_bytes" in info else ""
        print(f"| {name} | {peer} | {mega(process)} | {mega(growth)} | {planned} |")
    ours, theirs = rows["rill, level 2"], rows["PyTorch"]
    print(f"| {name} | rill / PyTorch | {ours[0] / theirs[0]:.2f} | {ours[1] / theirs[1]:.2f} | |")
