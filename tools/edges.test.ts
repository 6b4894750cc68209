import { expect, test } from "vitest";
import { planted, proveEdges } from "./edges.ts";

test("every planted violation is found, and none where nothing is planted", async () => {
  expect(await proveEdges()).toEqual([]);
});

test("a rule that finds nothing is told", async () => {
  const harmless = [
    "packages/cityscale/src/models/bad.ts",
    'export * from "../lake/index.ts";',
    "rightwards-from-models",
  ] as const;
  expect(await proveEdges([harmless, planted[0]!])).toEqual([
    `did not find ${harmless[2]} in "${harmless[1]}"`,
  ]);
});
