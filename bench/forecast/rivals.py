"""One rival's forecasts for the rows that rivals.ts wrote: rivals.py FOLDER RIVAL STEP_MS THREADS STUCK.

Series are what was known at each origin, on the wall clock, gaps interpolated, runs of STUCK and more zeros taken
as gaps. Writes FOLDER/RIVAL.csv, a forecast a row (never below 0), and prints the seconds of fits and forecasts.
"""

import json
import sys
import time
import warnings
from multiprocessing import Pool

import logging

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
for name in ("cmdstanpy", "prophet"):
    logging.getLogger(name).setLevel(logging.ERROR)

folder, rival, step_ms, threads, stuck = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
hourly = step_ms < 86_400_000
freq = "h" if hourly else "D"
season = 24 if hourly else 7
series = pd.read_parquet(f"{folder}/series.parquet")
rows = pd.read_csv(f"{folder}/rows.csv", parse_dates=["origin", "ds"])
series = series[series.unique_id.isin(rows.unique_id.unique())]


def known(origin_ms, origin, newest=None):
    """Series as known at an origin, whole up to the step before it; `newest` steps at most."""
    at = series[(series.known_from <= origin_ms) & (series.known_to > origin_ms) & (series.ds < origin)]
    last = origin - pd.Timedelta(step_ms, "ms")
    parts = []
    for key, own in at.groupby("unique_id"):
        y = own.set_index("ds").y
        y = y.reindex(pd.date_range(y.index.min(), last, freq=freq))
        dead = (y.isna() | (y <= 0)).to_numpy()
        run = np.cumsum(np.concatenate(([0], dead[1:] != dead[:-1])))
        length = np.bincount(run)[run]
        y[dead & (length >= stuck)] = np.nan
        y = y.iloc[-newest:] if newest else y
        y = y.interpolate(limit_direction="both")
        if y.isna().any():
            y = y.fillna(0.0)
        parts.append(pd.DataFrame({"unique_id": key, "ds": y.index, "y": y.to_numpy()}))
    return pd.concat(parts, ignore_index=True)


def mlforecast(origins, horizon):
    """As documented for data with a daily season, trained once before the first origin."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean
    from mlforecast.target_transforms import Differences

    lags = [1, 24, 168] if hourly else [1, 7, 28]
    model = MLForecast(
        models={"y_hat": LGBMRegressor(random_state=0, verbosity=-1, n_jobs=threads)},
        freq=freq,
        lags=lags,
        lag_transforms={1: [RollingMean(lags[1])], lags[1]: [RollingMean(2 * lags[1])]},
        date_features=["hour", "dayofweek"] if hourly else ["dayofweek", "month"],
        target_transforms=[Differences([season])],
    )
    first = origins[0]
    model.fit(known(*first))
    for origin in origins:
        history = known(*origin, newest=40 * season)
        yield model.predict(horizon, new_df=history)


def statsforecast(make, newest):
    from statsforecast import StatsForecast

    def forecast(origins, horizon):
        for origin in origins:
            made = make()
            answer = StatsForecast(models=[made], freq=freq, n_jobs=threads).forecast(
                df=known(*origin, newest=newest), h=horizon
            )
            yield answer.rename(columns={made.alias: "y_hat"})

    return forecast


def auto_ets():
    from statsforecast.models import AutoETS

    return AutoETS(season_length=season)


def mstl():
    from statsforecast.models import MSTL, AutoETS

    return MSTL(season_length=[24, 168] if hourly else [7], trend_forecaster=AutoETS(model="ZZN"))


def one_prophet(task):
    key, own, horizon = task
    from prophet import Prophet

    model = Prophet(uncertainty_samples=0)
    model.fit(own)
    ahead = pd.date_range(own.ds.iloc[-1], periods=horizon + 1, freq=freq)[1:]
    made = model.predict(pd.DataFrame({"ds": ahead}))
    return pd.DataFrame({"unique_id": key, "ds": ahead, "y_hat": made.yhat.to_numpy()})


def prophet(origins, horizon):
    with Pool(threads) as pool:
        for origin in origins:
            history = known(*origin, newest=NEWEST["Prophet"])
            tasks = [(key, own[["ds", "y"]].reset_index(drop=True), horizon) for key, own in history.groupby("unique_id")]
            yield pd.concat(pool.map(one_prophet, tasks, chunksize=1))


# Newest steps that each is fitted to, for every series at every origin: half a year at most of hours, else it takes hours.
NEWEST = (
    {"AutoETS": 8 * 168, "MSTL": 8 * 168, "Prophet": 26 * 168}
    if hourly
    else {"AutoETS": 3 * 365, "MSTL": 3 * 365, "Prophet": None}
)
rivals = {
    "mlforecast": mlforecast,
    "AutoETS": statsforecast(auto_ets, NEWEST["AutoETS"]),
    "MSTL": statsforecast(mstl, NEWEST["MSTL"]),
    "Prophet": prophet,
}

origins = list(rows[["origin_ms", "origin"]].drop_duplicates().sort_values("origin_ms").itertuples(index=False, name=None))
# Places on the wall clock: a day of 25 hours has 24 of them.
horizon = int(((rows.ds - rows.origin).max() / pd.Timedelta(step_ms, "ms"))) + 1
began = time.time()
parts = []
for (origin_ms, _), made in zip(origins, rivals[rival](origins, horizon)):
    parts.append(made.reset_index()[["unique_id", "ds", "y_hat"]].assign(origin_ms=origin_ms))
seconds = time.time() - began
made = pd.concat(parts)
made["unique_id"] = made.unique_id.astype(rows.unique_id.dtype)
joined = rows.merge(made, on=["unique_id", "ds", "origin_ms"], how="left", validate="many_to_one")
joined.y_hat.clip(lower=0).to_csv(f"{folder}/{rival}.csv", index=False)
print(json.dumps({"seconds": seconds}))
