import { z } from "zod";

const score = z.number().nullable();
const share = z.number().min(0).max(1);
const date = z.iso.date();

const scoresSchema = z.strictObject({
  rows: z.int().min(0),
  baseRate: score.describe("share of rows whose event came"),
  averagePrecision: score,
  recall: score.describe("when alarming on 1 % of these rows"),
  precision: score.describe("when alarming on 1 % of these rows"),
  f1: score.describe("of alarms from thresholds on that were chosen before the rows they are of"),
  brier: score,
  brierSkill: score.describe("1 - Brier / Brier of always saying the base rate"),
  calibrationError: score.describe("over 15 equally wide bins"),
  bias: score.describe("mean probability / base rate"),
});

const binsSchema = z.array(
  z.strictObject({
    rows: z.int().min(1),
    forecast: share.describe("mean probability"),
    from: share.describe("lowest probability"),
    to: share.describe("highest probability"),
    came: share.describe("share of rows whose event came"),
  }),
);

/** What `cityscale backtest --json` writes for a binary target; `stock-out-backtest.schema.json` is made from it. */
export const stockOutBacktestSchema = z.strictObject({
  city: z.string(),
  target: z.string(),
  from: date.describe("first local date of the origins"),
  to: date.describe("last local date of the origins and of what is scored"),
  every: z.string().describe("`snapshots`, or the time between origins"),
  horizon: z.string(),
  below: z.int().describe("the event: a count under it at any moment after the origin, up to the horizon"),
  origins: z.int().min(1),
  entities: z.int().min(0),
  training: z.strictObject({
    from: z.iso.datetime(),
    rows: z.int(),
    onsets: z.int(),
    calibration: z.enum(["identity", "platt", "isotonic"]).describe("of the last origins"),
    recalibrations: z.int().min(0).describe("maps fitted on the newest outcomes, the first one included"),
    columns: z.array(z.strictObject({ name: z.string(), gain: share })).describe("the weightiest columns"),
  }),
  alarms: z
    .strictObject({
      budget: share.describe(
        "threshold for alarms on 1 % of onset rows, as of the first origin; it moves with the calibration",
      ),
      f1: share.describe("threshold of the best F1, as of the first origin"),
      share: share.describe("share of onset rows at or above the budget's threshold of their origin"),
    })
    .nullable(),
  trainSeconds: z.number().min(0),
  totalSeconds: z.number().min(0).describe("reading the data included"),
  peakRssMb: z.number().min(0),
  weather: z.enum(["issued", "observed", "none"]),
  notes: z.array(z.string()),
  models: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(["naive", "trained"]),
      all: scoresSchema,
      onset: scoresSchema.describe("rows not short at the origin: the only ones where a forecast helps"),
      reliability: z.strictObject({
        tenths: binsSchema.describe(
          "ten bins of equally many onset rows, lowest first; equal ones stay together",
        ),
        widths: binsSchema.describe("ten equally wide bins of onset rows, those without rows left out"),
      }),
    }),
  ),
});

export type StockOutReport = z.output<typeof stockOutBacktestSchema>;

/** The published JSON Schema. */
export function stockOutSchemaJson(): unknown {
  return { title: "CityScale backtest of a binary target", ...z.toJSONSchema(stockOutBacktestSchema) };
}
