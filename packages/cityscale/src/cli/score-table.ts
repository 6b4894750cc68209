import type { WeatherBasis } from "../domain/index.ts";
import type { ModelScores } from "../models/index.ts";
import { fixed, percent, table, whole } from "./table.ts";

interface Scored {
  readonly rows: number;
  readonly entities: number;
  readonly models: readonly ModelScores[];
  readonly weather: WeatherBasis;
  readonly notes: readonly string[];
}

export const weatherBasis: Readonly<Record<WeatherBasis, string>> = {
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
  return `${text}${entityTable(models)}  * champion; ${whole(scored.rows)} forecasts of ${scored.entities} entities that came true\n${notes}`;
}

/** More entities than these are read in the JSON. */
const entitiesShown = 12;

/** WAPE of few entities at the first lead, a week and the last one, where they are scored by lead. */
function entityTable(models: readonly ModelScores[]): string {
  const all = models[0]?.byEntityAndLead ?? [];
  if (all.length === 0 || new Set(all.map(({ entity }) => entity)).size > entitiesShown) return "";
  const last = all.reduce((most, { lead }) => Math.max(most, lead), 1);
  const rows = all.filter(({ lead }) => lead === 1 || lead === 7 || lead === last);
  const of = ({ byEntityAndLead }: ModelScores, row: (typeof rows)[number]) =>
    byEntityAndLead.find(({ entity, lead }) => entity === row.entity && lead === row.lead)?.wape;
  const right = "right" as const;
  return `\n${table(
    rows,
    [
      { title: "WAPE of", value: (row) => row.entity },
      { title: "lead", align: right, value: (row) => String(row.lead) },
      ...models.map((model) => ({
        title: model.name,
        align: right,
        value: (row: (typeof rows)[number]) => percent(of(model, row)),
      })),
    ],
    "  ",
  )}\n`;
}
