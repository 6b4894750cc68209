import type { GateBounds } from "../domain/index.ts";

/** A rule over a measured value, as it was judged. */
export interface GateResult {
  readonly gate: string;
  readonly value: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly passed: boolean;
  readonly reason: string;
}

/** What was concluded, with its reasons; stored as it is. */
export interface Verdict {
  readonly verdict: "promote" | "reject";
  readonly gates: readonly GateResult[];
  readonly reasons: readonly string[];
}

/**
 * Judges measured values by a target's gates, and by the champion where one was measured on the same rows.
 * A value that is missing, or a gate that names nothing measured, FAILS: no evidence is no reason to promote.
 * @param values measured values by gate name, as fractions
 * @param gates bounds by gate name
 * @param champion the serving model's loss on the candidate's own test rows, under the name that the candidate's has
 *   in `values`; null when it could not be measured because there is none yet
 */
export function judgeCandidate(
  values: Readonly<Record<string, number | null>>,
  gates: Readonly<Record<string, GateBounds>>,
  champion: { readonly loss: string; readonly value: number | null } | null,
): Verdict {
  const results: GateResult[] = Object.entries(gates).map(([gate, bounds]) =>
    judgeGate(gate, values[gate] ?? null, bounds),
  );
  if (results.length === 0) {
    results.push({
      gate: "(none)",
      value: null,
      min: null,
      max: null,
      passed: false,
      reason: "the target declares no gate",
    });
  }
  if (champion) {
    const value = values[champion.loss] ?? null;
    const max = champion.value;
    const passed = value !== null && max !== null && value <= max;
    const lossName = champion.loss === "wape" ? "WAPE" : `${champion.loss} score`;
    results.push({
      gate: "not worse than the champion",
      value,
      min: null,
      max,
      passed,
      reason:
        value === null || max === null
          ? "not measured on the same rows"
          : passed
            ? `${lossName} ${value} against ${max}`
            : `${lossName} ${value} is above the champion's ${max}`,
    });
  }
  const failed = results.filter((result) => !result.passed);
  return {
    verdict: failed.length === 0 ? "promote" : "reject",
    gates: results,
    reasons:
      failed.length === 0
        ? ["every gate passed"]
        : failed.map((result) => `${result.gate}: ${result.reason}`),
  };
}

function judgeGate(gate: string, value: number | null, bounds: GateBounds): GateResult {
  const min = bounds.min ?? null;
  const max = bounds.max ?? null;
  const result = (passed: boolean, reason: string): GateResult => ({ gate, value, min, max, passed, reason });
  if (value === null || !Number.isFinite(value)) return result(false, "was not measured");
  if (min === null && max === null) return result(false, "has no bound");
  if (min !== null && value < min) return result(false, `${value} is below ${min}`);
  if (max !== null && value > max) return result(false, `${value} is above ${max}`);
  return result(true, "within its bounds");
}
