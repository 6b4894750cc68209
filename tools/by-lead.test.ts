import { expect, test } from "vitest";
import { byLeadSvg } from "./by-lead.ts";

const at = (lead: number, wape: number | null, n = 1000) => ({
  lead,
  n,
  wape,
  coverage80: 0.79 + 0.01 * lead,
});
const report = {
  ...{ city: "town", target: "counts", from: "2023-04-01", to: "2023-04-30" },
  models: [
    { name: "last-week", kind: "naive", champion: false, byLead: [at(1, 0.2), at(2, 0.3), at(3, 0.9, 5)] },
    { name: "trees", kind: "trained", champion: true, byLead: [at(1, 0.1), at(2, 0.2), at(3, 0.8, 5)] },
  ],
};

test("errors by lead are lines of their own height; a lead of a few rows alone is left out", () => {
  const svg = byLeadSvg(report);
  const lines = [...svg.matchAll(/<polyline points="([^"]*)"/g)].map(([, points]) =>
    points!.split(" ").map((point) => point.split(",").map(Number)),
  );
  expect(lines.map((points) => points.length)).toEqual([2, 2]);
  // The same error is at the same height, a smaller one below it (y grows downwards).
  expect(lines[0]![0]![1]).toBe(lines[1]![1]![1]);
  expect(lines[1]![0]![1]).toBeGreaterThan(lines[0]![0]![1]!);
  expect(svg).toContain("the 80 % interval covers 80 to 81 % by lead");
  expect(() => byLeadSvg({ ...report, models: [] })).toThrow(/no models/);
});
