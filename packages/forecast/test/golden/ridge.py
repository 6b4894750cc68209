"""
Writes ridge.json: what scikit-learn's Ridge makes of the same rows, and what SciPy does with Huber's loss. Needs numpy,
scikit-learn and scipy.
"""
import json
import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

rng = np.random.default_rng(1)
n, groups = 90, 2
x = np.round(rng.normal(size=(n, 3)) * [1, 10, 0.1] + [0, 50, 2], 4).astype(np.float32)
x[rng.random((n, 3)) < 0.08] = np.nan
day = rng.integers(0, 4, n)
group = np.arange(n) % groups
z = np.round(0.5 * np.nan_to_num(x[:, 0]) + 0.2 * day - 0.3 * group + rng.normal(size=n) * 0.3, 4)
z[5] = 9.0  # an outlier that the clip must bend
weight = np.round(0.5 + rng.random(n), 3)
x64 = x.astype(np.float64)


def design(clip, bent=(), knots=()):
    columns = []
    for j in range(3):
        c = x64[:, j]
        if clip:
            c = np.clip(c, *np.nanquantile(c, [clip, 1 - clip]))
        c = (c - np.nanmean(c)) / np.nanstd(c)
        columns.append(np.nan_to_num(c))
    for code in range(4):
        c = (day == code) * 1.0
        columns.append((c - c.mean()) / c.std())
    columns += [np.maximum(0, columns[j] - knot) for knot in knots for j in bent]
    return np.stack(columns, 1)


cases = []
for alpha, clip, weighted in [(30.0, 0.0, False), (3.0, 0.05, True), (0.1, 0.005, True)]:
    X, p = design(clip), np.zeros(n)
    for g in range(groups):
        k = group == g
        t = np.clip(z[k], *np.quantile(z[k], [clip, 1 - clip])) if clip else z[k]
        m = Ridge(alpha=alpha, solver="cholesky").fit(X[k], t, sample_weight=weight[k] if weighted else None)
        p[k] = m.predict(X[k])
    cases.append(dict(alpha=alpha, clip=clip, weighted=weighted, forecast=[round(v, 12) for v in p]))

# Lines that bend: the first and the third column at three knots.
BENT, KNOTS = [0, 2], [-1.0, 0.0, 1.0]
X, p = design(0.05, BENT, KNOTS), np.zeros(n)
for g in range(groups):
    k = group == g
    t = np.clip(z[k], *np.quantile(z[k], [0.05, 0.95]))
    p[k] = Ridge(alpha=0.5, solver="cholesky").fit(X[k], t, sample_weight=weight[k]).predict(X[k])
cases.append(dict(alpha=0.5, clip=0.05, weighted=True, bends=dict(columns=["abc"[j] for j in BENT], knots=KNOTS), forecast=[round(v, 12) for v in p]))

# Huber's loss, minimised as such (by BFGS, not by weighting anew). The penalty is the one that least squares with
# weights of the same sum would have: found by fixing the factor of the loss and fitting again until it stays.
HUBER, ALPHA = 0.2, 2.0
X, p = design(0.0), np.zeros(n)
for g in range(groups):
    k = group == g
    A, t, w = X[k], z[k], weight[k]
    b, factor = np.zeros(A.shape[1] + 1), 1.0
    error = lambda b: t - A @ b[:-1] - b[-1]

    def loss(b):
        r = np.abs(error(b))
        square = r <= HUBER
        value = factor * np.sum(w * np.where(square, r**2, 2 * HUBER * r - HUBER**2)) + ALPHA * b[:-1] @ b[:-1]
        pull = factor * w * np.where(square, 2 * error(b), 2 * HUBER * np.sign(error(b)))
        return value, np.r_[-A.T @ pull + 2 * ALPHA * b[:-1], -pull.sum()]

    for _ in range(60):
        b = minimize(loss, b, jac=True, method="BFGS", options=dict(gtol=1e-9)).x
        factor = w.sum() / np.sum(w * np.minimum(1, HUBER / np.abs(error(b))))
    p[k] = A @ b[:-1] + b[-1]
cases.append(dict(alpha=ALPHA, clip=0.0, weighted=True, huber=HUBER, forecast=[round(v, 9) for v in p]))

null = lambda a: [None if np.isnan(v) else float(v) for v in a]
json.dump(
    dict(columns=[null(x64[:, j]) for j in range(3)], day=day.tolist(), group=group.tolist(), target=z.tolist(), weight=weight.tolist(), cases=cases),
    open("ridge.json", "w"),
)
