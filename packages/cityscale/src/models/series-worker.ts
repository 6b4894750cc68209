import { parentPort } from "node:worker_threads";
import { classical, ForecastError } from "@cityscale/forecast";
import { type SeriesAnswer, type SeriesForecasts, type SeriesTask, seriesKinds } from "./series-workers.ts";

// One worker of the models of single series; see series-workers.ts.

const coverage = 0.8;

const fits = {
  prophet: ({ series, seed }: SeriesTask) => classical.fitProphet(series, { coverage, seed }),
  ets: ({ series }: SeriesTask) => classical.fitEts(series, { coverage }),
  mstl: ({ series, periods }: SeriesTask) => classical.fitMstl(series, { coverage, periods }),
};

function answer(task: SeriesTask): SeriesAnswer {
  let filled = 0;
  const forecasts = seriesKinds.map((kind): SeriesForecasts | null => {
    try {
      const model = fits[kind](task);
      filled = Math.max(filled, model.filled);
      return model.predict(task.horizon);
    } catch (error) {
      // Too short, or nothing fits: an answer like any other. Anything else is a mistake of ours.
      if (error instanceof ForecastError && (error.code === "noRows" || error.code === "data")) return null;
      throw error;
    }
  });
  return { forecasts, filled };
}

parentPort!.on("message", (task: SeriesTask) => parentPort!.postMessage(answer(task)));
