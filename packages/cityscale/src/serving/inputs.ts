import { type City, formatLocal, parseDuration, type Target } from "../domain/index.ts";
import { type Lake, literal } from "../lake/index.ts";

/** What stood behind the forecasts of an origin besides the features themselves. */
export interface InputState {
  readonly originAt: number;
  /** End of the newest step whose count was known at the origin, ms UTC. */
  readonly countsAt: number;
  /** What was old or could not be read, for whoever reads the forecasts. */
  readonly notes: readonly string[];
}

/**
 * How old the counts behind an origin are and, for a current one, which sources fail. (How sources stood at a past
 * origin is not kept.) A source is told from its first failed read on until one succeeds.
 */
export async function inputState(
  lake: Lake,
  parts: { city: City; target: Target; lagMs: number; originAt: number; current: boolean },
): Promise<InputState> {
  const { city, target, lagMs, originAt } = parts;
  const { contract, from } = city.measures[target.measure]!;
  const newest = await lake.read((connection) =>
    connection.first<{ at: number | null }>(
      `SELECT max(s.end_at) AS at FROM observations o JOIN steps s USING (t)
       WHERE o.measure = ${literal(target.measure)} AND o.known_at <= ${Math.floor(originAt)}`,
    ),
  );
  const countsAt = newest?.at ?? originAt;
  const notes: string[] = [];
  if (originAt - countsAt - lagMs > parseDuration(contract.freshness)) {
    notes.push(`made from old counts: the newest is of ${formatLocal(city.timeZone, countsAt)}`);
  }
  if (parts.current) {
    for (const state of await lake.sourceStates()) {
      if (state.lastError === null || state.source === from) continue;
      const since =
        state.lastSuccessAt === null
          ? "never"
          : `not since ${formatLocal(city.timeZone, state.lastSuccessAt)}`;
      notes.push(`the source ${state.source} could not be read, ${since}`);
    }
  }
  return { originAt, countsAt, notes };
}
