import { expect, test } from "vitest";
import { scaledLoss } from "../../src/network/loss.ts";
import { allocate, kernelsFor, Plan } from "../../src/network/memory.ts";
import { Pass, planPass } from "../../src/network/pass.ts";
import { Shape } from "../../src/network/shape.ts";
import { randomOf } from "../synthetic.ts";
import { naiveForward } from "./naive.ts";

const numeric = 6;
const categoricals = 2;
const categories = 5;
const rows = 20;
const outputs = 2;

test.each([
  { name: "no hidden layer", hidden: [], dropout: 0, plain: true },
  { name: "one, plain kernels", hidden: [7], dropout: 0, plain: true },
  { name: "two with dropout, plain kernels", hidden: [13, 6], dropout: 0.3, plain: true },
  { name: "two with dropout, WebAssembly", hidden: [13, 6], dropout: 0.3, plain: false },
  { name: "wide, WebAssembly", hidden: [46, 9], dropout: 0.5, plain: false },
])("gradients are those of finite differences: $name", ({ hidden, dropout, plain }) => {
  const random = randomOf(4);
  const shape = new Shape(numeric, categories, hidden, outputs);
  const plan = new Plan();
  const at = { parameters: plan.take(shape.size * 4), transposed: plan.take(shape.transposedSize * 4) };
  const gradientsAt = plan.take(shape.size * 4);
  const places = planPass(plan, shape, categoricals);
  const memory = allocate(plan, false, plain);
  const kernels = kernelsFor(memory);
  const { buffer } = memory;
  const parameters = new Float32Array(buffer, at.parameters, shape.size);
  for (let i = 0; i < shape.size; i++) parameters[i] = random() - 0.5;
  for (const { at: from, rows: r, columns, transposed } of shape.segments) {
    if (transposed !== undefined) {
      kernels.transpose(at.parameters + from * 4, r, columns, 0, r, at.transposed + transposed * 4);
    }
  }
  const inputs = new Float32Array(buffer, places.inputs, rows * shape.numeric);
  for (let i = 0; i < inputs.length; i++) inputs[i] = random() < 0.2 ? 0 : 2 * random() - 1;
  const codes = new Int32Array(buffer, places.codes, rows * categoricals);
  for (let i = 0; i < codes.length; i++) codes[i] = Math.floor(random() * (categories + 1)) - 1;
  const labels = Float64Array.from({ length: rows }, () => random() - 0.5);
  const loss = scaledLoss({ kind: "quantile", levels: [0.2, 0.7], delta: 0.4 }, 1);

  const pass = new Pass(kernels, buffer, shape, at, places, categoricals);
  pass.forward(rows, { share: dropout, seed: 1, draw: 0 });
  // A unit is alive if it is positive; the draws of those that are not make no difference.
  const alive = hidden.map((_, l) =>
    Float32Array.from(
      new Float32Array(buffer, places.values[l]!, rows * shape.layers[l]!.outputs),
      (value) => (value > 0 ? 1 / (1 - dropout) : 0),
    ),
  );
  if (dropout > 0) {
    const share = alive[0]!.filter((value) => value > 0).length / alive[0]!.length;
    expect(share).toBeLessThan(0.65 * (1 - dropout));
  }
  const width = shape.layers.at(-1)!.outputs;
  const last = shape.layers.length - 1;
  const predicted = new Float32Array(buffer, places.values[last]!, rows * width);
  const slopes = new Float32Array(buffer, places.gradients[last]!, rows * width);
  const total = (values: Float64Array | Float32Array): number => {
    let sum = 0;
    for (let i = 0; i < rows; i++) {
      for (let k = 0; k < outputs; k++) sum += loss.value(values[i * width + k]! - labels[i]!, k);
    }
    return sum;
  };
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < outputs; k++) {
      slopes[i * width + k] = loss.slope(predicted[i * width + k]! - labels[i]!, k);
    }
  }
  pass.backward(rows, gradientsAt, dropout);

  const exact = Float64Array.from(parameters);
  naiveForward(shape, exact, inputs, codes, alive).forEach((value, i) => {
    if (i % width < outputs) expect(predicted[i]).toBeCloseTo(value, 5);
  });
  const gradients = new Float32Array(buffer, gradientsAt, shape.size);
  let largest = 0;
  const step = 1e-6;
  for (const segment of shape.segments) {
    for (let i = segment.at; i < segment.at + segment.rows * segment.columns; i++) {
      const [above, below] = [step, -step].map((change) => {
        const moved = exact.slice();
        moved[i]! += change;
        return total(naiveForward(shape, moved, inputs, codes, alive));
      });
      const difference = (above! - below!) / (2 * step);
      // Outputs that only fill a register have neither loss nor gradient.
      expect(Math.abs(gradients[i]! - difference), `parameter ${i}`).toBeLessThan(1e-4);
      largest = Math.max(largest, Math.abs(difference));
    }
  }
  expect(largest).toBeGreaterThan(0.5);
});
