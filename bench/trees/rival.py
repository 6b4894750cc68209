"""Trains LightGBM or XGBoost once: rival.py ENGINE FOLDER OBJECTIVE THREADS SEED ROUNDS. Prints one JSON line."""
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

engine, folder, objective, threads, seed, rounds = sys.argv[1], Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:7])
meta = json.loads((folder / "meta.json").read_text())
p = meta["params"]
columns = meta["columns"]
x = np.fromfile(folder / "train.x", np.float32).reshape(columns, meta["rows"]).T
y = np.fromfile(folder / f"train.y.{objective}", np.float32)
w = np.fromfile(folder / "train.w", np.float32) if meta["weighted"] else None
categorical = meta["categorical"]
bagging, share = p.get("baggingFraction", 1), p.get("featureFraction", 1)

if engine == "lightgbm":
    import lightgbm as lgb

    # Row-wise histograms: what LightGBM's own trial picks here, without the time of the trial.
    common = dict(max_bin=p["maxBin"], num_threads=threads, verbose=-1, force_row_wise=True)
    start = time.perf_counter()
    data = lgb.Dataset(x, y, weight=w, categorical_feature=categorical or "auto", params=common).construct()
    binned, cpu = time.perf_counter(), time.process_time()
    params = dict(
        objective={"l2": "regression"}.get(objective, objective), alpha=0.9, num_leaves=p["numLeaves"],
        learning_rate=p["learningRate"], min_data_in_leaf=p["minDataInLeaf"], lambda_l2=p.get("lambdaL2", 0),
        feature_fraction=share, bagging_fraction=bagging, bagging_freq=int(bagging < 1), seed=seed, **common,
    )
    model = lgb.train(params, data, rounds)
    done, cpu = time.perf_counter(), time.process_time() - cpu
    predict = model.predict
else:
    import xgboost as xgb

    types = ["c" if f in categorical else "float" for f in range(columns)]
    kind = dict(feature_types=types, enable_categorical=True, nthread=threads)
    start = time.perf_counter()
    data = xgb.QuantileDMatrix(x, y, weight=w, max_bin=p["maxBin"] + 1, **kind)
    binned, cpu = time.perf_counter(), time.process_time()
    mean = float(np.average(y, weights=w))
    hessian = {"poisson": mean, "binary": mean * (1 - mean)}.get(objective, 1.0)
    params = dict(
        objective={"l2": "reg:squarederror", "quantile": "reg:quantileerror", "poisson": "count:poisson", "binary": "binary:logistic"}[objective],
        tree_method="hist", grow_policy="lossguide", max_depth=0, max_leaves=p["numLeaves"], max_bin=p["maxBin"] + 1,
        eta=p["learningRate"], min_child_weight=p["minDataInLeaf"] * hessian, reg_lambda=p.get("lambdaL2", 0),
        subsample=bagging, colsample_bytree=share, seed=seed, nthread=threads,
    )
    if objective == "quantile":
        params["quantile_alpha"] = 0.9
    model = xgb.train(params, data, rounds)
    done, cpu = time.perf_counter(), time.process_time() - cpu
    predict = lambda rows: model.predict(xgb.DMatrix(rows, **kind))  # noqa: E731
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

xt = np.fromfile(folder / "test.x", np.float32).reshape(columns, meta["testRows"]).T
yt = np.fromfile(folder / f"test.y.{objective}", np.float32).astype(float)
q = np.asarray(predict(np.ascontiguousarray(xt)), float)
if objective == "l2":
    error = np.sqrt(np.mean((yt - q) ** 2))
elif objective == "quantile":
    error = np.mean(np.where(yt < q, 0.1 * (q - yt), 0.9 * (yt - q)))
elif objective == "poisson":
    error = 2 * np.mean(np.where(yt > 0, yt * np.log(np.maximum(yt, 1e-300) / q), 0) - (yt - q))
else:
    q = np.clip(q, 1e-15, 1 - 1e-15)
    error = -np.mean(yt * np.log(q) + (1 - yt) * np.log(1 - q))
print(json.dumps(dict(seconds=done - binned, cpuSeconds=cpu, binSeconds=binned - start, peakMb=peak, error=float(error))))
