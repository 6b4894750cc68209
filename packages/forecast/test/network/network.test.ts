import { describe, expect, test } from "vitest";
import { pack, unpack } from "../../src/container.ts";
import {
  ForecastError,
  fitNetwork,
  Network,
  type NetworkOptions,
  type NetworkProgress,
  scores,
} from "../../src/index.ts";
import { fitWith } from "../../src/network/fit.ts";
import { generalChecks } from "../general-checks.ts";
import { quantityRows, randomOf } from "../synthetic.ts";
import { madeRows, matrixWith, meanError } from "./made-rows.ts";

const options: NetworkOptions = { hidden: [24, 12], epochs: 5, batch: 256, seed: 3, threads: 1 };

generalChecks({
  name: "network",
  constant: 50,
  calibrates: false,
  rows: quantityRows,
  fit: ({ matrix, target, threads = 1, seed = 1, signal, onProgress }) =>
    fitNetwork(
      { matrix, label: target, weight: target.map((value) => Number(!Number.isNaN(value))) },
      {
        ...options,
        threads,
        seed,
        loss: { kind: "quantile", levels: [0.1, 0.5], delta: 0.1 },
        ...(signal && { signal }),
        ...(onProgress && { onProgress: (p: NetworkProgress) => onProgress({ phase: "network", ...p }) }),
      },
    ),
  fromBytes: Network.fromBytes,
});

// Enough work that worker threads are really used.
const large = madeRows(20_000, 1);
const largeOptions: NetworkOptions = {
  ...options,
  hidden: [90, 42],
  epochs: 5,
  batch: 500,
  loss: { kind: "squared" },
};

describe("the training", () => {
  test("WebAssembly and plain kernels give the same bytes, with any number of workers", async () => {
    const bytes = (await fitWith(large, largeOptions, true)).toBytes();
    for (const threads of [1, 2, 3]) {
      const fitted = await fitNetwork(large, { ...largeOptions, threads });
      expect(Buffer.from(fitted.toBytes()).equals(Buffer.from(bytes)), `${threads} workers`).toBe(true);
    }
  });

  test("an abort ends it within an epoch or two, on workers and on the calling thread", async () => {
    for (const [rows, epochs] of [
      [large, 10_000],
      [madeRows(500, 2), 100],
    ] as const) {
      const controller = new AbortController();
      let [abortedAfter, last] = [0, 0];
      const fit = fitNetwork(rows, {
        ...largeOptions,
        epochs,
        threads: 2,
        signal: controller.signal,
        onProgress: ({ done }) => {
          last = done;
          if (done < 1 || controller.signal.aborted) return;
          abortedAfter = done;
          controller.abort(new Error("enough"));
        },
      });
      await expect(fit).rejects.toThrow("enough");
      expect(last - abortedAfter).toBeLessThan(2);
    }
    await expect(
      fitNetwork(large, { ...options, signal: AbortSignal.abort(new Error("no")) }),
    ).rejects.toThrow("no");
  });

  test("a failing listener ends it with its error", async () => {
    const onProgress = () => {
      throw new Error("the listener broke");
    };
    for (const rows of [large, madeRows(500, 2)]) {
      await expect(fitNetwork(rows, { ...largeOptions, epochs: 500, onProgress })).rejects.toThrow(
        "the listener broke",
      );
    }
  });

  test("the loss it reports falls, in units of the label", async () => {
    const seen: NetworkProgress[] = [];
    const far = { ...large, label: large.label.map((value) => 1000 * value) };
    const loss = { kind: "smoothL1", delta: 1 } as const;
    const fitted = await fitNetwork(far, {
      ...largeOptions,
      loss,
      dropout: 0,
      onProgress: (p) => seen.push(p),
    });
    expect(seen[0]!.loss).toBeGreaterThan(500);
    const last = seen.at(-1)!;
    expect(last.done).toBe(last.of);
    expect(last.loss).toBeLessThan(0.6 * seen[0]!.loss);
    const error = meanError(far.label, fitted.predict(far.matrix)[0]!);
    expect(Math.abs(error - last.loss) / error).toBeLessThan(0.2);
  });
});

describe("what it learns", () => {
  test("a curve, better than a linear model, on rows it has not seen", async () => {
    const later = madeRows(4000, 9);
    const linear = await fitNetwork(large, { ...options, hidden: [] });
    const network = await fitNetwork(large, { ...options, hidden: [64, 32], dropout: 0.05, epochs: 25 });
    const errors = [linear, network].map((fit) => meanError(later.label, fit.predict(later.matrix)[0]!));
    expect(errors[1]).toBeLessThan(0.35 * errors[0]!);
  });

  test("exclusive or", async () => {
    const a = Float32Array.from({ length: 400 }, (_, i) => i & 1);
    const b = Float32Array.from({ length: 400 }, (_, i) => (i >> 1) & 1);
    const label = Float64Array.from(a, (value, i) => Number(value !== b[i]));
    const matrix = matrixWith(["a", "b"], [a, b]);
    const fitted = await fitNetwork(
      { matrix, label },
      { ...options, hidden: [16], batch: 64, dropout: 0, epochs: 200, learningRate: 0.01 },
    );
    expect(meanError(label, fitted.predict(matrix)[0]!)).toBeLessThan(0.02);
  });

  test("a value of each category", async () => {
    const site = Float32Array.from({ length: 4000 }, (_, i) => [0, 4, 900][i % 3]!);
    const label = Float64Array.from(site, (code) => (code === 4 ? 5 : code === 900 ? -3 : 1));
    const matrix = matrixWith(["site"], [site], ["site"]);
    const fitted = await fitNetwork({ matrix, label }, { ...options, dropout: 0, epochs: 60 });
    expect(meanError(label, fitted.predict(matrix)[0]!)).toBeLessThan(0.1);
  });

  test("quantiles that cover what they say, one column each", async () => {
    const random = randomOf(5);
    const x = Float32Array.from({ length: 20_000 }, () => random());
    const label = Float64Array.from(x, (value) => 100 + 50 * value * (random() - 0.5));
    const matrix = matrixWith(["x"], [x]);
    const levels = [0.1, 0.5, 0.9];
    const fitted = await fitNetwork(
      { matrix, label },
      { ...options, loss: { kind: "quantile", levels, delta: 0.1 }, epochs: 20, dropout: 0 },
    );
    expect(fitted.outputs).toBe(3);
    const [low, middle, high] = fitted.predict(matrix);
    expect(Math.abs(scores.coverage(label, low!, high!)! - 0.8)).toBeLessThan(0.03);
    const half = scores.coverage(label, new Float64Array(20_000).fill(-1e9), middle!)!;
    expect(Math.abs(half - 0.5)).toBeLessThan(0.04);
  });

  test("a row counts by its weight, and not at all with weight 0, whatever its label", async () => {
    const rows = madeRows(1500, 6);
    const label = rows.label.slice();
    const weight = rows.weight.slice();
    for (let i = 0; i < 1500; i += 3) {
      weight[i] = 0;
      label[i] = Number.NaN;
    }
    const kept = Array.from({ length: 1500 }, (_, i) => i).filter((i) => i % 3 !== 0);
    const alone = {
      matrix: {
        ...rows.matrix,
        rows: kept.length,
        columns: rows.matrix.columns.map((column) => Float32Array.from(kept, (i) => column[i]!)),
      },
      label: Float64Array.from(kept, (i) => label[i]!),
      weight: Float64Array.from(kept, (i) => 8 * weight[i]!),
    };
    const some = await fitNetwork({ ...rows, label, weight }, options);
    expect(some.toBytes()).toEqual((await fitNetwork(alone, options)).toBytes());

    // Two labels at one place: the heavier wins where the median is sought.
    const x = matrixWith(["x"], [new Float32Array(3000)]);
    const y = Float64Array.from({ length: 3000 }, (_, i) => i % 3);
    const heavy = y.map((value) => (value === 2 ? 10 : 1));
    const fitted = await fitNetwork(
      { matrix: x, label: y, weight: heavy },
      { ...options, epochs: 100, dropout: 0 },
    );
    expect(fitted.predict(x)[0]![0]).toBeCloseTo(2, 1);
  });
});

describe("odd inputs", () => {
  test("rows it cannot learn from are refused by name", async () => {
    const rows = madeRows(50, 1);
    const refused = (change: object, code: string, message: RegExp) =>
      expect(fitNetwork({ ...rows, ...change }, options)).rejects.toMatchObject({
        name: "ForecastError",
        code,
        message: expect.stringMatching(message),
      });
    const with7 = (values: Float64Array, value: number) => values.map((v, i) => (i === 7 ? value : v));
    await refused({ label: with7(rows.label, Number.NaN) }, "data", /row 7 has the label NaN/);
    await refused({ label: with7(rows.label, Number.POSITIVE_INFINITY) }, "data", /row 7 .* Infinity/);
    await refused({ weight: with7(rows.weight, -1) }, "data", /row 7 has the weight -1/);
    await refused({ weight: with7(rows.weight, Number.NaN) }, "data", /row 7 has the weight NaN/);
    await refused({ weight: new Float64Array(50) }, "noRows", /none of 50 rows/);
    await refused({ label: rows.label.slice(1) }, "shape", /label has 49/);
    await refused({ weight: rows.weight.slice(1) }, "shape", /weight has 49/);
    await refused({ label: with7(rows.label, 1e300) }, "data", /too large/);
    const codes = rows.matrix.columns.map((column, j) =>
      j === 9 ? column.map((code) => code + 0.5) : column,
    );
    await refused({ matrix: { ...rows.matrix, columns: codes } }, "data", /"site" has the code .*\.5/);
  });

  test("options outside their range are refused by name", async () => {
    const rows = madeRows(50, 1);
    for (const [change, message] of [
      [{ hidden: [0] }, /hidden layers \[0\]/],
      [{ hidden: [8, 8, 8, 8, 8] }, /at most 4/],
      [{ epochs: 0 }, /epochs is 0/],
      [{ batch: 1.5 }, /batch is 1.5/],
      [{ dropout: 1 }, /dropout is 1/],
      [{ learningRate: Number.NaN }, /learningRate is NaN/],
      [{ weightDecay: -1 }, /weightDecay/],
      [{ threads: 0 }, /threads is 0/],
      [{ seed: 0.5 }, /seed/],
      [{ loss: { kind: "smoothL1", delta: 0 } }, /delta is 0/],
      [{ loss: { kind: "quantile", levels: [1], delta: 1 } }, /level 1/],
      [{ loss: { kind: "quantile", levels: [], delta: 1 } }, /0 quantile levels/],
    ] as const) {
      await expect(fitNetwork(rows, { ...options, ...change }), String(message)).rejects.toThrow(message);
    }
  });

  test("a constant, a column without a value and infinities do no harm", async () => {
    const rows = madeRows(2000, 3);
    const empty = new Float32Array(2000).fill(Number.NaN);
    const columns = rows.matrix.columns.map((column, j) => (j === 0 || j === 10 ? empty : column));
    const fitted = await fitNetwork({ ...rows, matrix: { ...rows.matrix, columns } }, options);
    expect(fitted.predict(rows.matrix)[0]!.every(Number.isFinite)).toBe(true);
    // The constant column can say nothing, whatever it becomes.
    const other = rows.matrix.columns.map((column, j) => (j === 3 ? column.map(() => 1e30) : column));
    expect(fitted.predict({ ...rows.matrix, columns: other })).toEqual(fitted.predict(rows.matrix));
  });

  test("numbers far outside those it was fitted on give no more than the furthest that count", async () => {
    const rows = madeRows(2000, 3);
    const fitted = await fitNetwork(rows, options);
    const at = (value: number) => {
      const columns = rows.matrix.columns.map((column, j) =>
        j < 9 && j !== 3 && j !== 4 ? column.map(() => value) : column,
      );
      return fitted.predict({ ...rows.matrix, columns });
    };
    expect(at(1e30)).toEqual(at(40));
    expect(at(Number.POSITIVE_INFINITY)).toEqual(at(40));
    expect(at(Number.NEGATIVE_INFINITY)).toEqual(at(-40));
    expect(at(40)).not.toEqual(at(-40));
  });
});

describe("saved networks", () => {
  test("any bytes are a network or refused, also where the checksum fits", async () => {
    const fitted = await fitNetwork(madeRows(200, 1), { ...options, hidden: [8] });
    const { fields, sections } = unpackAll(fitted.toBytes());
    const save = (change: object, sectionsToo = sections) =>
      pack("network", { ...fields, ...change }, sectionsToo);
    expect(Network.fromBytes(save({})).toBytes()).toEqual(fitted.toBytes());
    const nan = sections.map((section) => section.slice());
    new DataView(nan[2]!.buffer).setFloat32(8, Number.NaN, true);
    for (const bytes of [
      save({ hidden: [9] }),
      save({ hidden: [8, 1024] }),
      save({ hidden: [1e9] }),
      save({ hidden: [-8] }),
      save({ hidden: "8" }),
      save({ outputs: 0 }),
      save({ outputs: 65 }),
      save({ scale: 0 }),
      save({ center: null }),
      save({ names: ["x"] }),
      save({ names: Array(11).fill("x") }),
      save({ categorical: ["day", "site"] }),
      save({ categorical: ["other"] }),
      save({ categories: [] }),
      save({ categories: [{ codes: [1, 1] }, { codes: [] }] }),
      save({ categories: [{ codes: [0.5] }, { codes: [] }] }),
      save({}, sections.slice(1)),
      save({}, [sections[1]!.subarray(8), sections[1]!, sections[2]!]),
      save({}, [sections[0]!, sections[1]!, sections[2]!.subarray(1)]),
      save({}, nan),
      pack("direct", fields, sections),
    ]) {
      expect(() => Network.fromBytes(bytes)).toThrow(ForecastError);
    }
    // Random changes with a checksum that fits: refused, or a network whose predictions are numbers.
    const random = randomOf(8);
    const { matrix } = madeRows(5, 2);
    for (let round = 0; round < 300; round++) {
      const text = JSON.stringify(fields);
      const at = Math.floor(random() * text.length);
      const changed = text.slice(0, at) + Math.floor(random() * 10) + text.slice(at + 1);
      let altered: object;
      try {
        altered = JSON.parse(changed) as object;
      } catch {
        continue;
      }
      const sectionsToo = sections.map((section) => section.slice());
      const hit = sectionsToo[round % 3]!;
      hit[Math.floor(random() * hit.length)] = Math.floor(random() * 256);
      let network: Network;
      try {
        network = Network.fromBytes(pack("network", altered, sectionsToo));
      } catch (error) {
        expect(error).toBeInstanceOf(ForecastError);
        continue;
      }
      const columns = network.names.map(() => new Float32Array(5).fill(3));
      const given = { ...matrix, names: network.names, columns };
      expect(network.predict(given)).toHaveLength(network.outputs);
    }
  });
});

function unpackAll(bytes: Uint8Array): { fields: object; sections: Uint8Array[] } {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(16, 16 + length))) as { fields: object };
  return { fields: header.fields, sections: unpack(bytes, "network").sections };
}
