#!/usr/bin/env python3
"""Writes optimizer_expected.h: what each optimiser makes of two variables in five steps.

Plain NumPy in float64, written from the formulas of Keras 2.1's optimizers.py and of the papers, not
from rill's code; where PyTorch has the same rule, the result is compared with it before it is
written. Run by hand: ./optimizer_reference.py > optimizer_expected.h
"""
import textwrap

import numpy as np
import torch

W0 = np.array([0.5, -1.25, 2.0])
B0 = np.array([0.75, -0.1])
# The gradients of the loss: they are fed, one row a step.
GW = np.array([[0.9, -0.4, 0.05], [-0.3, 1.6, 0.0], [2.5, -0.7, -1.1], [0.2, 0.3, -0.6],
               [-1.4, 0.8, 0.35]])
GB = np.array([[0.25, -1.0], [0.6, 0.15], [-0.45, 2.0], [0.1, -0.2], [0.05, 0.7]])
STEPS = len(GW)


def rate_at(c, step):
    """step: updates done before this one."""
    lr, every, factor = c["learning_rate"], c.get("every", 1), c.get("factor", 0.1)
    kind = c.get("schedule", "constant")
    if kind == "step":
        return lr * factor ** (step // every)
    if kind == "exponential":
        return lr * factor ** (step / every)
    if kind == "cosine":
        final = c.get("final", 0.0)
        return final + (lr - final) * (1 + np.cos(np.pi * min(step, every) / every)) / 2
    return lr


def run(c):
    params = [W0.copy(), B0.copy()]
    state = [{"a": np.zeros_like(p), "b": np.zeros_like(p), "m": np.zeros_like(p)} for p in params]
    rows = []
    for i in range(STEPS):
        grads = [GW[i].copy(), GB[i].copy()]
        for g, p in zip(grads, params):
            g += c.get("l1", 0) * np.sign(p) + 2 * c.get("l2", 0) * p
        if c.get("clip_norm"):
            norm = np.sqrt(sum(np.sum(g * g) for g in grads))
            if norm >= c["clip_norm"]:
                grads = [g * c["clip_norm"] / norm for g in grads]
        if c.get("clip_value"):
            grads = [np.clip(g, -c["clip_value"], c["clip_value"]) for g in grads]
        lr = rate_at(c, i)
        for k, (p, g, s) in enumerate(zip(params, grads, state)):
            start = p - lr * c.get("weight_decay", 0) * p
            mom = c.get("momentum", 0.0)
            if c["op"] == "sgd":
                v = mom * s["m"] - lr * g
                s["m"] = v
                params[k] = start + (mom * v - lr * g if c.get("nesterov") else v)
            elif c["op"] == "rmsprop":
                rho, eps = c.get("rho", 0.9), c.get("epsilon", 1e-7)
                s["a"] = rho * s["a"] + (1 - rho) * g * g
                spread = s["a"]
                if c.get("centered"):
                    s["b"] = rho * s["b"] + (1 - rho) * g
                    spread = s["a"] - s["b"] ** 2
                s["m"] = mom * s["m"] + lr * g / (np.sqrt(spread) + eps)
                params[k] = start - s["m"]
            else:
                b1, b2, eps = c.get("beta1", 0.9), c.get("beta2", 0.999), c.get("epsilon", 1e-7)
                t = i + 1
                s["a"] = b1 * s["a"] + (1 - b1) * g
                s["b"] = b2 * s["b"] + (1 - b2) * g * g
                lr_t = lr * np.sqrt(1 - b2 ** t) / (1 - b1 ** t)
                params[k] = start - lr_t * s["a"] / (np.sqrt(s["b"]) + eps)
        rows.append(np.concatenate(params))
    return np.array(rows)


CASES = [
    dict(name="sgd", op="sgd", learning_rate=0.1),
    dict(name="sgd momentum", op="sgd", learning_rate=0.05, momentum=0.9),
    dict(name="sgd nesterov", op="sgd", learning_rate=0.05, momentum=0.9, nesterov=True),
    dict(name="sgd decay", op="sgd", learning_rate=0.1, momentum=0.5, weight_decay=0.2),
    dict(name="sgd l1 l2", op="sgd", learning_rate=0.1, l1=0.03, l2=0.2),
    dict(name="sgd clip norm", op="sgd", learning_rate=0.1, clip_norm=1.5),
    dict(name="sgd clip value", op="sgd", learning_rate=0.1, clip_value=0.5),
    dict(name="sgd both clips, l2", op="sgd", learning_rate=0.1, clip_norm=1.5, clip_value=0.6,
         l2=0.1, momentum=0.3),
    dict(name="rmsprop", op="rmsprop", learning_rate=0.01),
    dict(name="rmsprop rho, epsilon", op="rmsprop", learning_rate=0.01, rho=0.7, epsilon=0.3),
    dict(name="rmsprop momentum", op="rmsprop", learning_rate=0.01, momentum=0.8),
    dict(name="rmsprop centered", op="rmsprop", learning_rate=0.01, centered=True, epsilon=1e-3),
    dict(name="rmsprop centered momentum, clip norm", op="rmsprop", learning_rate=0.01,
         centered=True, momentum=0.6, epsilon=1e-3, clip_norm=1.0),
    dict(name="adam", op="adam", learning_rate=0.01),
    dict(name="adam betas, epsilon", op="adam", learning_rate=0.02, beta1=0.6, beta2=0.8,
         epsilon=0.05),
    dict(name="adam beta1 0", op="adam", learning_rate=0.02, beta1=0.0),
    dict(name="adamw", op="adam", learning_rate=0.01, weight_decay=0.1),
    dict(name="adam l2, clip norm", op="adam", learning_rate=0.01, l2=0.05, clip_norm=0.5),
    dict(name="step schedule", op="sgd", learning_rate=0.1, schedule="step", factor=0.5, every=2),
    dict(name="exponential schedule", op="sgd", learning_rate=0.1, schedule="exponential",
         factor=0.9, every=3),
    dict(name="cosine schedule", op="sgd", learning_rate=0.1, schedule="cosine", final=0.01,
         every=3),
    dict(name="adamw, cosine schedule", op="adam", learning_rate=0.01, schedule="cosine", every=8,
         weight_decay=0.05),
]


def torch_run(c):
    """The same by PyTorch, or None where its rule differs."""
    if any(k in c for k in ("l1", "clip_norm", "clip_value", "schedule")):
        return None
    lr, mom = c["learning_rate"], c.get("momentum", 0.0)
    ps = [torch.tensor(W0, requires_grad=True), torch.tensor(B0, requires_grad=True)]
    if c["op"] == "sgd":
        if "weight_decay" in c:
            return None
        opt = torch.optim.SGD(ps, lr, mom, nesterov=c.get("nesterov", False),
                              weight_decay=2 * c.get("l2", 0))
    elif c["op"] == "rmsprop":
        opt = torch.optim.RMSprop(ps, lr, c.get("rho", 0.9), c.get("epsilon", 1e-7),
                                  momentum=mom, centered=c.get("centered", False))
    else:  # PyTorch adds epsilon after its bias correction: compare without epsilon
        c["epsilon"] = 0.0
        opt = torch.optim.AdamW(ps, lr, (c.get("beta1", 0.9), c.get("beta2", 0.999)), 0.0,
                                weight_decay=c.get("weight_decay", 0.0))
    rows = []
    for i in range(STEPS):
        ps[0].grad, ps[1].grad = torch.tensor(GW[i]), torch.tensor(GB[i])
        opt.step()
        rows.append(np.concatenate([p.detach().numpy().copy() for p in ps]))
    return np.array(rows)


def main():
    print("/* Made by optimizer_reference.py. Each row: w[3], b[2] after a step. */")
    print("/* clang-format off */")
    for name, a in (("gradient_w", GW), ("gradient_b", GB)):
        print(f"static const double {name}[{STEPS}][{a.shape[1]}] = {{")
        for r in a:
            print("    {" + ", ".join(repr(float(v)) for v in r) + "},")
        print("};")
    print("static const expected_case expected_cases[] = {")
    for c in CASES:
        plain = dict(c)
        other = torch_run(plain)
        if other is not None:
            np.testing.assert_allclose(run(plain), other, rtol=1e-12, atol=1e-15)
        fields = [f'.struct_size = sizeof(rill_optimizer)', f'.kind = RILL_{c["op"].upper()}']
        defaults = dict(rho=-1, beta1=-1, beta2=-1, epsilon=-1, learning_rate=0, momentum=0,
                        weight_decay=0, l1=0, l2=0, clip_norm=0, clip_value=0)
        for k, v in defaults.items():
            fields.append(f".{k} = {c.get(k, v)}")
        for k in ("nesterov", "centered"):
            if c.get(k):
                fields.append(f".{k} = true")
        if "schedule" in c:
            fields += [f'.schedule = RILL_SCHEDULE_{c["schedule"].upper()}',
                       f'.schedule_every = {c["every"]}', f'.schedule_factor = {c.get("factor", 0.1)}',
                       f'.schedule_final = {c.get("final", 0.0)}']
        print(f'    {{"{c["name"]}",')
        print(textwrap.fill("{" + ", ".join(fields) + "},", 96, initial_indent="     ",
                            subsequent_indent="      "))
        print("     {")
        for r in run(c):
            print("      {" + ",\n       ".join(", ".join("%.17g" % v for v in part)
                                             for part in (r[:3], r[3:])) + "},")
        print("     }},")
    print("};")
    print("/* clang-format on */")


main()
