/**
 * - `shape`: arrays that must be equally long are not, or the columns are not those the model was fitted on
 * - `option`: an option outside its range
 * - `data`: values a fit cannot use (a negative count, a label that is neither 0 nor 1)
 * - `noRows`: nothing is left to fit or to calibrate on
 * - `bytes`: a saved forecaster that is truncated, altered, of another kind or of an unknown version
 */
export type ForecastErrorCode = "shape" | "option" | "data" | "noRows" | "bytes";

/** The one error type of this package: what was expected, what came, and where. */
export class ForecastError extends Error {
  readonly code: ForecastErrorCode;

  constructor(code: ForecastErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ForecastError";
    this.code = code;
  }
}

/** @throws ForecastError `shape` unless `length` is `expected`. */
export function requireLength(what: string, length: number, expected: number): void {
  if (length !== expected) {
    throw new ForecastError("shape", `${what} has ${length} values, expected ${expected}`);
  }
}
