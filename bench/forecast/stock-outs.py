"""Trains LightGBM on the matrix that stock-outs.ts wrote: stock-outs.py FOLDER. Prints one JSON line."""

import json
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np

folder = Path(sys.argv[1])
p = json.loads((folder / "meta.json").read_text())
x = np.column_stack([np.fromfile(folder / f"x{k}", np.float32) for k in range(p["columns"])])
label = np.fromfile(folder / "label", np.float32)
weight = np.fromfile(folder / "weight", np.float32)
common = dict(max_bin=p["bins"], num_threads=p["threads"], verbose=-1)
began = time.perf_counter()
data = lgb.Dataset(x, label, weight=weight, params=common)
model = lgb.train(
    dict(
        objective="binary",
        num_leaves=p["numLeaves"],
        learning_rate=p["learningRate"],
        min_data_in_leaf=p["minDataInLeaf"],
        feature_fraction=p["featureFraction"],
        bagging_fraction=p["baggingFraction"],
        bagging_freq=p["baggingFreq"],
        lambda_l2=p["lambdaL2"],
        seed=p["seed"],
        **common,
    ),
    data,
    p["numIterations"],
)
seconds = time.perf_counter() - began
q = np.clip(model.predict(x), 1e-12, 1 - 1e-12)
loss = float(np.average(-np.log(np.where(label > 0.5, q, 1 - q)), weights=weight))
print(json.dumps(dict(seconds=seconds, loss=loss)))
