import { type City, localDay, startOfLocalDay, type Target } from "../domain/index.ts";
import {
  type Annotation,
  annotate,
  type Connection,
  endAnnotations,
  type Lake,
  listAnnotations,
  type StandIn,
} from "../lake/index.ts";
import { type DaySums, daySums, type ForecastRelation, liveForecasts } from "./day-sums.ts";
import { type JudgedDays, judgeDays, windowDays } from "./judge-days.ts";
import { liveWithinMs } from "./outcomes.ts";

/** Values that became known, or were corrected, this long after their day are still judged. */
const judgedDaysBack = 60;

/** One row for each value of a day that was judged: a value is judged once. */
export const anomalyTables = `
  CREATE TABLE IF NOT EXISTS anomaly_scores (
    target VARCHAR, e INTEGER, day INTEGER, known_at BIGINT, value DOUBLE, expected DOUBLE, score DOUBLE, kind VARCHAR, judged_at BIGINT
  );`;

export interface AnomalyReport {
  /** Days of entities that were judged. */
  readonly judged: number;
  readonly found: readonly Annotation[];
  readonly ended: number;
  /** Local days whose values were hidden, or are seen again. */
  readonly touched: readonly number[];
}

/**
 * Judges every day whose values are new or corrected, against the forecasts that were issued before it, and annotates
 * what is out of the ordinary from now on. A half-loaded day's values are hidden, and features read what had been
 * forecast of it, until they are corrected, or until it turns out that the level has shifted. Repeatable: a value that
 * has been judged is not judged again.
 */
export async function findAnomalies(
  lake: Lake,
  city: City,
  target: Target,
  clock: { now(): number },
): Promise<AnomalyReport> {
  return await lake.write(async (connection) => {
    const now = Math.floor(clock.now());
    const today = localDay(city.timeZone, now);
    const all = await liveDays(connection, city, target, {
      fromDay: today - windowDays - judgedDaysBack,
      now,
    });
    const before = await judgedBefore(connection, target);
    const report = { judged: 0, found: [] as Annotation[], ended: 0, touched: new Set<number>() };
    for (const days of all) {
      const judged = judgeDays(days, target.anomalies);
      const fresh = freshDays(days, before).filter((t) => days.firstDay + t >= today - judgedDaysBack);
      if (fresh.length === 0) continue;
      await storeScores(connection, target, judged, fresh, now);
      report.judged += fresh.length;
      const about = { target: target.name, entity: days.entity };
      const end = async (kinds: readonly Annotation["kind"][], from: number, to: number) => {
        const period = { fromAt: startOf(city, days, from), untilAt: startOf(city, days, to) };
        const ended = await endAnnotations(connection, { kinds, ...about, ...period }, now);
        report.ended += ended;
        if (ended > 0) for (let t = from; t < to; t++) report.touched.add(days.firstDay + t);
      };
      const freshSet = new Set(fresh);
      for (const t of fresh) {
        if (before.has(keyOf(days, t))) await end(["anomaly", "half-loaded"], t, t + 1);
      }
      for (const { t, annotation } of singleDays(judged, city, target)) {
        if (!freshSet.has(t)) continue;
        const known = { ...annotation, knownAt: Math.max(now, annotation.knownAt) };
        const halfLoaded = known.kind === "half-loaded";
        await annotate(
          connection,
          known,
          halfLoaded ? await forecastOf(connection, city, target, days, t) : [],
        );
        report.found.push(known);
        if (halfLoaded) report.touched.add(days.firstDay + t);
      }
      for (const shift of await newShifts(connection, judged, city, target, freshSet)) {
        await annotate(connection, {
          ...shift.annotation,
          knownAt: now,
          knownTo: shift.to === null ? null : now,
        });
        report.found.push(shift.annotation);
        // So many days in a row are not half loaded: this is how it is now.
        await end(["half-loaded"], shift.from, shift.confirmedAt + 1);
      }
      report.ended += await endShift(connection, judged, city, target, now);
    }
    return { ...report, touched: [...report.touched].sort((a, b) => a - b) };
  });
}

/** What a detector says of the days in [fromDay, toDay], with other forecasts or another rule than the stored one. */
export async function judgedAnomalies(
  connection: Connection,
  city: City,
  target: Target,
  options: {
    /** Forecasts to hold days against; the live ones when left out. */
    readonly forecasts?: ForecastRelation;
    readonly fromDay: number;
    readonly toDay: number;
    readonly now: number;
  },
): Promise<{ anomalies: Annotation[]; days: number }> {
  const { fromDay, toDay, now } = options;
  const period = { fromDay: fromDay - windowDays - judgedDaysBack, now };
  const all = options.forecasts
    ? await daySums(connection, city, target, options.forecasts, period)
    : await liveDays(connection, city, target, period);
  const anomalies: Annotation[] = [];
  let judgedDays = 0;
  for (const days of all) {
    const judged = judgeDays(days, target.anomalies);
    const inside = (t: number) => days.firstDay + t >= fromDay && days.firstDay + t <= toDay;
    judgedDays += judged.score.filter((score, t) => inside(t) && !Number.isNaN(score)).length;
    for (const { t, annotation } of singleDays(judged, city, target))
      if (inside(t)) anomalies.push(annotation);
    for (const shift of shiftsOf(judged, city, target))
      if (inside(shift.from)) anomalies.push(shift.annotation);
  }
  return {
    anomalies: anomalies.sort((a, b) => b.fromAt - a.fromAt || (a.entity < b.entity ? -1 : 1)),
    days: judgedDays,
  };
}

/** What stands now: days held back, shifts that last, and single days of the last week. */
export async function openAnomalies(
  connection: Connection,
  target: Target,
  now: number,
): Promise<Annotation[]> {
  const open = await listAnnotations(connection, { target: target.name, open: true, limit: 10_000 });
  return open.filter(({ kind, fromAt }) => kind !== "anomaly" || fromAt >= now - 7 * 86_400_000);
}

const liveDays = (
  connection: Connection,
  city: City,
  target: Target,
  period: { readonly fromDay: number; readonly now: number },
) => daySums(connection, city, target, liveForecasts(city, target, period.fromDay, liveWithinMs), period);

/** What a day's steps were judged by. */
async function forecastOf(
  connection: Connection,
  city: City,
  target: Target,
  { e, firstDay }: DaySums,
  t: number,
): Promise<StandIn[]> {
  const day = firstDay + t;
  return await connection.rows<StandIn & Record<string, number>>(
    `SELECT f.e, f.t, greatest(0, f.point) AS value
     FROM (${liveForecasts(city, target, day, liveWithinMs)}) f JOIN steps s USING (t)
     WHERE f.e = ${e} AND s.day = ${day} ORDER BY f.t`,
  );
}

const keyOf = (days: DaySums, t: number) => `${days.e} ${days.firstDay + t}`;
const startOf = (city: City, days: DaySums, t: number) => startOfLocalDay(city.timeZone, days.firstDay + t);

async function judgedBefore(connection: Connection, target: Target): Promise<Map<string, number>> {
  const rows = await connection.rows<{ e: number; day: number; known_at: number }>(
    "SELECT e, day, known_at FROM anomaly_scores WHERE target = ?",
    [target.name],
  );
  return new Map(rows.map(({ e, day, known_at }) => [`${e} ${day}`, known_at]));
}

/** Days with a value that was not judged yet. */
function freshDays(days: DaySums, before: ReadonlyMap<string, number>): number[] {
  return Array.from(days.actual.keys()).filter(
    (t) => !Number.isNaN(days.actual[t]!) && before.get(keyOf(days, t)) !== days.knownAt[t],
  );
}

async function storeScores(
  connection: Connection,
  target: Target,
  { days, score, kind }: JudgedDays,
  fresh: readonly number[],
  now: number,
): Promise<void> {
  const number = (value: number) => (Number.isFinite(value) ? String(value) : "NULL");
  await connection.run(
    `DELETE FROM anomaly_scores WHERE target = ? AND e = ${days.e} AND day IN (${fresh.map((t) => days.firstDay + t).join(", ")})`,
    [target.name],
  );
  const rows = fresh.map(
    (t) =>
      `($1, ${days.e}, ${days.firstDay + t}, ${days.knownAt[t]}, ${number(days.actual[t]!)}, ${number(days.forecast[t]!)}, ${number(score[t]!)}, ${kind[t] == null ? "NULL" : `'${kind[t]}'`}, ${now})`,
  );
  await connection.run(`INSERT INTO anomaly_scores VALUES ${rows.join(", ")}`, [target.name]);
}

function singleDays(
  { days, score, kind }: JudgedDays,
  city: City,
  target: Target,
): { t: number; annotation: Annotation }[] {
  return kind.flatMap((found, t) => {
    if (found === null) return [];
    const [value, expected] = [days.actual[t]!, days.forecast[t]!];
    const side = score[t]! > 0 ? "more" : "less";
    const reason = Number.isNaN(expected)
      ? `${whole(value)} counted, far ${side} than on days before`
      : `${whole(value)} counted where ${whole(expected)} were forecast`;
    const annotation: Annotation = {
      kind: found,
      target: target.name,
      measure: target.measure,
      entity: days.entity,
      fromAt: startOf(city, days, t),
      untilAt: startOf(city, days, t + 1),
      knownAt: days.knownAt[t]!,
      knownTo: null,
      value,
      expected: Number.isNaN(expected) ? null : expected,
      score: score[t]!,
      reason,
      author: target.anomalies.detector,
    };
    return [{ t, annotation }];
  });
}

interface FoundShift {
  readonly from: number;
  readonly confirmedAt: number;
  readonly to: number | null;
  readonly annotation: Annotation;
}

function shiftsOf({ days, shifts }: JudgedDays, city: City, target: Target): FoundShift[] {
  return shifts.map(({ from, confirmedAt, to, factor }) => {
    const percent = Math.round(100 * Math.abs(factor - 1));
    const annotation: Annotation = {
      kind: "level-shift",
      target: target.name,
      measure: target.measure,
      entity: days.entity,
      fromAt: startOf(city, days, from),
      untilAt: to === null ? null : startOf(city, days, to),
      knownAt: days.knownAt[confirmedAt]!,
      knownTo: to === null ? null : days.knownAt[to]!,
      value: null,
      expected: null,
      score: Math.log(factor),
      reason: `${percent} % ${factor > 1 ? "above" : "below"} what is forecast, day after day`,
      author: "runs of residuals",
    };
    return { from, confirmedAt, to, annotation };
  });
}

/** Shifts that fresh days confirm and that were not told before. */
async function newShifts(
  connection: Connection,
  judged: JudgedDays,
  city: City,
  target: Target,
  fresh: ReadonlySet<number>,
): Promise<FoundShift[]> {
  const confirmed = shiftsOf(judged, city, target).filter(({ confirmedAt }) => fresh.has(confirmedAt));
  if (confirmed.length === 0) return [];
  const told = await listAnnotations(connection, {
    target: target.name,
    entity: judged.days.entity,
    kind: "level-shift",
    limit: 1000,
  });
  // A correction may move the first day of one by a few days.
  return confirmed.filter(
    ({ from, confirmedAt }) =>
      !told.some(
        ({ fromAt }) =>
          fromAt >= startOf(city, judged.days, from - 5) && fromAt <= startOf(city, judged.days, confirmedAt),
      ),
  );
}

/** Ends the shift of an entity once its level is back, or is what is forecast. */
async function endShift(
  connection: Connection,
  { days, shifts }: JudgedDays,
  city: City,
  target: Target,
  now: number,
): Promise<number> {
  if (shifts.some(({ to }) => to === null)) return 0;
  const back = shifts.at(-1)?.to ?? days.actual.length;
  return await connection.run(
    `UPDATE annotations SET until_at = greatest(from_at, ${startOf(city, days, back)}), known_to = ${now}
     WHERE kind = 'level-shift' AND target = ? AND entity = ? AND known_to IS NULL`,
    [target.name, days.entity],
  );
}

const whole = (value: number) => Math.round(value).toLocaleString("en");
