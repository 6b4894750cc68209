import { expect, test } from "vitest";
import { exponential } from "../src/exponential.ts";
import { Dataset } from "../src/index.ts";
import type { Derive } from "../src/kernel-arguments.ts";
import { makeKernels, plainKernels } from "../src/kernels.ts";
import { blockRows, kernelArguments, planMemory } from "../src/memory.ts";
import { makeObjective } from "../src/objectives.ts";
import { resolveParams } from "../src/params.ts";
import { madeData } from "./made-data.ts";

const rows = 20_011;
const { columns, label } = madeData(rows, 23);
const dataset = Dataset.fromColumns(columns, { categorical: [2] });
const count = label.map((y) => Math.max(0, Math.round(y)));

const extremes = [1e4, -1e4, 0, -0, 700, -744];

/** The memory of a training on one worker, with numbers in it. */
function filled(objective: "l2" | "poisson" | "binary", derive: Derive | undefined) {
  const params = resolveParams({ objective, numLeaves: 8 }, dataset.columns);
  const memory = planMemory({
    data: dataset.parts(),
    params,
    label: count,
    weight: undefined,
    validation: undefined,
    workers: 1,
    shared: true,
    constantHessian: objective === "l2",
    renewsQuantile: false,
    plainKernels: false,
  });
  for (let i = 0; i < rows; i++) {
    memory.rows[i] = i;
    memory.leafOf[i] = i % 11 === 0 ? 65535 : i % 8;
    // Derivatives must fit into the records, so extremes are for the loss that bounds them.
    memory.scores[i] = (objective === "binary" ? extremes[i] : undefined) ?? Math.sin(i) * 6;
  }
  return { memory, given: kernelArguments(memory, 0, 0, rows, derive) };
}

test.each(["l2", "poisson", "binary"] as const)(
  "%s: kernels in WebAssembly write what the plain ones write, bit for bit",
  (objective) => {
    const { derive, gradients } = makeObjective(resolveParams({ objective }, dataset.columns));
    const [fast, plain] = [true, false].map((compiled) => {
      const { memory, given } = filled(objective, derive);
      expect(given.binMemory).toBeDefined();
      const kernels = compiled ? makeKernels(given) : plainKernels(given);
      expect(kernels.derive === undefined).toBe(!compiled);
      const seen: unknown[] = [];
      for (const [n, row] of [
        [blockRows, 0],
        [101, 300],
        [1, rows - 1],
        [0, 5],
      ] as const) {
        given.hessian.fill(1);
        if (kernels.derive) kernels.derive(n, row);
        else {
          const part = (of: Float64Array) => of.subarray(row, row + n);
          gradients(part(memory.scores), part(memory.label), n, given.gradient, given.hessian);
        }
        kernels.quantise(n, row, 2 ** 11, 2 ** 9, 12345 + row);
        seen.push(given.gradient.slice(0, n), given.hessian.slice(0, n));
      }
      for (let b = 0; b < 256; b++) given.table[b] = b % 3 === 0 ? 1 : 0;
      seen.push(kernels.partition(0, rows, 0), kernels.partition(7, 5000, 3 * rows));
      seen.push(kernels.partition(9, 9, 0), kernels.partition(9, 10, rows));
      if (given.derivatives) kernels.sumDerivatives(3, rows, 2 ** 20, 2 ** 18);
      const { ints } = memory.records;
      return [
        ...seen,
        memory.rows.slice(),
        ints.slice(),
        memory.derivatives?.slice(),
        memory.leafSums.slice(),
      ];
    });
    expect(fast).toEqual(plain);
  },
);

test("a partition keeps the order on both sides", () => {
  const { memory, given } = filled("l2", undefined);
  given.table.fill(1, 0, 20);
  const left = makeKernels(given).partition(100, 15_000, rows);
  const all = Array.from({ length: 14_900 }, (_, i) => i + 100);
  const goesLeft = (row: number) => given.table[dataset.bins[rows + row]!] === 1;
  const want = [...all.filter(goesLeft), ...all.filter((row) => !goesLeft(row))];
  expect([...memory.rows.subarray(100, 15_000)]).toEqual(want);
  expect(left).toBe(all.filter(goesLeft).length);
  expect(left).toBeGreaterThan(100);
  expect(left).toBeLessThan(14_800);
});

test("the exponential is within 2e-14 of the engine's, and bounded", () => {
  for (let x = -699; x < 699; x += 0.37) {
    expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(2e-13);
  }
  for (let x = -30; x < 30; x += 0.0137) {
    expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(2e-14);
  }
  expect(exponential(1e9)).toBe(exponential(700));
  expect(exponential(-1e9)).toBeGreaterThan(0);
});
