import { CityScaleError } from "../core/index.ts";
import type { FeatureDeclaration } from "../domain/index.ts";
import type { Connection } from "../lake/index.ts";
import type { FeatureView } from "./view.ts";

/** The columns by which a block's rows join a row of features, and what each is called there. */
const blocks: Record<FeatureDeclaration["block"], readonly (readonly [key: string, row: string])[]> = {
  static: [["e", "e"]],
  history: [
    ["v", "v"],
    ["e", "e"],
    ["t", "anchor"],
  ],
  calendar: [["t", "t"]],
  lookup: [["row", "row"]],
};

/**
 * Runs a view's custom features, each into a table of its keys and one number, and returns the joins to them: the
 * rows are `w`, a feature's table `x_NAME`.
 * Throws FEATURE_SQL_INVALID naming the feature that does not run, lacks its keys or its own column, is no number,
 * or has several rows for one key (they would multiply the rows of every other feature).
 */
export async function runCustom(connection: Connection, view: FeatureView): Promise<string> {
  const joins: string[] = [];
  for (const { name, block, sql } of view.custom) {
    const invalid = (what: string, cause?: unknown) =>
      new CityScaleError("FEATURE_SQL_INVALID", `feature "${name}" of ${view.name} ${what}`, { cause });
    const keys = blocks[block].map(([key]) => `"${key}"`);
    try {
      await connection.run(
        `CREATE OR REPLACE TEMP TABLE custom_${name} AS SELECT ${keys.join(", ")}, CAST("${name}" AS FLOAT) AS "${name}" FROM (${sql})`,
      );
    } catch (error) {
      throw invalid(
        `does not yield ${keys.join(", ")} and a number "${name}": ${(error as Error).message}`,
        error,
      );
    }
    const twice = await connection.first(
      `SELECT 1 FROM custom_${name} WHERE ${keys.map((key) => `${key} IS NOT NULL`).join(" AND ")}
       GROUP BY ${keys.join(", ")} HAVING count(*) > 1 LIMIT 1`,
    );
    if (twice) throw invalid(`has several rows for one ${keys.join(", ")}`);
    const on = blocks[block].map(([key, row]) => `x_${name}."${key}" = w."${row}"`).join(" AND ");
    joins.push(`LEFT JOIN custom_${name} x_${name} ON ${on}`);
  }
  return joins.join("\n      ");
}
