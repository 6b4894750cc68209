import { BinaryForecaster } from "@cityscale/forecast";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseDuration } from "../../src/domain/index.ts";
import { LevelHistory, type LevelTarget, publicHolidays, readLevels } from "../../src/features/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import {
  backtestStockOuts,
  fitStockOuts,
  forecastStockOuts,
  judgeModel,
  matrixOf,
  type StockOutForecasts,
  sampleRows,
} from "../../src/models/index.ts";
import { trainStockOutCandidate } from "../../src/models/stock-outs/index.ts";
import { knownRows } from "../../src/models/stock-outs/known-rows.ts";
import { onsetRows, recalibrate } from "../../src/models/stock-outs/recalibrate.ts";
import {
  bikeCity,
  openTown,
  type Reading,
  timeZone,
  townEnd,
  townReadings,
} from "../features/levels/town.ts";
import { dayMs } from "../lake/support.ts";

const target: LevelTarget = { measure: "bikes", horizonMs: parseDuration("30m"), below: 3 };
const until = townEnd - 2 * dayMs;
const from = townEnd - 16 * dayMs;
/** The town's stations again, with never more than seven bikes: they run out every few hours. */
const readings = townReadings(11).map((reading) => ({
  ...reading,
  bikes: reading.bikes === null ? null : 7 - Math.abs(7 - (reading.bikes % 14)),
}));
let lake: Lake;
let history: LevelHistory;
const historyOf = (range = {}, of = lake) =>
  of.read(
    async (connection) =>
      new LevelHistory(await readLevels(connection, range), timeZone, await publicHolidays(connection)),
  );
/** Of a town of its own. */
async function historyFrom(own: readonly Reading[]): Promise<LevelHistory> {
  const other = await openTown(own);
  try {
    return await historyOf({}, other);
  } finally {
    await other.close();
  }
}
beforeAll(async () => {
  lake = await openTown(readings);
  history = await historyOf();
});
afterAll(() => lake.close());

describe("rows to learn from", () => {
  test("are the same whatever came to be known later, and others with another seed", async () => {
    const sample = sampleRows(history, target, { from, until, seed: 1 });
    const then = await historyOf({ knownBy: until });
    expect(sampleRows(then, target, { from, until, seed: 1 })).toEqual(sample);
    expect(sampleRows(history, target, { from, until, seed: 2 }).originAt).not.toEqual(sample.originAt);
  });

  test("hold all onsets, and weigh as much as the rows they stand for", () => {
    const { set, originAt, label, weight, eligible } = sampleRows(history, target, { from, until, seed: 1 });
    const origins = history.levels.knownAt.filter((at) => at >= from && at < until);
    const { lowest, endRow } = history.outcomes(target, origins);
    const counts = history.counts("bikes", origins);
    const width = history.levels.stations.length;
    let [onsets, rows] = [0, 0];
    for (let i = 0; i < counts.length; i++) {
      const place = Math.floor(i / width);
      if (counts[i]! < 3 || lowest[i]! < 0 || history.levels.knownAt[endRow[place]!]! > until) continue;
      rows++;
      if (lowest[i]! < 3) onsets++;
    }
    expect(onsets).toBeGreaterThan(50);
    expect(label.reduce((sum, y, i) => sum + y * eligible[i]!, 0)).toBe(onsets);
    const stoodFor = weight.reduce((sum, value, i) => sum + value * eligible[i]!, 0) / rows;
    expect(stoodFor).toBeGreaterThan(0.88);
    expect(stoodFor).toBeLessThan(1.12);
    expect(set.rows).toBeLessThan(0.5 * counts.length);
    for (let i = 0; i < set.rows; i++) {
      const at = origins.indexOf(originAt[i]!) * width + set.station[i]!;
      expect(set.count[i]).toBe(counts[at]);
      expect(label[i]).toBe(lowest[at]! < 3 ? 1 : 0);
    }
  });
});

describe("rows already short", () => {
  test("weigh a tenth of those that are not", () => {
    const origins = history.levels.knownAt.filter((at) => at >= from && at < until);
    const { lowest, endRow } = history.outcomes(target, origins);
    const width = history.levels.stations.length;
    const short = history.counts("bikes", origins).reduce((sum, count, i) => {
      const end = history.levels.knownAt[endRow[Math.floor(i / width)]!]!;
      return sum + (count >= 0 && count < 3 && lowest[i]! >= 0 && end <= until ? 1 : 0);
    }, 0);
    // Few of them are drawn: many draws.
    const seeds = Array.from({ length: 20 }, (_, seed) => seed + 1);
    const stoodFor = seeds.reduce((sum, seed) => {
      const { weight, eligible } = sampleRows(history, target, { from, until, seed });
      return sum + weight.reduce((all, value, i) => all + value * (1 - eligible[i]!), 0);
    }, 0);
    expect(short).toBeGreaterThan(1000);
    expect(stoodFor / seeds.length / short).toBeGreaterThan(0.085);
    expect(stoodFor / seeds.length / short).toBeLessThan(0.115);
  });
});

describe("a model of stock-outs", () => {
  const training = { from, until, calibrateFrom: until - 5 * dayMs, seed: 1, threads: 1 };

  test("forecasts the same once saved", async () => {
    const { model, rows, onsets } = await fitStockOuts(history, target, training);
    expect(rows).toBeGreaterThan(500);
    expect(onsets).toBeGreaterThan(50);
    expect(model.thresholds!.budget).toBeGreaterThan(0);
    const set = history.features(target, Float64Array.of(townEnd - dayMs, townEnd - 1));
    const p = model.predict(matrixOf(set));
    expect(p.every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(BinaryForecaster.fromBytes(model.toBytes()).predict(matrixOf(set))).toEqual(p);
  });

  test("never tells a higher risk for one bike more alone, though many bikes are followed by few here", async () => {
    const course = [3, 3, 4, 4, 5, 5, 6, 7, 7, 1, 0, 2];
    const place = new Map<string, number>();
    const emptied = readings.map((reading) => {
      const step = (place.get(reading.station) ?? 0) + 1;
      place.set(reading.station, step);
      return { ...reading, bikes: course[step % course.length]! };
    });
    const its = await historyFrom(emptied);
    const { model } = await fitStockOuts(its, target, training);
    const set = its.features(
      target,
      Float64Array.from({ length: 60 }, (_, i) => until - dayMs + i * 900_000),
    );
    const withMore = (bikes: number) => {
      const columns = set.columns.slice();
      for (const name of ["count", "spare"]) {
        const k = model.featureNames.indexOf(name);
        columns[k] = set.columns[k]!.map((value) => value + bikes);
      }
      return model.predict(matrixOf({ ...set, columns }));
    };
    let before = withMore(-3);
    for (let bikes = -2; bikes <= 5; bikes++) {
      const now = withMore(bikes);
      for (let i = 0; i < now.length; i++) expect(now[i]).toBeLessThanOrEqual(before[i]!);
      before = now;
    }
  });

  const expectAlarms = (model: BinaryForecaster, of: LevelHistory, atMost: number) => {
    const { set, originAt, weight, eligible } = sampleRows(of, target, training);
    const p = model.predict(matrixOf(set));
    let [alarmed, all] = [0, 0];
    for (let i = 0; i < p.length; i++) {
      if (eligible[i] === 0 || originAt[i]! < training.calibrateFrom) continue;
      all += weight[i]!;
      if (p[i]! >= model.thresholds!.budget) alarmed += weight[i]!;
    }
    expect(alarmed / all).toBeGreaterThan(0.004);
    expect(alarmed / all).toBeLessThan(atMost);
  };

  test("alarms on one in a hundred of the rows that are not short, by the rows it is calibrated on", async () => {
    const { model } = await fitStockOuts(history, target, training);
    expectAlarms(model, history, 0.025);
  });

  test("calibrates on the newest rows, which may be unlike those before", async () => {
    // Until then one more bike stands everywhere, and stations run out less often.
    const shifted = readings.map((reading) =>
      reading.knownAt >= training.calibrateFrom || reading.bikes === null
        ? reading
        : { ...reading, bikes: reading.bikes + 1 },
    );
    const its = await historyFrom(shifted);
    const { model } = await fitStockOuts(its, target, training);
    // What serves has learned from the late rows too, and tells more of them.
    expectAlarms(model, its, 0.06);
  });

  test("wants some history", async () => {
    await expect(
      fitStockOuts(history, target, { ...training, from: until - dayMs / 8 }),
    ).rejects.toMatchObject({
      code: "DATA_MISSING",
    });
  });
});

describe("alarms of a model", () => {
  const rows = {
    label: Uint8Array.of(1, 0, 1, 0),
    onset: Uint8Array.of(1, 1, 1, 0),
    count: new Float32Array(4),
  };
  const p = Float32Array.of(0.2, 0.3, 0.4, 0.9);

  test("are of the thresholds in force at each row's origin", () => {
    const before = { budget: 1, f1: 0.25 };
    const after = { budget: 1, f1: 0.35 };
    const f1Of = (thresholdsOf: (row: number) => typeof before | null) => {
      const { all, onset } = judgeModel(rows, p, { name: "trees", thresholdsOf });
      return [all.f1, onset.f1];
    };
    // Alarms on rows 1, 2, 3 and then, with the second threshold from row 1 on, on 2 and 3.
    expect(f1Of(() => before)).toEqual([0.4, 0.5]);
    const [all, onset] = f1Of((row) => (row === 0 ? before : after));
    expect(all).toBeCloseTo(0.5, 6);
    expect(onset).toBeCloseTo(2 / 3, 5);
    expect(f1Of((row) => (row === 3 ? null : before))).toEqual([null, null]);
  });

  test("in a backtest, are counted by the budget of each origin", async () => {
    const city = bikeCity();
    const alarmsOf = async (recalibrate?: string) => {
      let told: StockOutForecasts | undefined;
      const { alarms } = await lake.read((connection) =>
        backtestStockOuts(connection, {
          ...{ city, target: city.targets["bikes-out-30"]!, weather: false, threads: 1, train: "14d" },
          ...{ from: "2023-03-12", to: "2023-03-17" },
          ...(recalibrate === undefined ? {} : { recalibrate }),
          onForecasts: (forecasts) => {
            told = forecasts;
          },
        }),
      );
      return { alarms: alarms!, told: told! };
    };
    const [plain, anew] = [await alarmsOf(), await alarmsOf("1d")];
    const above = ({ told, alarms }: typeof plain) => {
      const known = knownRows(
        told,
        new Uint8Array(told.history.levels.stations.length).fill(1),
        target.below,
      );
      const onsets = known.probability.filter((_, i) => known.onset[i] === 1);
      return onsets.filter((value) => value >= alarms.budget).length / onsets.length;
    };
    expect(plain.alarms.share).toBeCloseTo(above(plain), 4);
    expect(Math.abs(anew.alarms.share - above(anew))).toBeGreaterThan(1e-3);
  });
});

describe("a calibration anew", () => {
  const training = { from, until, calibrateFrom: until - 5 * dayMs, seed: 1, threads: 1 };

  test("looks at rows not short whose outcome was known by then", async () => {
    const { model, heldOut } = await fitStockOuts(history, target, training);
    const origins = history.levels.knownAt.filter((at) => at >= from && at < until);
    const own = await forecastStockOuts(history, target, model.uncalibrated(), origins);
    const knownBy = until - dayMs;
    const since = until - 8 * dayMs;
    const rows = onsetRows(own, { from: since, knownBy });
    const { lowest } = history.outcomes(target, origins);
    const width = history.levels.stations.length;
    for (let k = 0; k < rows.at.length; k++) {
      const i = origins.indexOf(rows.at[k]!);
      expect(rows.at[k]).toBeGreaterThanOrEqual(since);
      expect(rows.at[k]! + target.horizonMs).toBeLessThanOrEqual(knownBy);
      const cells = Array.from({ length: width }, (_, s) => i * width + s);
      const cell = cells.find(
        (c) => own.probability[c] === rows.p[k] && (lowest[c]! < 3 ? 1 : 0) === rows.y[k],
      );
      expect(own.count[cell!]).toBeGreaterThanOrEqual(3);
    }
    const { endRow } = history.outcomes(target, origins);
    const all = origins.reduce((sum, at, i) => {
      const isKnown = at >= since && at < knownBy && history.levels.knownAt[endRow[i]!]! <= knownBy;
      const cells = Array.from({ length: isKnown ? width : 0 }, (_, s) => i * width + s);
      return sum + cells.filter((c) => own.count[c]! >= 3 && lowest[c]! >= 0).length;
    }, 0);
    expect(rows.y.length).toBe(all);
    // The rows held out of training are those of the calibration window that are not short.
    expect(heldOut.at.every((at) => at >= training.calibrateFrom && at < until)).toBe(true);
    const sample = sampleRows(history, target, training);
    const eligible = sample.eligible.filter(
      (flag, i) => flag === 1 && sample.originAt[i]! >= training.calibrateFrom,
    );
    expect(heldOut.y.length).toBe(eligible.length);
  });

  test("wants a week and two hundred onsets", async () => {
    const { model } = await fitStockOuts(history, target, training);
    const rowsOf = (days: number, onsets: number) => {
      const n = 5 * onsets;
      return {
        at: Float64Array.from({ length: n }, (_, i) => until - (days * dayMs * i) / (n - 1)),
        y: Float64Array.from({ length: n }, (_, i) => (i % 5 === 0 ? 1 : 0)),
        p: Float64Array.from({ length: n }, (_, i) => (i % 7) / 10),
        weight: new Float64Array(n).fill(1),
      };
    };
    expect(recalibrate(model, [rowsOf(6, 400)], 0)).toBeNull();
    expect(recalibrate(model, [rowsOf(8, 190)], 0)).toBeNull();
    expect(recalibrate(model, [rowsOf(8, 400)], until - 4 * dayMs)).toBeNull();
    expect(recalibrate(model, [rowsOf(8, 110), rowsOf(8, 110)], 0)!.map.kind).toBe("isotonic");
  });

  test("in a backtest, forecasts are the same whatever came after them, and follow what came before", async () => {
    const city = bikeCity();
    const turn = townEnd - 2.5 * dayMs;
    const forecastsOf = async (own: readonly Reading[], every?: string) => {
      const other = await openTown(own);
      let told: StockOutForecasts | undefined;
      try {
        const report = await other.read((connection) =>
          backtestStockOuts(connection, {
            ...{ city, target: city.targets["bikes-out-30"]!, weather: false, threads: 1, train: "14d" },
            ...{ from: "2023-03-12", to: "2023-03-17" },
            ...(every === undefined ? {} : { recalibrate: every }),
            onForecasts: (forecasts) => {
              told = forecasts;
            },
          }),
        );
        return { report, ...told! };
      } finally {
        await other.close();
      }
    };
    const plain = await forecastsOf(readings);
    const anew = await forecastsOf(readings, "1d");
    expect(plain.report.training.recalibrations).toBe(0);
    expect(anew.report.training.recalibrations).toBeGreaterThan(3);
    // From the turn on nothing runs out any more.
    const other = await forecastsOf(
      readings.map((reading) => (reading.at < turn ? reading : { ...reading, bikes: 9 })),
      "1d",
    );
    const width = anew.history.levels.stations.length;
    let [same, changed] = [0, 0];
    for (let i = 0; i < anew.probability.length; i++) {
      if (Number.isNaN(anew.probability[i]!)) continue;
      const before = anew.origins[Math.floor(i / width)]! < turn;
      if (before) expect(Object.is(anew.probability[i], other.probability[i])).toBe(true);
      if (before) same++;
      if (anew.probability[i] !== plain.probability[i]) changed++;
    }
    expect(same).toBeGreaterThan(1000);
    expect(changed).toBeGreaterThan(1000);
  });
});

describe("the first model of a bike share", () => {
  const city = bikeCity();
  const trainedOn = async (days: number) => {
    const young = await openTown(readings.filter(({ knownAt }) => knownAt >= townEnd - days * dayMs));
    const asked = { city, target: city.targets["bikes-out-30"]!, lagMs: 0, knownAt: townEnd, threads: 1 };
    try {
      return await young.read((connection) => trainStockOutCandidate(connection, asked));
    } finally {
      await young.close();
    }
  };

  test("is judged on the newest third of what there is, and learns from the rest", async () => {
    const { candidate } = await trainedOn(9);
    expect((townEnd - candidate.test.from) / dayMs).toBeGreaterThan(2.8);
    expect((townEnd - candidate.test.from) / dayMs).toBeLessThan(3.1);
    expect(candidate.trainingRows).toBeGreaterThan(500);
  });

  test("waits for three days of snapshots, and says so", async () => {
    await expect(trainedOn(2)).rejects.toThrow(/go back to 2023-03-1\d.* only; a first model .* wants 3d/);
  });
});
