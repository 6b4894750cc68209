import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readXGBoost, writeXGBoostUbjson } from "../src/formats/xgboost.ts";
import { Model } from "../src/index.ts";

/** Models that LightGBM 4.7 and XGBoost 3.2 wrote, and what they predict; made by bench/trees/interop.py. */
const folder = new URL("./golden/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), "utf8");

interface Expected {
  readonly rows: readonly (readonly (number | null)[])[];
  readonly knownRows: readonly (readonly (number | null)[])[];
  readonly lightgbm: Record<string, { prediction: Nested; contributions: Nested; leaves: Nested }>;
  readonly xgboost: Record<string, { prediction: Nested; margin: Nested }>;
}
type Nested = readonly (number | readonly number[])[];

const expected = JSON.parse(read("expected.data")) as Expected;
const columnsOf = (rows: Expected["rows"]): Float64Array[] =>
  rows[0]!.map((_, f) => Float64Array.from(rows, (row) => row[f] ?? Number.NaN));

function apart(got: ArrayLike<number>, want: Nested): number {
  const flat = want.flat();
  expect(got.length).toBe(flat.length);
  return Math.max(...flat.map((w, i) => Math.abs(got[i]! - w) / Math.max(1e-3, Math.abs(w))));
}

describe("a LightGBM model predicts here as it does there", () => {
  const columns = columnsOf(expected.rows);
  test.each(Object.keys(expected.lightgbm))("%s", (name) => {
    const model = Model.fromLightGBM(read(`lightgbm-${name}.txt`));
    const want = expected.lightgbm[name]!;
    expect(apart(model.predict(columns), want.prediction)).toBeLessThan(1e-10);
    expect([...model.predictLeaf(columns)]).toEqual(want.leaves.flat());
    // LightGBM sums a forest's contributions where its prediction is the mean of the trees.
    const times = name === "forest" ? model.iterations : 1;
    const contributions = model.predictContributions(columns.map((c) => c.slice(0, 5)));
    expect(
      apart(
        contributions.map((v) => v * times),
        want.contributions,
      ),
    ).toBeLessThan(1e-8);
    const again = Model.fromLightGBM(model.toLightGBM());
    expect(again.predict(columns)).toEqual(model.predict(columns));
  });
});

describe("an XGBoost model predicts here as it does there", () => {
  const columns = columnsOf(expected.knownRows);
  test.each(Object.keys(expected.xgboost))("%s", (name) => {
    const model = Model.fromXGBoost(read(`xgboost-${name}.model`));
    const want = expected.xgboost[name]!;
    expect([...model.predictRaw(columns)]).toEqual(want.margin.flat());
    expect(apart(model.predict(columns), want.prediction)).toBeLessThan(1e-6);
    const again = Model.fromXGBoost(model.toXGBoost());
    expect(apart(again.predict(columns), want.prediction)).toBeLessThan(2e-6);
  });

  test("its categories' names are no concern of the trees: they split on codes", () => {
    expect(Model.fromXGBoost(read("xgboost-categories.model")).featureNames).toEqual([..."abcdef"]);
  });
});

describe("XGBoost's UBJSON holds the model that its JSON holds", () => {
  const columns = columnsOf(expected.knownRows);
  const bytesOf = (name: string): Uint8Array => readFileSync(new URL(name, folder));

  test.each(["l2", "multiclass", "dart", "categories"])("%s", (name) => {
    const model = new Model(readXGBoost(bytesOf(`xgboost-${name}.ubj`)));
    expect([...model.predictRaw(columns)]).toEqual(expected.xgboost[name]!.margin.flat());
    const sameFromJson = new Model(readXGBoost(bytesOf(`xgboost-${name}.model`)));
    expect(model.toXGBoost()).toBe(sameFromJson.toXGBoost());
    expect(model.featureNames).toEqual(sameFromJson.featureNames);
  });

  test("what is written in one form reads as what is written in the other", () => {
    for (const name of Object.keys(expected.xgboost)) {
      const model = Model.fromXGBoost(read(`xgboost-${name}.model`));
      const again = new Model(readXGBoost(writeXGBoostUbjson(model.data)));
      expect(again.toXGBoost()).toBe(Model.fromXGBoost(model.toXGBoost()).toXGBoost());
      expect(apart(again.predict(columns), expected.xgboost[name]!.prediction)).toBeLessThan(2e-6);
    }
  });
});
