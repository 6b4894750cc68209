"""Writes blend.json: the minimax weights that scipy's SLSQP finds in epigraph form. Needs numpy and scipy."""
import json
import numpy as np
from scipy.optimize import minimize

rng = np.random.default_rng(3)
M, K, n = 5, 4, 40
windows = []
for k in range(K):
    y = np.round(rng.gamma(3, 20, n))
    noise = [0.2, 0.25, 0.35, 0.3, 0.5][:M]
    shift = rng.normal(size=M) * 0.15
    members = [np.round(y * np.exp(rng.normal(size=n) * s + d), 3) for s, d in zip(noise, shift)]
    windows.append((y, members))


def loss(w, kind, k):
    y, f = windows[k]
    if kind == "rmsle":  # geometric, offset 1
        return np.sqrt(np.mean((np.log1p(y) - w @ np.log1p(np.array(f))) ** 2))
    p = w @ np.array(f)
    return np.abs(y - p).sum() / y.sum() if kind == "wape" else np.sqrt(np.mean((y - p) ** 2))


out = dict(windows=[dict(target=y.tolist(), members=[f.tolist() for f in m]) for y, m in windows], worst={})
for kind in ("rmsle", "rmse", "wape"):
    best = None
    for seed in range(20):
        w0 = np.random.default_rng(seed).dirichlet(np.ones(M))
        t0 = max(loss(w0, kind, k) for k in range(K))
        scale = t0
        r = minimize(
            lambda v: v[-1] / scale,
            np.append(w0, t0),
            bounds=[(0, 1)] * M + [(0, None)],
            constraints=[dict(type="eq", fun=lambda v: v[:-1].sum() - 1)]
            + [dict(type="ineq", fun=lambda v, k=k: (v[-1] - loss(v[:-1], kind, k)) / scale) for k in range(K)],
            options=dict(maxiter=500, ftol=1e-12),
        )
        w = np.clip(r.x[:-1], 0, None)
        w /= w.sum()
        value = max(loss(w, kind, k) for k in range(K))
        best = value if best is None else min(best, value)
    out["worst"][kind] = best
json.dump(out, open("blend.json", "w"))
