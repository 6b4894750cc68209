"""Writes classical.json: forecasts of Prophet 1.5.0 and statsforecast 2.1.1. Needs prophet and statsforecast."""
import json
import numpy as np
import pandas as pd
from prophet import Prophet
from statsforecast.models import MSTL, AutoETS

rng = np.random.default_rng(7)
n, h = 760, 28
t = np.arange(n + h)
day = np.datetime64("2022-01-03") + t
season = np.array([0, 0.05, 0.08, 0.06, 0.02, -0.2, -0.3])[t % 7] + 0.25 * np.sin(2 * np.pi * t / 365.25)
level = 0.0004 * t - 0.001 * np.maximum(0, t - 300)
y = np.round(200 * np.exp(season + level + rng.normal(size=n + h) * 0.06)).astype(float)
out = dict(y=y[:n].astype(int).tolist(), truth=y[n:].astype(int).tolist())

m = Prophet(interval_width=0.8)
m.fit(pd.DataFrame({"ds": day[:n], "y": y[:n]}))
np.random.seed(1)
f = m.predict(pd.DataFrame({"ds": day[n:]}))
out["prophet"] = dict(point=f.yhat.round(4).tolist(), low=f.yhat_lower.round(3).tolist(), high=f.yhat_upper.round(3).tolist())

for name, steps, model in (
    ("ets", 200, AutoETS(season_length=1, model="ZZN")),
    ("mstl", 400, MSTL(season_length=[7], trend_forecaster=AutoETS(model="ZZN"))),
):
    p = model.fit(y[n - steps : n]).predict(h=h, level=[80])
    out[name] = dict(point=p["mean"].round(5).tolist(), low=p["lo-80"].round(5).tolist(), high=p["hi-80"].round(5).tolist())
json.dump(out, open("classical.json", "w"))
