import { expect, test } from "vitest";
import { reliabilitySvg } from "./reliability.ts";

const bin = (forecast: number, came: number) => ({ rows: 100, forecast, came });
const report = (tenths: readonly ReturnType<typeof bin>[]) => ({
  ...{ city: "town", target: "bikes-out-30", from: "2023-04-01", to: "2023-04-30" },
  models: [{ kind: "trained", reliability: { tenths, widths: [bin(0.15, 0.15)] } }],
});

test("a reliability diagram has right forecasts on its diagonal, and leaves out what an axis cannot show", () => {
  const svg = reliabilitySvg(report([bin(0.00001, 0), bin(0.01, 0.01), bin(0.1, 0.2)]));
  const points = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="5" fill="#2166ac"><title>/g)];
  expect(points).toHaveLength(2);
  const [diagonal, above] = points.map(([, x, y]) => [Number(x), 420 - Number(y)] as const);
  expect(diagonal![0]).toBeCloseTo(diagonal![1], 1);
  expect(above![1]).toBeGreaterThan(above![0]);
  expect(svg).toContain("forecast 10.000 %, came 20.000 %, 100 rows");
  expect(reliabilitySvg(report([bin(0.01, 0.01)]))).toBe(reliabilitySvg(report([bin(0.01, 0.01)])));
});
