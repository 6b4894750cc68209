import type { ModelScores } from "../models/index.ts";
import { fixed, percent, table, whole } from "./table.ts";

interface Scored {
  readonly rows: number;
  readonly entities: number;
  readonly models: readonly ModelScores[];
  readonly weather: "issued" | "observed" | "none";
  readonly notes: readonly string[];
}

const weatherBasis = {
  issued: "weather: as it was forecast before each origin",
  observed: "weather: as later observed, a perfect forecast that live forecasts do not have",
  none: "weather: not used",
};

/** Models beside naive forecasts on the same rows, the best by WAPE first. */
export function scoreTable(scored: Scored): string {
  const models = [...scored.models].sort(
    (a, b) => (a.wape ?? Number.POSITIVE_INFINITY) - (b.wape ?? Number.POSITIVE_INFINITY),
  );
  const right = "right" as const;
  const text = table(
    models,
    [
      { title: "model", value: (m) => `${m.champion ? "* " : "  "}${m.name}` },
      { title: "kind", value: (m) => m.kind },
      { title: "WAPE", align: right, value: (m) => percent(m.wape, 2) },
      { title: "MAPE", align: right, value: (m) => percent(m.mape) },
      { title: "MASE", align: right, value: (m) => fixed(m.mase, 3) },
      { title: "RMSE", align: right, value: (m) => fixed(m.rmse, 1) },
      { title: "R2", align: right, value: (m) => fixed(m.r2, 3) },
      { title: "80 % covered", align: right, value: (m) => percent(m.coverage80) },
      { title: "width / mean", align: right, value: (m) => fixed(m.width80, 3) },
    ],
    "  ",
  );
  const notes = [weatherBasis[scored.weather], ...scored.notes].map((note) => `  ${note}\n`).join("");
  return `${text}  * champion; ${whole(scored.rows)} forecasts of ${scored.entities} entities that came true\n${notes}`;
}
