import { expect, test } from "vitest";
import { Dataset, type Params, type TrainInput, type TrainOptions, train, trainSync } from "../src/index.ts";
import { madeData } from "./made-data.ts";

const made = madeData(100_000, 3);
const dataset = Dataset.fromColumns(made.columns, { categorical: [2] });
const count = made.label.map((y) => Math.max(0, Math.round(y)));
const held = madeData(3000, 4);

// Every split ties with those of the copies, which other workers search.
const twins = made.columns.slice(0, 2).flatMap((c) => [c, c.map((v) => -v), c.map((v) => v * 2)]);
const ties = Dataset.fromColumns([...twins, ...twins]);

// Enough work that worker threads are really used.
const rounds = 34;
const cases: Record<string, { input: TrainInput; params: Params; options?: TrainOptions }> = {
  l2: { input: { dataset, label: made.label }, params: { objective: "l2" } },
  "weighted l1 in half of the rows": {
    input: { dataset, label: made.label, weight: made.weight },
    params: { objective: "l1", baggingFraction: 0.5, baggingFreq: 2 },
  },
  "poisson with a validation set": {
    input: { dataset, label: count },
    params: { objective: "poisson", featureFraction: 0.7 },
    options: {
      validation: { columns: held.columns, label: held.label.map((y) => Math.max(0, y)) },
      earlyStoppingRounds: 20,
    },
  },
  "columns that tie": {
    input: { dataset: ties, label: made.label.map((y) => (y > 3 ? 1 : 0)) },
    params: { objective: "binary", numLeaves: 31 },
  },
  classes: {
    input: { dataset, label: count.map((c) => c % 3) },
    params: { objective: "multiclass", numClass: 3 },
  },
};

test.each(Object.keys(cases))(
  "%s: the calling thread and any number of workers give the same bytes",
  async (name) => {
    const { input, params, options } = cases[name]!;
    const all = { numIterations: rounds, numLeaves: 4, ...params };
    const bytes = trainSync(input, all, options).toBytes();
    for (const numThreads of name === "l2" ? [1, 2, 4] : [2, 4]) {
      const model = await train(input, { ...all, numThreads }, options);
      expect(Buffer.from(model.toBytes()).equals(Buffer.from(bytes)), `${numThreads} workers`).toBe(true);
    }
  },
);

test("an abort ends a training with its reason, and progress has come until then", async () => {
  const abort = new AbortController();
  const seen: number[] = [];
  const training = train(
    { dataset, label: made.label },
    { numIterations: 100_000, numThreads: 2 },
    {
      signal: abort.signal,
      onProgress: ({ iteration }) => {
        seen.push(iteration);
        if (iteration === 5) abort.abort(new Error("enough"));
      },
    },
  );
  await expect(training).rejects.toThrow("enough");
  expect(seen.slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
});

test("an abort ends a training on the calling thread too", async () => {
  const small = madeData(200, 5);
  const abort = new AbortController();
  const training = train(
    { dataset: Dataset.fromColumns(small.columns), label: small.label },
    { numIterations: 1000 },
    {
      signal: abort.signal,
      onProgress: ({ iteration }) => iteration === 3 && abort.abort(new Error("enough")),
    },
  );
  await expect(training).rejects.toThrow("enough");
});

test("a failing progress callback ends the training with its error", async () => {
  const training = train(
    { dataset, label: made.label },
    { numIterations: 10_000, numThreads: 2 },
    {
      onProgress: () => {
        throw new Error("the listener broke");
      },
    },
  );
  await expect(training).rejects.toThrow("the listener broke");
});
