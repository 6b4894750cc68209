import { binOf } from "./bins.ts";
import type { Dataset, DatasetParts } from "./dataset.ts";
import { TreesError } from "./errors.ts";
import { categoricalFlag, defaultLeftFlag, inSet, type Tree } from "./tree.ts";

/** Routes rows by their bins through a tree whose nodes say which bins go left. */
export interface BinRoute {
  readonly feature: Int32Array;
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** nodes x 256: 1 where the bin goes left. */
  readonly tables: Uint8Array;
}

/** The leaf of row `row`. */
export function routeRow(route: BinRoute, data: DatasetParts, row: number): number {
  if (route.feature.length === 0) return 0;
  let n = 0;
  while (n >= 0) {
    const bin = data.bins[route.feature[n]! * data.rows + row]!;
    n = route.tables[n * 256 + bin]! ? route.left[n]! : route.right[n]!;
  }
  return ~n;
}

/** A tree over values as a route over the dataset's bins, which must have its thresholds among their bounds. */
export function binRoute(tree: Tree, dataset: Dataset): BinRoute {
  const nodes = tree.leaves - 1;
  const tables = new Uint8Array(nodes * 256);
  for (let n = 0; n < nodes; n++) {
    const f = tree.feature[n]!;
    const mapper = dataset.mappers[f]!;
    const table = tables.subarray(n * 256, (n + 1) * 256);
    if (tree.flags[n]! & categoricalFlag) {
      mapper.categories.forEach((category, b) => {
        table[b] = inSet(tree, tree.threshold[n]!, category) ? 1 : 0;
      });
      continue;
    }
    const threshold = tree.threshold[n]!;
    const b = threshold === Infinity ? mapper.bins - 1 : binOf(mapper.bounds, threshold);
    if (threshold !== Infinity && mapper.bounds[b] !== threshold) {
      throw new TreesError(
        `initModel splits ${dataset.names[f]} at ${threshold}, which is not a bin bound of this dataset: ` +
          "give its raw predictions as initScore instead",
      );
    }
    table.fill(1, 0, b + 1);
    table[mapper.bins] = tree.flags[n]! & defaultLeftFlag ? 1 : 0;
  }
  return { feature: tree.feature, left: tree.left, right: tree.right, tables };
}
