/**
 * What time it is for a simulator.
 * - `real`: the machine's clock.
 * - `linear`: `startMs` at the wall-clock instant `realStartMs`, then `speed` virtual ms for each real ms.
 * - `shared`: whatever another thread writes into a buffer of one Float64, ms since the epoch.
 */
export type ClockSpec =
  | { kind: "real" }
  | { kind: "linear"; startMs: number; realStartMs: number; speed: number }
  | { kind: "shared"; buffer: SharedArrayBuffer };

/** A function that tells the virtual time, ms since the epoch. */
export type Now = () => number;

export function openClock(spec: ClockSpec): Now {
  if (spec.kind === "real") return () => Date.now();
  if (spec.kind === "linear") {
    const { startMs, realStartMs, speed } = spec;
    return () => startMs + (Date.now() - realStartMs) * speed;
  }
  if (spec.buffer.byteLength < 8) throw new RangeError("a shared clock needs a buffer of at least 8 bytes");
  const cell = new Float64Array(spec.buffer, 0, 1);
  return () => cell[0]!;
}
