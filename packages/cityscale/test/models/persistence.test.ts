import { expect, test } from "vitest";
import { persistenceRisk } from "../../src/models/index.ts";
import { fitPersistence } from "../../src/models/stock-outs/persistence.ts";

test("persistence gives each count the rate at which it ran out, counts seldom seen the overall one", () => {
  const count = new Int16Array(4000);
  const lowest = new Int16Array(4000);
  for (let i = 0; i < 4000; i++) {
    count[i] = i % 2 === 0 ? 1 : 12;
    lowest[i] = i % 2 === 0 ? 0 : i % 40 === 1 ? 2 : 9;
  }
  const rates = fitPersistence(count, lowest, 3);
  const overall = 0.5 + 0.5 / 20;
  expect(persistenceRisk(rates, 1, 3)).toBeCloseTo((2000 + 10 * overall) / 2010, 12);
  expect(persistenceRisk(rates, 12, 3)).toBeCloseTo((100 + 10 * overall) / 2010, 12);
  expect(persistenceRisk(rates, 5, 3)).toBeCloseTo(overall, 12);
  // More than 40 are as 40.
  expect(persistenceRisk(rates, 90, 3)).toBe(persistenceRisk(rates, 40, 3));
});

test("rows without a count or an outcome teach nothing, and without rates what is short stays short", () => {
  const rates = fitPersistence(Int16Array.of(5, -1, 5), Int16Array.of(0, 0, -1), 3);
  expect(rates[5]).toBe(1);
  expect([2, 3].map((count) => persistenceRisk(null, count, 3))).toEqual([1, 0]);
});
