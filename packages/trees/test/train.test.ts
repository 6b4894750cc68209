import { expect, test } from "vitest";
import { Dataset, Model, train, trainSync } from "../src/index.ts";
import { madeData } from "./made-data.ts";

test("boosting explains what a constant cannot", () => {
  const { columns, label } = madeData(2000, 1);
  const model = trainSync({ dataset: Dataset.fromColumns(columns), label }, { numIterations: 60 });
  const p = model.predict(columns);
  let error = 0;
  let spread = 0;
  const mean = label.reduce((a, b) => a + b, 0) / label.length;
  label.forEach((y, i) => {
    error += (y - p[i]!) ** 2;
    spread += (y - mean) ** 2;
  });
  expect(error / spread).toBeLessThan(0.05);
});

test("predictions of a row, of columns and of a saved model are the same", async () => {
  const { columns, label } = madeData(500, 2);
  const model = await train(
    { dataset: Dataset.fromColumns(columns, { categorical: [2] }), label },
    { numIterations: 20 },
  );
  const p = model.predict(columns);
  const again = Model.fromBytes(model.toBytes());
  expect(again.predict(columns)).toEqual(p);
  for (let i = 0; i < 50; i++) expect(model.predictRow(Float64Array.from(columns, (c) => c[i]!))).toBe(p[i]);
});
