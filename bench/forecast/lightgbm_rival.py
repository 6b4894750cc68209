"""Trains LightGBM on the matrix that a bench wrote: lightgbm_rival.py FOLDER. Prints one JSON line."""

import json
import logging
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np

# What it warns of, whatever its verbosity, goes to stderr: stdout is for the answer.
lgb.register_logger(logging.getLogger("lightgbm"))

folder = Path(sys.argv[1])
p = json.loads((folder / "meta.json").read_text())
x = np.column_stack([np.fromfile(folder / f"x{k}", np.float32) for k in range(p["columns"])])
label = np.fromfile(folder / "label", np.float32)
weight = np.fromfile(folder / "weight", np.float32)
# Row-wise or column-wise histograms: LightGBM tries both and takes the faster one.
common = dict(max_bin=p["bins"], num_threads=p["threads"], verbose=-1)
began = time.perf_counter()
data = lgb.Dataset(x, label, weight=weight, categorical_feature=p["categorical"], params=common)
model = lgb.train(
    dict(
        objective=p["objective"],
        num_leaves=p["numLeaves"],
        learning_rate=p["learningRate"],
        min_data_in_leaf=p["minDataInLeaf"],
        feature_fraction=p["featureFraction"],
        bagging_fraction=p["baggingFraction"],
        bagging_freq=p["baggingFreq"],
        lambda_l2=p.get("lambdaL2", 0),
        seed=p["seed"],
        **common,
    ),
    data,
    p["numIterations"],
)
seconds = time.perf_counter() - began
q = model.predict(x)
if p["objective"] == "binary":
    q = np.clip(q, 1e-12, 1 - 1e-12)
    losses = -np.log(np.where(label > 0.5, q, 1 - q))
else:
    losses = np.abs(label - q)
print(json.dumps(dict(seconds=seconds, loss=float(np.average(losses, weights=weight)))))
