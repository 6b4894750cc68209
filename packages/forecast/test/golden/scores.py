"""Writes scores.json: scikit-learn's scores of a few forecasts. Needs numpy and scikit-learn."""
import json
import numpy as np
from sklearn import metrics as m

rng = np.random.default_rng(5)
n = 200
y = rng.poisson(30, n) + 1
f = np.round(y * np.exp(rng.normal(size=n) * 0.3), 3)
label = (rng.random(n) < 0.15).astype(int)
p = np.round(np.clip(0.15 + 0.25 * label + rng.normal(size=n) * 0.15, 0, 1), 2)  # two digits: many ties
out = dict(
    y=y.tolist(), f=f.tolist(), label=label.tolist(), p=p.tolist(),
    scores=dict(
        mape=m.mean_absolute_percentage_error(y, f),
        wape=float(np.abs(y - f).sum() / y.sum()),
        rmse=m.root_mean_squared_error(y, f),
        rmsle=m.root_mean_squared_log_error(y, f),
        r2=m.r2_score(y, f),
        pinball10=m.mean_pinball_loss(y, f, alpha=0.1),
        pinball90=m.mean_pinball_loss(y, f, alpha=0.9),
        averagePrecision=m.average_precision_score(label, p),
        brier=m.brier_score_loss(label, p),
        f1at30=m.f1_score(label, p >= 0.3),
    ),
)
json.dump(out, open("scores.json", "w"))
