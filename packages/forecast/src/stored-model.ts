import { Model } from "@cityscale/trees";
import { ForecastError } from "./errors.ts";

/** @throws ForecastError `bytes` where the section is no model of these features. */
export function readModel(section: Uint8Array, featureNames: readonly string[]): Model {
  let model: Model;
  try {
    model = Model.fromBytes(section);
  } catch (cause) {
    throw new ForecastError("bytes", "a section is not a model", { cause });
  }
  if (model.outputs !== 1 || model.featureNames.join("\n") !== featureNames.join("\n")) {
    throw new ForecastError("bytes", "a section is a model of other features or of several outputs");
  }
  return model;
}

/** Share of the model's total gain by feature; sums to 1, or is all 0 for a model without splits. */
export function gainShares(model: Model): Float64Array {
  const gain = model.featureImportance("gain");
  const total = gain.reduce((sum, value) => sum + value, 0);
  return total > 0 ? gain.map((value) => value / total) : gain;
}
