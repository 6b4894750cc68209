"""Writes a training set for the benchmark: data.py NAME FOLDER

Column-major float32 files that both sides read without a library: train.x, test.x, train.y.OBJECTIVE,
test.y.OBJECTIVE, train.w (where rows have weights), and meta.json. `paris` and `baywheels` take their features
from the Python recipes in the folder CITYSCALE_RECIPES and their data from CITYSCALE_DATA.
"""
import json
import os
import sys
from pathlib import Path

import numpy as np


def made():
    """660,000 + 181,000 rows x 30: calendar, series, sixteen lags (some missing), weather; counts."""
    r = np.random.default_rng(7)
    n = 841_000
    hour, dow, month, series = r.integers(0, 24, n), r.integers(0, 7, n), r.integers(1, 13, n), r.integers(0, 54, n)
    small = [r.integers(0, 2, n), r.integers(0, 2, n), r.integers(0, 5, n), r.integers(1, 25, n)]
    base = 20 + 15 * np.sin(hour / 24 * 2 * np.pi) - 6 * (dow >= 5) + r.normal(0, 10, 54)[series]
    level = np.exp(r.normal(0, 0.5, n))
    lags = [base * level + r.normal(0, 6 + k, n) for k in range(16)]
    weather = [r.normal(15, 8, n), r.gamma(0.3, 2, n), r.normal(60, 15, n), r.random(n), r.normal(0, 1, n), r.normal(0, 1, n)]
    x = np.column_stack([hour, dow, month, series, *small, *lags, *weather]).astype(np.float32)
    for k in (10, 15, 20):
        x[r.random(n) < 0.05, k] = np.nan
    mean = base * level + 0.3 * weather[0] - 2 * weather[1] + 20 * ((hour == 8) & (dow < 5))
    y = r.poisson(np.clip(mean, 1, None)).astype(np.float32)
    cut = 660_000
    targets = {"l2": y, "quantile": y, "poisson": y, "binary": (y > 20).astype(np.float32)}
    return (
        (x[:cut], {k: v[:cut] for k, v in targets.items()}, None),
        (x[cut:], {k: v[cut:] for k, v in targets.items()}),
        dict(numLeaves=63, learningRate=0.1, numIterations=300, minDataInLeaf=20, maxBin=255),
        [],
    )


def paris():
    """Day-ahead bicycles: departure from the seasonal expectation, or the count itself for Poisson."""
    import paris_features as f

    p = f.loadp()
    fallback = np.nanmean(np.stack([f.shift(p.Lgm, 168 * k) for k in range(9, 40)]), axis=0).astype(np.float32)
    p.S = np.where(np.isnan(p.S), fallback, p.S)
    p.S = np.where(np.isnan(p.S), f.trail_mean(p.Lg, 24 * 400), p.S)
    p.R = p.Lg - p.S

    def part(a, b):
        e, o, h, t = f.rows(p, f.oidx(p, a, b, 24), range(1, 25))
        k = ~np.isnan(p.Y[e, t]) & ~np.isnan(p.S[e, t])
        e, o, h, t = e[k], o[k], h[k], t[k]
        x, names = f.dayfeats(p, e, o, h, t, True)
        z = (p.Lg[e, t] - p.S[e, t]).astype(np.float32)
        y = p.Y[e, t].astype(np.float32)
        return x, {"l2": z, "quantile": z, "poisson": y, "binary": (z > 0).astype(np.float32)}, names

    x, y, names = part("2020-10-06", "2021-07-10")
    xt, yt, _ = part("2021-07-10", "2021-08-10")
    params = dict(numLeaves=63, learningRate=0.06, numIterations=400, minDataInLeaf=100, maxBin=255, featureFraction=0.7, baggingFraction=0.8)
    return (x, y, None), (xt, yt), params, [names.index("ent")]


def baywheels():
    """Stock-outs within half an hour (weighted sample); the lowest count in it for the other objectives."""
    import pandas as pd
    import stockout_features_more  # noqa: F401  (adds its features to stockout_features)
    import stockout_features as f

    months = ("2022-12", "2023-01", "2023-02", "2023-03", "2023-04")
    r = f.prep(f.load([f.DEV + f"status_{m}.parquet" for m in months]))

    def weeks(a, b):
        d = [*pd.date_range(a, b, freq="7D").strftime("%Y-%m-%d")]
        return list(zip(d, [*d[1:], b])) if d[-1] != b else list(zip(d[:-1], d[1:]))

    train = f.sample(r, "bike", weeks("2023-02-01", "2023-04-01"), 30, 0.6, 0.1, 1, hz=(30,))
    test = f.sample(r, "bike", weeks("2023-04-01", "2023-05-01"), 30, 0.05, None, 2, hz=(30,))
    drop = {"y", "w", "s", "t", "f30", "nfut_gap"}
    names = [c for c in train if c not in drop]

    def targets(d):
        low = d.f30.to_numpy(np.float32)
        return {"l2": low, "quantile": low, "poisson": low, "binary": d.y.to_numpy(np.float32)}

    params = dict(numLeaves=15, learningRate=0.05, numIterations=250, minDataInLeaf=300, maxBin=127, featureFraction=0.6, baggingFraction=0.8, lambdaL2=5)
    weight = np.where(train.cur <= 2, train.w * 0.1, train.w).astype(np.float32)
    return (
        (train[names].to_numpy(np.float32), targets(train), weight),
        (test[names].to_numpy(np.float32), targets(test)),
        params,
        [],
    )


if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    if "CITYSCALE_RECIPES" in os.environ:
        sys.path.insert(0, os.environ["CITYSCALE_RECIPES"])
    (x, y, w), (xt, yt), params, categorical = {"made": made, "paris": paris, "baywheels": baywheels}[name]()
    folder.mkdir(parents=True, exist_ok=True)
    np.ascontiguousarray(x.T, np.float32).tofile(folder / "train.x")
    np.ascontiguousarray(xt.T, np.float32).tofile(folder / "test.x")
    for k in y:
        np.asarray(y[k], np.float32).tofile(folder / f"train.y.{k}")
        np.asarray(yt[k], np.float32).tofile(folder / f"test.y.{k}")
    if w is not None:
        w.tofile(folder / "train.w")
    meta = dict(rows=len(x), testRows=len(xt), columns=x.shape[1], categorical=categorical, weighted=w is not None, params=params)
    (folder / "meta.json").write_text(json.dumps(meta))
    print(meta)
