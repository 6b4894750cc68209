import type { BinaryReport, StockOutTable } from "../models/index.ts";
import { weatherBasis } from "./score-table.ts";
import { fixed, percent, table, whole } from "./table.ts";

/** Scores on onset rows, then on all. */
export function stockOutTable(models: readonly Pick<BinaryReport, "name" | "onset" | "all">[]): string {
  const right = "right" as const;
  const rows = (["onset", "all"] as const).flatMap((on) =>
    models.map((model) => ({ on, name: model.name, ...model[on] })),
  );
  return table(
    rows,
    [
      { title: "rows", value: (r) => (r.on === "onset" ? "onset" : "all") },
      { title: "model", value: (r) => r.name },
      { title: "average precision", align: right, value: (r) => fixed(r.averagePrecision, 3) },
      { title: "recall at 1 %", align: right, value: (r) => percent(r.recall) },
      { title: "precision", align: right, value: (r) => percent(r.precision) },
      { title: "F1", align: right, value: (r) => fixed(r.f1, 3) },
      { title: "Brier", align: right, value: (r) => fixed(r.brier, 5) },
      { title: "skill", align: right, value: (r) => fixed(r.brierSkill, 3) },
      { title: "calibration error", align: right, value: (r) => fixed(r.calibrationError, 4) },
      { title: "bias", align: right, value: (r) => fixed(r.bias) },
      { title: "base rate", align: right, value: (r) => percent(r.baseRate, 2) },
      { title: "n", align: right, value: (r) => whole(r.rows) },
    ],
    "  ",
  );
}

/** How a candidate did on its test window. */
export function stockOutScores({ models, rows, entities, weather, notes }: StockOutTable): string {
  const told = [weatherBasis[weather], ...notes].map((note) => `  ${note}\n`).join("");
  return `${stockOutTable(models)}  ${whole(rows)} forecasts of ${entities} stations that came true; onset rows are not short at the origin\n${told}`;
}
