import { classical } from "@cityscale/forecast";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createView } from "../../src/features/index.ts";
import type { Lake } from "../../src/lake/index.ts";
import { seriesAsKnown } from "../../src/models/series-as-known.ts";
import { SeriesWorkers, seriesKinds } from "../../src/models/series-workers.ts";
import { counts, dayMs, hourMs, openLake, poll, type Row, smallCity } from "../lake/support.ts";

describe("a series as known at an origin", () => {
  const city = smallCity({
    measures: { walkers: { kind: "flow", from: "counts", contract: { stuckZeros: "6h" } } },
  });
  const view = createView(city, city.targets["walkers"]!, 0);
  // The last Sunday of October 2024 has 25 hours in Paris.
  const start = Date.UTC(2024, 9, 24, 22);
  const read = start + 4 * dayMs;
  let lake: Lake;

  beforeAll(async () => {
    const opened = await openLake(city, { lagMs: new Map([["counts", 0]]) });
    lake = opened.lake;
    const steps = Array.from({ length: 4 * 24 }, (_, i) => start + i * hourMs);
    // Two is silent for five hours of the first day, dead for seven of the second, and not heard of after the third.
    const rows = steps.flatMap((at, i): Row[] => [
      ["one", at, 100 + i],
      ...(i < 72 ? [["two", at, (i >= 5 && i < 10) || (i >= 30 && i < 37) ? 0 : 200 + i] as const] : []),
    ]);
    opened.clock.set(read);
    await poll(lake, "counts", [counts(rows)]);
    opened.clock.set(read + dayMs);
    await poll(lake, "counts", [counts([["one", start + 2 * hourMs, 7]])]);
  });
  afterAll(() => lake.close());

  const at = async (origin: number, lagMs = 0, most = 9000) => {
    using connection = await lake.connect();
    const ids = await connection.rows<{ e: number; entity: string }>("SELECT e, entity FROM entities");
    const series = await seriesAsKnown(connection, city, view, { origin, lagMs, most });
    return (entity: string) => series.get(ids.find((row) => row.entity === entity)!.e)!;
  };

  test("a later correction is not seen, and is once it was known", async () => {
    expect((await at(read))("one").values[2]).toBe(102);
    expect((await at(read + 2 * dayMs))("one").values[2]).toBe(7);
  });

  test("it ends with the newest step usable, whatever is known of the entity", async () => {
    const origin = start + 20 * hourMs;
    expect((await at(origin))("one").values).toHaveLength(20);
    expect((await at(origin, 3 * hourMs))("one").values).toHaveLength(17);
    expect((await at(origin, 0, 8))("one").values).toEqual(
      Float64Array.from({ length: 8 }, (_, i) => 112 + i),
    );
    const silent = (await at(read))("two").values;
    expect(silent.slice(71)).toHaveLength(24);
    expect(silent.slice(71).every(Number.isNaN)).toBe(true);
  });

  test("zeros are dead when there were too many by then, and zeros before that", async () => {
    const short = (await at(start + 12 * hourMs))("two").values;
    expect(short.slice(5, 10)).toEqual(new Float64Array(5));
    const five = (await at(start + 35 * hourMs))("two").values;
    expect(five.slice(30)).toEqual(new Float64Array(5));
    const six = (await at(start + 36 * hourMs))("two").values;
    expect(six.slice(30).every(Number.isNaN)).toBe(true);
    expect(six[29]).toBe(229);
  });

  test("the hour that autumn repeats has one place, and its first value", async () => {
    const { values } = (await at(read))("one");
    expect(values).toHaveLength(4 * 24 - 1);
    // 02:00 summer time is the 51st hour; 02:00 winter time, the 52nd, is left out.
    expect([...values.slice(49, 53)]).toEqual([149, 150, 152, 153]);
  });
});

describe("workers that fit series", () => {
  const series = (n: number, level: number): classical.Series => ({
    startMs: 0,
    stepMs: dayMs,
    values: Float64Array.from(
      { length: n },
      (_, i) => level + 10 * Math.sin((i * 2 * Math.PI) / 7) + (i % 5),
    ),
  });
  const task = (n: number, level: number) => ({
    series: series(n, level),
    horizon: 3,
    periods: [7],
    seed: 1,
  });

  test("answer in the order of the tasks what the models answer here, and null where none can be fitted", async () => {
    await using workers = new SeriesWorkers(2);
    const tasks = [task(150, 50), task(9, 80), task(120, 20)];
    tasks[2]!.series.values[60] = Number.NaN;
    let done = 0;
    const answers = await workers.forecast(tasks, { onDone: () => done++ });
    expect(done).toBe(3);
    for (const [i, answer] of answers.entries()) {
      const { series: own } = tasks[i]!;
      const ets = classical.fitEts(own, { coverage: 0.8 }).predict(3);
      expect(answer.forecasts[seriesKinds.indexOf("ets")]).toEqual(ets);
      const prophet = classical.fitProphet(own, { coverage: 0.8, seed: 1 }).predict(3);
      expect(answer.forecasts[seriesKinds.indexOf("prophet")]).toEqual(prophet);
    }
    expect(answers.map(({ forecasts }) => forecasts[seriesKinds.indexOf("mstl")] === null)).toEqual([
      false,
      true,
      false,
    ]);
    expect(answers.map(({ filled }) => filled)).toEqual([0, 0, 1]);
  });

  test("end at once when aborted, with the reason", async () => {
    await using workers = new SeriesWorkers(2);
    const controller = new AbortController();
    const reason = new Error("enough");
    const tasks = Array.from({ length: 200 }, () => task(400, 50));
    const fitting = workers.forecast(tasks, {
      signal: controller.signal,
      onDone: () => controller.abort(reason),
    });
    await expect(fitting).rejects.toBe(reason);
  });
});
