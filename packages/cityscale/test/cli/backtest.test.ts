import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backtestSchema, backtestSchemaJson } from "../../src/cli/index.ts";
import { inProcess, madeCounts, run, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const first = [
  "backtest",
  "melbourne-pedestrians",
  "--data",
  folder.path,
  "--from",
  "2015-06-20",
  "--to",
  "2015-06-26",
];

beforeAll(() => {
  mkdirSync(join(folder.path, "melbourne-pedestrians"));
  const rows = [...madeCounts(3, Date.UTC(2015, 0, 1), 24 * 185)].map(
    ({ counter, at, count }) => `${counter},${new Date(at).toISOString()},${count}`,
  );
  writeFileSync(
    join(folder.path, "melbourne-pedestrians", "counts.csv"),
    `sensor_id,ts_utc,count\n${rows.join("\n")}\n`,
  );
  writeFileSync(
    join(folder.path, "melbourne-pedestrians", "sensors.csv"),
    "sensor_id,sensor_name,lat,lon\n1,One,-37.8,144.9\n2,Two,-37.8,144.9\n3,Three,-37.8,144.9\n",
  );
  writeFileSync(join(folder.path, "two.txt"), "1\n3\n");
});
afterAll(() => folder.remove());

describe("backtest", () => {
  test("the published schema is the one that the program uses", () => {
    const published = readFileSync(new URL("../../src/cli/backtest.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(published)).toEqual(backtestSchemaJson());
  });

  test("its JSON on standard output fits the schema and holds every score of the contract", async () => {
    const { code, out, err } = await run(
      ...first,
      "--fast",
      "--classical",
      "--entities",
      join(folder.path, "two.txt"),
      "--json",
      "-",
    );
    expect(err).toContain("reading the data");
    expect(code).toBe(0);
    const report = backtestSchema.parse(JSON.parse(out));
    expect(report).toMatchObject({
      city: "melbourne-pedestrians",
      target: "pedestrians",
      from: "2015-06-20",
      every: "24h",
      entities: 2,
      rows: 2 * 7 * 24,
    });
    expect(report.models.map((model) => model.name)).toEqual([
      "last-week",
      "mean-4-weeks",
      "median-8-weeks",
      "trees",
    ]);
    expect(report.models.filter((model) => model.champion)).toHaveLength(1);
    expect(report.models[3]!.byLead.map(({ lead }) => lead)).toEqual(
      Array.from({ length: 24 }, (_, i) => i + 1),
    );
    expect(report.models[3]!.byEntity.map(({ entity }) => entity)).toEqual(["1", "3"]);
    const classical = report.classical!;
    expect(classical).toMatchObject({ stride: 14, origins: 1, entities: 2, rows: 2 * 24 });
    expect(classical.models.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      "naive last-week",
      "naive mean-4-weeks",
      "naive median-8-weeks",
      "trained trees",
      "classical prophet",
      "classical ets",
      "classical mstl",
    ]);
    for (const model of classical.models) {
      expect(model.wape).toBeGreaterThan(0);
      expect(model.byLead.map(({ n }) => n)).toEqual(new Array(24).fill(2));
    }
    expect(classical.models[6]!.wape).toBeLessThan(classical.models[5]!.wape!);
    expect(classical.models[6]!.coverage80).toBeGreaterThan(0.3);
    expect(report.notes.join("\n")).toContain("weather");
    expect(report.totalSeconds).toBeGreaterThan(report.trainSeconds);
  });

  test("a blend stands beside its kinds, on rows that each of them answers", async () => {
    const { code, out } = await inProcess(
      ...first,
      "--entities",
      join(folder.path, "two.txt"),
      "--no-weather",
      "--json",
      "-",
    );
    expect(code).toBe(0);
    const report = backtestSchema.parse(JSON.parse(out));
    expect(report.models.slice(3).map((model) => model.name)).toEqual(["blend", "trees", "network"]);
    for (const model of report.models) expect(model.wape).toBeLessThan(1);
    expect(report.rows).toBe(2 * 7 * 24);
  }, 60_000);

  test("a horizon far beyond the newest counts is forecast by its own kinds, at every lead", async () => {
    const { code, out } = await inProcess(
      ...first.slice(0, 4),
      ...["--from", "2015-06-05", "--to", "2015-06-20", "--every", "16d", "--horizon", "16d"],
      ...["--no-weather", "--json", "-"],
    );
    expect(code).toBe(0);
    const report = backtestSchema.parse(JSON.parse(out));
    expect(report.models.slice(3).map((model) => model.name)).toEqual([
      "blend",
      "trees",
      "network",
      "effects",
    ]);
    expect(report.rows).toBe(3 * 16 * 24);
    const [blend] = report.models.slice(3);
    expect(blend!.byLead).toHaveLength(16 * 24);
    expect(blend!.wape).toBeLessThan(report.models.find(({ name }) => name === "last-week")!.wape!);
    expect(blend!.coverage80).toBeGreaterThan(0.6);
  }, 60_000);

  test("a comparison trains every kind asked for once, and finds their blend on the rows it says", async () => {
    const { code, out } = await inProcess(
      "compare",
      ...first.slice(1),
      "--kinds",
      "trees,ridge",
      "--no-weather",
      "--json",
      "-",
    );
    expect(code).toBe(0);
    const report = backtestSchema.parse(JSON.parse(out));
    expect(report.models.slice(3).map(({ name, kind }) => [name, kind])).toEqual([
      ["trees", "trained"],
      ["ridge", "trained"],
      ["blend", "blend"],
    ]);
    const { weights } = report.blend!;
    expect(Object.keys(weights)).toEqual(["trees", "ridge"]);
    expect(weights["trees"]! + weights["ridge"]!).toBeCloseTo(1, 2);
    const wape = new Map(report.models.map((model) => [model.name, model.wape!]));
    expect(wape.get("blend")!).toBeLessThan(1.02 * Math.min(wape.get("trees")!, wape.get("ridge")!));
    expect(report.notes.join("\n")).toContain("its score flatters it");
  }, 60_000);

  test("tuning ranks trainings by the loss of the target, beside what is declared", async () => {
    const period = [...first.slice(1), "--no-weather"];
    const { code, out } = await inProcess("tune", ...period, "--trials", "3", "--json");
    expect(code).toBe(0);
    const result = JSON.parse(out) as {
      loss: string;
      declared: number;
      rows: number;
      best: { index: number; value: number };
      trials: { params: { trees: number; leaves: number; learningRate: number }; value: number }[];
    };
    expect(result.loss).toBe("wape");
    expect(result.rows).toBe(3 * 7 * 24);
    expect(result.trials).toHaveLength(3);
    expect(result.best.value).toBe(Math.min(...result.trials.map(({ value }) => value)));
    expect(result.declared).toBeLessThan(1);
    expect(new Set(result.trials.map(({ params }) => params.trees)).size).toBeGreaterThan(1);
    expect((await inProcess("tune", ...period, "--trials", "1")).code).toBe(2);
  }, 60_000);

  test("kinds of a comparison that are none are wrong use", async () => {
    const { code, err } = await inProcess("compare", ...first.slice(1), "--kinds", "trees,blend");
    expect(code).toBe(2);
    expect(err).toMatch(/some of trees,forest,network,ridge,effects/);
  });

  test.each([
    [["--kind", "wood"], /one of trees, forest, network, ridge, effects, blend/],
    [["--fast", "--kind", "network"], /trees alone/],
    [["--from", "2015-02-30"], /date that exists/],
    [["--to", "2015-06-01"], /before --from/],
    [["--data", "/no/such/folder"], /no such folder/],
    [["--horizon", "90m"], /whole number of the city's steps/],
    [["--refit", "often"], /duration/],
    [["--lag", "soon"], /declared/],
    [["--target", "bicycles"], /no such target/],
    [["--entities", "/no/such/file"], /cannot be read/],
  ])("%j is wrong use", async (flags, message) => {
    const { code, err } = await inProcess(...first, ...flags);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  test("an unknown city and a folder without it are wrong use too", async () => {
    const unknown = await inProcess("backtest", "melbourn", ...first.slice(2));
    expect(unknown).toMatchObject({
      code: 2,
      err: expect.stringContaining("Did you mean melbourne-pedestrians"),
    });
    const empty = await inProcess("backtest", "paris-bikes", ...first.slice(2));
    expect(empty).toMatchObject({ code: 2, err: expect.stringContaining("no recordings of paris-bikes") });
  });
});
