import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stockOutBacktestSchema, stockOutSchemaJson } from "../../src/cli/index.ts";
import { recordBikeShare, stations } from "./bike-share.ts";
import { inProcess, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const first = ["backtest", "bay-wheels", "--data", folder.path, "--target", "bikes-out-30"];
const period = ["--from", "2023-02-08", "--to", "2023-02-12", "--train", "20d"];

beforeAll(async () => {
  await recordBikeShare(folder.path);
  writeFileSync(join(folder.path, "two.txt"), "s3\ns0\n");
});
afterAll(() => folder.remove());

describe("backtest of a binary target", () => {
  test("the published schema is the one that the program uses", () => {
    const published = readFileSync(
      new URL("../../src/cli/stock-out-backtest.schema.json", import.meta.url),
      "utf8",
    );
    expect(JSON.parse(published)).toEqual(stockOutSchemaJson());
  });

  test("says what will run out better than persistence, on all rows and on onsets, and fits its schema", async () => {
    const { code, out, err } = await inProcess(...first, ...period, "--json", "-");
    expect(err).toContain("forecasts scored");
    expect(code).toBe(0);
    const report = stockOutBacktestSchema.parse(JSON.parse(out));
    expect(report).toMatchObject({
      ...{ city: "bay-wheels", target: "bikes-out-30", every: "snapshots", horizon: "30m", below: 3 },
      ...{ entities: stations, weather: "none" },
    });
    const [persistence, trees] = report.models;
    expect([persistence!.name, trees!.name]).toEqual(["persistence", "trees"]);
    expect(trees!.onset.rows).toBe(persistence!.onset.rows);
    expect(trees!.onset.rows).toBeLessThan(trees!.all.rows);
    expect(trees!.all.rows).toBeLessThanOrEqual(report.origins * stations);
    expect(trees!.onset.averagePrecision!).toBeGreaterThan(1.2 * persistence!.onset.averagePrecision!);
    expect(trees!.onset.brierSkill!).toBeGreaterThan(0);
    expect(trees!.onset.calibrationError!).toBeLessThan(0.02);
    // Alarms on onset rows by the rule "short now" there are none.
    expect(persistence!.onset.f1).toBe(0);
    const { tenths, widths } = trees!.reliability;
    for (const bins of [tenths, widths]) {
      expect(bins.reduce((sum, bin) => sum + bin.rows, 0)).toBe(trees!.onset.rows);
      for (const [i, bin] of bins.entries()) if (i > 0) expect(bin.from).toBeGreaterThan(bins[i - 1]!.to);
    }
    expect(report.notes.join("\n")).toMatch(/out of service/);
  });

  test("is told as a table, at instants by the clock, for the stations asked for, the same each time", async () => {
    const flags = [...first, ...period, "--every", "30m", "--entities", join(folder.path, "two.txt")];
    const { code, out } = await inProcess(...flags);
    expect(code).toBe(0);
    expect(out).toContain("fewer than 3 at any moment of the next 30m, from 2023-02-08 to 2023-02-12");
    expect(out).toMatch(/onset +trees/);
    expect(out).toContain("240 origins (every 30m), 2 stations");
    const timeless = (text: string) => text.replace(/ {2}[\d.]+ s in all.*/, "");
    expect(timeless((await inProcess(...flags)).out)).toBe(timeless(out));
  });

  test.each([
    [["--kind", "trees"], /--kind is for quantities, and bikes-out-30 is a binary target/],
    [["--fast"], /--fast is for quantities/],
    [["--classical"], /--classical is for quantities/],
    [["--refit", "7d"], /--refit is for quantities/],
    [["--horizon", "30m"], /--horizon is for quantities/],
    [["--every", "15m"], /whole number of the city's steps/],
    [["--train", "3d"], /at least 14d/],
    [["--target", "bikes-out-45"], /no such target; it has bikes-out-30/],
  ])("%j is wrong use", async (flags, message) => {
    const { code, err } = await inProcess(...first, ...period, ...flags);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  });

  test("comparing and tuning are for quantities, training from a duration for binary targets", async () => {
    const compared = await inProcess("compare", ...first.slice(1), ...period.slice(0, 4));
    expect(compared.err).toMatch(/--kinds is for quantities/);
    const tuned = await inProcess("tune", ...first.slice(1), ...period.slice(0, 4));
    expect(tuned.err).toMatch(/this is for quantities, and the target is binary/);
    const other = ["backtest", "paris-bikes", "--data", folder.path, ...period];
    expect((await inProcess(...other)).err).toMatch(/--train: bicycles is no binary target/);
  });

  test("too little history and a station that is not there are told", async () => {
    const early = await inProcess(...first, "--from", "2023-01-11", "--to", "2023-01-12", "--train", "20d");
    expect(early.err).toMatch(/too few to learn from/);
    expect(early.code).not.toBe(0);
    const before = await inProcess(...first, "--from", "2022-12-11", "--to", "2022-12-12");
    expect(before.err).toMatch(/there are no snapshots/);
    writeFileSync(join(folder.path, "none.txt"), "s99\n");
    const { err } = await inProcess(...first, ...period, "--entities", join(folder.path, "none.txt"));
    expect(err).toMatch(/no station "s99"/);
  });
});
