import { Team } from "@cityscale/trees/wasm";
import { expect, test } from "vitest";
import { scaledLoss } from "../../src/network/loss.ts";
import { settingsOf } from "../../src/network/options.ts";
import { Trainer } from "../../src/network/trainer.ts";
import { initialise, planTraining, shapeOf } from "../../src/network/training-plan.ts";
import { randomOf } from "../synthetic.ts";
import { naiveForward } from "./naive.ts";

test("steps are those of Adam with a warm-up, a cosine and decoupled decay, by finite differences", () => {
  const random = randomOf(2);
  const counts = { rows: 150, numeric: 3, categoricals: 1, categories: 3 };
  const loss = { kind: "smoothL1", delta: 0.5 } as const;
  const settings = settingsOf({
    hidden: [5],
    epochs: 40,
    // All rows in each step, in two shards: the order of the rows makes no difference.
    batch: 1000,
    learningRate: 0.02,
    dropout: 0,
    weightDecay: 0.7,
    loss,
    seed: 1,
    threads: 1,
  });
  const scale = 2;
  const plan = planTraining(counts, settings, scale, 1, false, false);
  const { buffer } = plan.memory;
  const shape = shapeOf(counts, settings);
  const inputs = new Float32Array(buffer, plan.places.inputs, 150 * shape.numeric);
  const codes = new Int32Array(buffer, plan.places.codes, 150);
  const labels = new Float32Array(buffer, plan.places.labels, 150);
  const weights = new Float32Array(buffer, plan.places.weights, 150);
  for (let i = 0; i < 150; i++) {
    for (let k = 0; k < 3; k++) inputs[i * shape.numeric + k] = 2 * random() - 1;
    codes[i] = (i % 4) - 1;
    labels[i] = inputs[i * shape.numeric]! * 2 + codes[i]! + random();
    weights[i] = 2 * random();
  }
  initialise(plan);
  const parameters = new Float32Array(buffer, plan.places.parameters, shape.size);

  const naive = Float64Array.from(parameters);
  const first = new Float64Array(shape.size);
  const second = new Float64Array(shape.size);
  const { value } = scaledLoss(loss, scale);
  const total = (at: Float64Array): number => {
    const outputs = naiveForward(shape, at, inputs, codes);
    return labels.reduce((sum, y, i) => sum + weights[i]! * value(outputs[i * 4]! - y, 0), 0) / 150;
  };
  const decays = new Float64Array(shape.size);
  for (const { at, rows, columns, decays: some } of shape.segments) {
    if (some) decays.fill(settings.weightDecay, at, at + rows * columns);
  }
  const trainer = new Trainer(plan, new Team(0, 1, plan.control));
  for (let step = 1; step <= 40; step++) {
    const before = total(naive);
    const gradient = naive.map((at, i) => {
      const [above, below] = [1e-6, -1e-6].map((change) => {
        const moved = naive.slice();
        moved[i] = at + change;
        return total(moved);
      });
      return (above! - below!) / 2e-6;
    });
    const rate = 0.02 * 0.5 * (1 + Math.cos((Math.PI * step) / 40)) * Math.min(1, step / 8);
    for (let i = 0; i < naive.length; i++) {
      first[i] = 0.9 * first[i]! + 0.1 * gradient[i]!;
      second[i] = 0.999 * second[i]! + 0.001 * gradient[i]! ** 2;
      const m = first[i]! / (1 - 0.9 ** step);
      const v = second[i]! / (1 - 0.999 ** step);
      naive[i] = naive[i]! * (1 - rate * decays[i]!) - (rate * m) / (Math.sqrt(v) + 1e-8);
    }
    expect(trainer.step()).toBe(step < 40);
    // The mean of what it has seen in the epoch, which is one step.
    const weightMean = weights.reduce((sum, w) => sum + w, 0) / 150;
    expect(trainer.loss).toBeCloseTo((before / weightMean) * scale, 4);
  }
  parameters.forEach((learned, i) => {
    expect(learned, `parameter ${i}`).toBeCloseTo(naive[i]!, 3);
  });
});
