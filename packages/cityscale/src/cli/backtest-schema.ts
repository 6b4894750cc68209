import { z } from "zod";

const score = z.number().nullable();
const date = z.iso.date();

const group = { n: z.int().min(1), wape: score, mape: score, coverage80: score };

/** One model's scores; fractions, not percent. Null where a score cannot be computed: `notes` say why. */
const modelSchema = z.strictObject({
  name: z.string(),
  kind: z.enum(["naive", "classical", "trained", "blend"]),
  /** The model that would be champion. */
  champion: z.boolean(),
  wape: score.describe("sum |error| / sum y"),
  mape: score.describe("mean |error| / y over rows with y > 0"),
  mase: score.describe("mean |error| against the same-hour-last-week error inside the training data"),
  rmse: score,
  rmsle: score.describe("RMSE of ln(1 + y)"),
  r2: score,
  pinball: z.strictObject({ "0.1": score, "0.5": score, "0.9": score }),
  coverage80: score.describe("share inside the central 80 % interval"),
  width80: score.describe("mean width of that interval / mean y"),
  byLead: z.array(z.strictObject({ lead: z.int().min(1).describe("in steps"), ...group })),
  byEntity: z.array(z.strictObject({ entity: z.string(), ...group })),
  byEntityAndLead: z
    .array(z.strictObject({ entity: z.string(), lead: z.int().min(1), ...group }))
    .describe("where steps are days, else empty"),
});

/** What `cityscale backtest --json` writes; `backtest.schema.json` is made from it. */
export const backtestSchema = z.strictObject({
  city: z.string(),
  target: z.string(),
  from: date.describe("first local date of the origins"),
  to: date.describe("last local date of the origins and of what is scored"),
  every: z.string(),
  horizon: z.string(),
  rows: z.int().min(0).describe("forecasts scored, the same for every model"),
  entities: z.int().min(0),
  trainSeconds: z.number().min(0),
  totalSeconds: z.number().min(0).describe("reading the data included"),
  peakRssMb: z.number().min(0),
  weather: z.enum(["issued", "observed", "none"]),
  blend: z
    .strictObject({ weights: z.record(z.string(), z.number()), windows: z.int() })
    .optional()
    .describe("of a comparison: the blend that was found on these very rows"),
  notes: z.array(z.string()),
  models: z.array(modelSchema),
  classical: z
    .strictObject({
      stride: z.int().min(1).describe("every so many-th origin"),
      origins: z.int().min(0),
      rows: z.int().min(0),
      entities: z.int().min(0),
      notes: z.array(z.string()),
      models: z
        .array(modelSchema)
        .describe("all models and the classical ones, on the rows of these origins"),
    })
    .optional()
    .describe("with --classical"),
});

export type BacktestReport = z.output<typeof backtestSchema>;

/** The published JSON Schema. */
export function backtestSchemaJson(): unknown {
  return { title: "CityScale backtest", ...z.toJSONSchema(backtestSchema) };
}
