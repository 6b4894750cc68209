"""The rival of network.ts, in numpy: network.py FOLDER ROWS EPOCHS SEED CATEGORIES... Prints one JSON line."""
import json
import sys
import time
from pathlib import Path

import numpy as np

folder, rows, epochs, seed = Path(sys.argv[1]), *map(int, sys.argv[2:5])
counts = [int(v) for v in sys.argv[5:]]
delta, batch, rate, dropout, decay, warm = 0.1, 1024, 2e-3, 0.2, 0.01, 200
f = np.float32
files = len(list(folder.glob("x*")))
columns = [np.fromfile(folder / f"x{k}", f) for k in range(files)]
label = np.fromfile(folder / "label", f)
weight = np.fromfile(folder / "weight", f)

start = time.perf_counter()
numeric = np.stack(columns[: files - len(counts)], 1)
mean, spread = np.nanmean(numeric[:rows], 0), np.nanstd(numeric[:rows], 0)
x = np.nan_to_num(np.clip((numeric - mean) / spread, -4, 4))
x = np.concatenate([x, *(np.eye(n, dtype=f)[c.astype(int)] for n, c in zip(counts, columns[-len(counts) :]))], 1)
weight = weight / weight[:rows].mean()
r = np.random.default_rng(seed)
sizes = [x.shape[1], 128, 64, 1]
weights = [(r.standard_normal((a, b)) * np.sqrt(2 / a)).astype(f) for a, b in zip(sizes, sizes[1:])]
weights[-1] *= 0.1
parameters = weights + [np.zeros(b, f) for b in sizes[1:]]
biases = parameters[3:]
first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
steps, step = epochs * (rows // batch), 0
for _ in range(epochs):
    order = r.permutation(rows)
    for b in range(rows // batch):
        at = order[b * batch : (b + 1) * batch]
        values, masks = [x[at]], []
        for k in range(2):
            z = np.maximum(values[k] @ weights[k] + biases[k], 0)
            masks.append((r.random(z.shape, dtype=f) > dropout) / f(1 - dropout))
            values.append(z * masks[k])
        d = (values[2] @ weights[2] + biases[2])[:, 0] - label[at]
        g = (weight[at] * np.clip(d / delta, -1, 1) / batch).astype(f)[:, None]
        weight_gradients, bias_gradients = [], []
        for k in (2, 1, 0):
            weight_gradients.insert(0, values[k].T @ g)
            bias_gradients.insert(0, g.sum(0))
            if k:
                g = (g @ weights[k].T) * (values[k] > 0) * masks[k - 1]
        step += 1
        now = rate * 0.5 * (1 + np.cos(np.pi * step / steps)) * min(1, step / warm)
        for p, g, m, v in zip(parameters, weight_gradients + bias_gradients, first, second):
            m += f(0.1) * (g - m)
            v += f(0.001) * (g * g - v)
            if p.ndim == 2:
                p *= f(1 - now * decay)
            p -= f(now) * (m / f(1 - 0.9**step)) / (np.sqrt(v / f(1 - 0.999**step)) + f(1e-8))
seconds = time.perf_counter() - start

z = x[rows:]
for k in range(2):
    z = np.maximum(z @ weights[k] + biases[k], 0)
d = np.abs((z @ weights[2] + biases[2])[:, 0] - label[rows:])
loss = np.where(d <= delta, d * d / (2 * delta), d - delta / 2).mean()
print(json.dumps(dict(seconds=seconds, loss=float(loss))))
