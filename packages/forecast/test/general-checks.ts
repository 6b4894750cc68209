import { describe, expect, test } from "vitest";
import { type FitProgress, ForecastError, type Matrix, splits } from "../src/index.ts";
import { rowsOf, withColumn } from "./synthetic.ts";

/** A fitted forecaster, as the checks see it. */
export interface Fitted {
  predict(matrix: Matrix): readonly Float64Array[];
  toBytes(): Uint8Array;
}

export interface FitArguments {
  readonly matrix: Matrix;
  readonly target: Float64Array;
  readonly calibration: Uint8Array;
  readonly calibrate: "refit" | "holdout" | "none";
  readonly threads?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FitProgress) => void;
}

/** One kind of forecaster. */
export interface Kind {
  readonly name: string;
  /** false: it has no calibration window, and `calibrate` means nothing to it */
  readonly calibrates?: false;
  rows(count: number, seed: number): { matrix: Matrix; target: Float64Array; calibration: Uint8Array };
  fit(input: FitArguments): Promise<Fitted>;
  fromBytes(bytes: Uint8Array): Fitted;
  /** A target every row can have. */
  readonly constant: number;
}

/** The suite that every kind of forecaster must pass. */
export function generalChecks(kind: Kind): void {
  const rows = kind.rows(1200, 1);
  const fresh = kind.rows(60, 2).matrix;
  const fit = (input: Partial<FitArguments> = {}) => kind.fit({ ...rows, calibrate: "none", ...input });
  const allFinite = (columns: readonly Float64Array[]) =>
    columns.every((column) => column.every(Number.isFinite));
  const missing = new Float32Array(fresh.rows).fill(Number.NaN);

  describe(`every forecaster: ${kind.name}`, () => {
    test("fitting and predicting do not change their inputs", async () => {
      const before = structuredClone({ rows, fresh });
      const fitted = await fit({ calibrate: "refit" });
      fitted.predict(fresh);
      expect({ rows, fresh }).toEqual(before);
    });

    test("a constant target is forecast as that constant", async () => {
      const target = new Float64Array(rows.matrix.rows).fill(kind.constant);
      const fitted = await fit({ target });
      for (const column of fitted.predict(rows.matrix)) {
        for (const value of column)
          expect(Math.abs(value - kind.constant)).toBeLessThan(0.02 * (1 + kind.constant));
      }
    });

    test("a column that is missing everywhere does no harm, in fitting or in predicting", async () => {
      const empty = new Float32Array(rows.matrix.rows).fill(Number.NaN);
      const fitted = await fit({ matrix: withColumn(rows.matrix, "signal", empty) });
      expect(allFinite(fitted.predict(fresh))).toBe(true);
      expect(allFinite((await fit()).predict(withColumn(fresh, "signal", missing)))).toBe(true);
    });

    test("one row is enough to fit and to predict", async () => {
      const fitted = await fit({
        matrix: rowsOf(rows.matrix, 0, 1),
        target: rows.target.slice(0, 1),
        calibration: rows.calibration.slice(0, 1),
      });
      for (const column of fitted.predict(rowsOf(fresh, 0, 1))) {
        expect(column.length).toBe(1);
        expect(column[0]).toBeGreaterThanOrEqual(0);
      }
    });

    test("a category that was never seen is forecast like a missing one", async () => {
      const fitted = await fit();
      const unseen = fitted.predict(withColumn(fresh, "entity", new Float32Array(fresh.rows).fill(999)));
      expect(allFinite(unseen)).toBe(true);
      expect(unseen).toEqual(fitted.predict(withColumn(fresh, "entity", missing)));
    });

    test("a row alone is forecast as it is among others", async () => {
      const fitted = await fit();
      const together = fitted.predict(fresh);
      fitted.predict(rowsOf(fresh, 7, 8)).forEach((column, k) => {
        expect(column[0]).toBe(together[k]![7]);
      });
    });

    test("no rows give no forecasts", async () => {
      for (const column of (await fit()).predict(rowsOf(fresh, 0, 0))) expect(column.length).toBe(0);
    });

    test("saved and loaded it gives equal forecasts and equal bytes", async () => {
      for (const calibrate of ["none", "holdout"] as const) {
        const fitted = await fit({ calibrate });
        const bytes = fitted.toBytes();
        const loaded = kind.fromBytes(bytes);
        expect(loaded.predict(fresh)).toEqual(fitted.predict(fresh));
        expect(loaded.toBytes()).toEqual(bytes);
      }
    });

    test("the same seed gives the same bytes with any number of threads, another seed others", async () => {
      const bytes = (await fit({ calibrate: "refit", threads: 1 })).toBytes();
      expect((await fit({ calibrate: "refit", threads: 2 })).toBytes()).toEqual(bytes);
      expect((await fit({ calibrate: "refit", seed: 8 })).toBytes()).not.toEqual(bytes);
    });

    test("bytes that are not its own are refused", async () => {
      const bytes = (await fit()).toBytes();
      const altered = bytes.slice();
      altered[bytes.length >> 1]! ^= 1;
      for (const bad of [new Uint8Array(0), bytes.subarray(1), bytes.subarray(0, -1), altered]) {
        expect(() => kind.fromBytes(bad)).toThrow(ForecastError);
      }
    });

    test("rows with an unknown target teach it nothing", async () => {
      const known = rows.target.map((value, i) => (i % 3 === 0 ? Number.NaN : value));
      const matrix = structuredClone(rows.matrix);
      for (const column of matrix.columns) for (let i = 0; i < column.length; i += 3) column[i] = 5;
      expect((await fit({ matrix, target: known })).toBytes()).toEqual(
        (await fit({ target: known })).toBytes(),
      );
    });

    test("other columns than those it was fitted on are refused by name", async () => {
      const fitted = await fit();
      const swapped = { ...fresh, names: [fresh.names[1]!, fresh.names[0]!, fresh.names[2]!] };
      expect(() => fitted.predict(swapped)).toThrow(/column 0 is ".*", expected "entity"/);
      expect(() => fitted.predict({ ...fresh, rows: fresh.rows + 1 })).toThrow(ForecastError);
    });

    test("nothing to fit or to calibrate on is an error before any tree is grown", async () => {
      let grown = 0;
      const onProgress = () => {
        grown++;
      };
      const unknown = new Float64Array(rows.matrix.rows).fill(Number.NaN);
      await expect(fit({ target: unknown, onProgress })).rejects.toThrow(/none of 1200 rows/);
      expect(grown).toBe(0);
      if (kind.calibrates === false) return;
      const allLate = splits.calibrationMask(new Float64Array(1200), { trainBefore: 1, windowMs: 2 });
      await expect(fit({ calibration: allLate, calibrate: "refit", onProgress })).rejects.toThrow(
        /0 usable rows before/,
      );
      const noneLate = new Uint8Array(1200);
      await expect(fit({ calibration: noneLate, calibrate: "holdout", onProgress })).rejects.toThrow(
        /0 in the calibration/,
      );
      expect(grown).toBe(0);
    });

    test("it can be stopped while it fits", async () => {
      const controller = new AbortController();
      const stopped = fit({
        signal: controller.signal,
        onProgress: () => controller.abort(new Error("enough")),
      });
      await expect(stopped).rejects.toThrow();
      expect(controller.signal.aborted).toBe(true);
    });

    test("progress rises to its end", async () => {
      const seen: FitProgress[] = [];
      await fit({ calibrate: "refit", onProgress: (progress) => seen.push(progress) });
      for (let k = 1; k < seen.length; k++) expect(seen[k]!.done).toBeGreaterThanOrEqual(seen[k - 1]!.done);
      expect(seen.at(-1)!.done).toBe(seen.at(-1)!.of);
      expect(new Set(seen.map((progress) => progress.of)).size).toBe(1);
    });
  });
}
