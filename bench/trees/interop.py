"""Real LightGBM, XGBoost and ONNX Runtime against packages/trees.

  interop.py golden DIR   train small models with the real libraries; write them with inputs and outputs to DIR
  interop.py check DIR    load the models that ours wrote to DIR and print how far predictions are apart
"""
import json
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb


def data(rows, seed):
    """Six columns as float32: three numbers, a category of 12, one with missing values, a small whole number."""
    r = np.random.default_rng(seed)
    x = np.column_stack(
        [
            r.normal(0, 3, rows),
            r.uniform(-1, 1, rows),
            r.integers(0, 12, rows),
            np.where(r.random(rows) < 0.2, np.nan, r.exponential(1, rows)),
            r.integers(0, 5, rows),
            r.normal(0, 1, rows),
        ]
    ).astype(np.float32)
    effect = np.array([3, -1, 4, 1, -5, 9, -2, 6, -5, 3, 5, -8])
    raw = np.sin(x[:, 0]) * 2 + x[:, 1] * 3 + effect[x[:, 2].astype(int)] * 0.4 + np.nan_to_num(x[:, 3], nan=2.0)
    return x, raw + r.normal(0, 0.3, rows), r


def labels(kind, raw, r):
    if kind == "count":
        return r.poisson(np.exp(np.clip(raw / 4, None, 4))).astype(float)
    if kind == "positive":
        return np.exp(raw / 4) * r.gamma(2, 0.5, len(raw)) + 1e-3
    if kind == "binary":
        return (raw > np.median(raw)).astype(float)
    if kind == "class":
        return np.digitize(raw, np.quantile(raw, [0.33, 0.66])).astype(float)
    return raw


LIGHTGBM = {
    "l2": (dict(objective="regression"), "any"),
    "l1": (dict(objective="regression_l1"), "any"),
    "huber": (dict(objective="huber"), "any"),
    "quantile": (dict(objective="quantile", alpha=0.8), "any"),
    "poisson": (dict(objective="poisson"), "count"),
    "gamma": (dict(objective="gamma"), "positive"),
    "tweedie": (dict(objective="tweedie"), "count"),
    "binary": (dict(objective="binary"), "binary"),
    "multiclass": (dict(objective="multiclass", num_class=3), "class"),
    "zero-missing": (dict(objective="regression", zero_as_missing=True), "any"),
    "no-missing": (dict(objective="regression", use_missing=False), "any"),
    "forest": (dict(objective="regression", boosting="rf", bagging_freq=1, bagging_fraction=0.6), "any"),
}
XGBOOST = {
    "l2": (dict(objective="reg:squarederror"), "any"),
    "l1": (dict(objective="reg:absoluteerror"), "any"),
    "huber": (dict(objective="reg:pseudohubererror"), "any"),
    "quantile": (dict(objective="reg:quantileerror", quantile_alpha=0.8), "any"),
    "poisson": (dict(objective="count:poisson"), "count"),
    "gamma": (dict(objective="reg:gamma"), "positive"),
    "tweedie": (dict(objective="reg:tweedie"), "count"),
    "binary": (dict(objective="binary:logistic"), "binary"),
    "multiclass": (dict(objective="multi:softprob", num_class=3), "class"),
    "dart": (dict(objective="reg:squarederror", booster="dart", rate_drop=0.5, seed=3), "any"),
    "categories": (dict(objective="reg:squarederror"), "any"),
}
UBJSON = ["l2", "multiclass", "dart", "categories"]
TYPES = ["float", "float", "c", "float", "float", "float"]


def probe(seed=5):
    """Rows to predict: ordinary ones, missing values everywhere, categories never seen, zeros, large values."""
    x, _, r = data(40, seed)
    x[30:, :] = np.where(r.random((10, 6)) < 0.5, np.nan, x[30:, :])
    x[25:28, 2] = [12, 31, 500]
    x[28, :] = 0
    x[29, [0, 1, 3, 5]] = 1e30
    return x


def frame(x):
    """The rows as a table whose categories have names, which the model keeps beside its trees."""
    table = pd.DataFrame(x, columns=list("abcdef"))
    names = [f"k{code:02d}" for code in range(12)]
    table["c"] = pd.Categorical.from_codes(np.nan_to_num(x[:, 2], nan=-1).astype(int), names)
    return table


def rows_json(x):
    return [[None if np.isnan(v) else float(v) for v in row] for row in x]


def golden(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    x, raw, r = data(800, 1)
    p = probe()
    known = p.copy()
    known[25:28, 2] = 3  # XGBoost refuses categories it has not seen
    out = {"rows": rows_json(p), "knownRows": rows_json(known), "lightgbm": {}, "xgboost": {}}
    small = dict(num_leaves=7, max_leaves=7, learning_rate=0.3, verbose=-1, min_data_per_group=10, cat_smooth=2, cat_l2=1, seed=1)
    for name, (params, kind) in LIGHTGBM.items():
        y = labels(kind, raw, np.random.default_rng(2))
        train = lgb.Dataset(x, y, categorical_feature=[2], free_raw_data=False)
        model = lgb.train({**small, **params}, train, 5)
        (folder / f"lightgbm-{name}.txt").write_text(model.model_to_string())
        out["lightgbm"][name] = {
            "prediction": np.asarray(model.predict(p)).tolist(),
            "contributions": np.asarray(model.predict(p[:5], pred_contrib=True)).tolist(),
            "leaves": np.asarray(model.predict(p, pred_leaf=True)).astype(int).tolist(),
        }
    for name, (params, kind) in XGBOOST.items():
        y = labels(kind, raw, np.random.default_rng(2))
        table, types = (frame, None) if name == "categories" else (np.asarray, TYPES)
        train = xgb.DMatrix(table(x), y, feature_types=types, enable_categorical=True)
        at = xgb.DMatrix(table(known), feature_types=types, enable_categorical=True)
        model = xgb.train(dict(max_leaves=7, max_depth=0, grow_policy="lossguide", tree_method="hist", eta=0.3, max_cat_to_onehot=3, **params), train, 5)
        (folder / f"xgboost-{name}.model").write_bytes(model.save_raw("json"))
        if name in UBJSON:
            (folder / f"xgboost-{name}.ubj").write_bytes(model.save_raw("ubj"))
        out["xgboost"][name] = {
            "prediction": model.predict(at).astype(float).tolist(),
            "margin": model.predict(at, output_margin=True).astype(float).tolist(),
        }
    (folder / "expected.data").write_text(json.dumps(out))


def check(folder):
    import onnxruntime as ort

    folder = Path(folder)
    index = json.loads((folder / "index.json").read_text())
    worst = {}
    for name, entry in index["models"].items():
        rows = np.array([[np.nan if v is None else v for v in row] for row in index["rows"]], dtype=np.float64)
        expected = np.array(entry["prediction"])
        scale = np.maximum(1, np.abs(expected))
        got = {}
        booster = lgb.Booster(model_str=(folder / f"{name}.txt").read_text())
        got["lightgbm"] = np.asarray(booster.predict(rows)).reshape(expected.shape)
        if "contributions" in entry:
            ours = np.array(entry["contributions"])
            if name == "forest":  # LightGBM sums a forest's contributions, though it predicts the mean
                ours = ours * booster.num_trees()
            theirs = np.asarray(booster.predict(rows, pred_contrib=True)).reshape(ours.shape)
            got_c = np.max(np.abs(ours - theirs))
            worst["shap"] = max(worst.get("shap", 0), float(got_c))
            print(f"{name:14s} lightgbm pred_contrib  {got_c:.3g}")
        known = xgb.DMatrix(
            rows.astype(np.float32), feature_names=[f"f{i}" for i in range(6)], feature_types=TYPES, enable_categorical=True
        )
        for suffix in ("json", "ubj"):
            x = xgb.Booster()
            x.load_model(folder / f"{name}.{suffix}")
            got[f"xgboost {suffix}"] = x.predict(known).reshape(expected.shape)
        session = ort.InferenceSession(folder / f"{name}.onnx")
        got["onnx"] = session.run(None, {"X": rows.astype(np.float32)})[0].reshape(expected.shape)
        for engine, values in got.items():
            apart = float(np.max(np.abs(values - expected) / scale))
            worst[engine] = max(worst.get(engine, 0), apart)
            print(f"{name:14s} {engine:12s} {apart:.3g}")
    print("worst", json.dumps(worst))
    limits = {"lightgbm": 1e-10, "xgboost json": 2e-6, "xgboost ubj": 2e-6, "onnx": 2e-6, "shap": 1e-8}
    missed = [k for k, v in worst.items() if not v <= limits[k]]
    if missed:
        sys.exit(f"too far apart: {missed}")


if __name__ == "__main__":
    {"golden": golden, "check": check}[sys.argv[1]](sys.argv[2])
