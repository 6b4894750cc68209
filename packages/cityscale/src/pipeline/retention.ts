import {
  binaryTargets,
  dateOfDay,
  formatLocal,
  localDay,
  parseDuration,
  quantityTargets,
  type RetentionKind,
  startOfLocalDay,
  type Target,
} from "../domain/index.ts";
import { type AgedRows, countAged, listVersions, literal, removeAged, removeVersion } from "../lake/index.ts";
import { riskForecastDays, settledDays } from "./outcome-days.ts";
import type { CityParts, Progress } from "./parts.ts";

const dayMs = 86_400_000;

/** A clock that is further ahead of the newest data is not believed: nothing is removed by it that is young. */
const mostAheadMs = 7 * dayMs;

/** What of one kind of data is older than it is kept. Instants in ms UTC. */
export interface Expired {
  readonly kind: RetentionKind;
  /** Of forecasts of quantities; null elsewhere. */
  readonly target: string | null;
  /** A duration; null = for ever. */
  readonly keep: string | null;
  /** What lies before it goes; null where nothing does. */
  readonly before: number | null;
  /** Rows that go; of dataset versions, versions. */
  readonly rows: number;
  /** Why some of what is old enough stays; null where none does. */
  readonly holds: string | null;
}

interface Rule extends Expired {
  remove(progress: Progress): Promise<number>;
}

/** What retention would remove now. `busy` says why dataset versions must stay for the moment. */
export async function expired(parts: CityParts, busy: string | null): Promise<Expired[]> {
  return (await rulesOf(parts, busy)).map(({ remove: _, ...rule }) => rule);
}

/**
 * Removes what is older than the city keeps it, kind by kind, and writes down beforehand what will go. Repeatable, and
 * safe to kill: the next run goes on. Never removes what is not settled, what has not been merged, or a dataset
 * version that a champion, the one before it, a challenger or a run refers to.
 */
export async function retain(
  parts: CityParts,
  progress: Progress,
  actor: string,
  busy: string | null,
): Promise<Expired[]> {
  const { city, metrics, audit } = parts;
  const rules = await rulesOf(parts, busy);
  const going = rules.filter(({ rows }) => rows > 0);
  if (going.length > 0) {
    await audit.record({
      actor,
      action: "retention.apply",
      subject: city.id,
      details: {
        removes: going.map(({ kind, target, before, rows }) => ({
          ...{ kind, rows, before: new Date(before!).toISOString() },
          ...(target === null ? {} : { target }),
        })),
      },
    });
  }
  const removed: Expired[] = [];
  for (const [i, rule] of rules.entries()) {
    progress.heartbeat(i / rules.length, `${rule.kind}${rule.target === null ? "" : ` of ${rule.target}`}`);
    const rows = rule.rows === 0 ? 0 : await rule.remove(progress);
    if (rows > 0) metrics.retentionRemoved.inc({ city: city.id, kind: rule.kind }, rows);
    const { remove: _, ...told } = rule;
    removed.push({ ...told, rows });
  }
  // Heartbeats of a batch are gone; so is what was noted of it.
  const { before } = rules.find(({ kind }) => kind === "batches")!;
  if (before !== null) await parts.partitions.prune(city.id, "forecasts", before);
  const rows = removed.reduce((sum, item) => sum + item.rows, 0);
  progress.heartbeat(1, `${rows.toLocaleString("en")} rows removed`);
  return removed;
}

async function rulesOf(parts: CityParts, busy: string | null): Promise<Rule[]> {
  const { city } = parts;
  const present = await presentOf(parts);
  const risks = await riskDays(parts);
  const quantities = await Promise.all(
    quantityTargets(city).map(async (target) => ({ target, days: await quantityDays(parts, target) })),
  );
  const forecasts = quantities.map(({ target, days }) => ({
    target,
    ...dayCut(parts, present, "forecasts", days),
  }));
  const risk = risks === null ? null : dayCut(parts, present, "risks", risks);
  const merged =
    "seq <= (SELECT max(m.seq) FROM merged m WHERE m.source = raw_observations.source AND m.measure = raw_observations.measure)";
  return [
    await aged(parts, "raw", timeCut(parts, present, "raw"), [
      { table: "raw_observations", column: "arrived_at", where: merged, slice: dayMs },
      { table: "raw_log", column: "arrived_at", where: "true", slice: dayMs },
    ]),
    await aged(parts, "quarantine", timeCut(parts, present, "quarantine"), [
      { table: "quarantine", column: "arrived_at", where: "true", slice: dayMs },
    ]),
    // The newest snapshot at an origin may be a day old.
    await aged(parts, "snapshots", timeCut(parts, present, "snapshots", risks, dayMs), [
      { table: "snapshots", column: '"at"', where: "true", slice: dayMs },
    ]),
    ...(await Promise.all(
      forecasts.map(({ target, ...cut }) => {
        const rows = `target = ${literal(target.name)}`;
        const table = { table: "forecasts", column: "t", where: rows, slice: city.grid.slotsPerDay };
        return aged(parts, "forecasts", cut, [table], target.name);
      }),
    )),
    ...(risk === null
      ? []
      : [
          await aged(parts, "risks", risk, [
            { table: "risk_forecasts", column: "origin_at", where: "true", slice: dayMs },
          ]),
        ]),
    await batchRule(
      parts,
      present,
      forecasts.map(({ target, before }) => ({ target: target.name, before })),
      risk?.before ?? null,
    ),
    await datasetRule(parts, present, busy),
  ];
}

/** The instant that ages are counted to. */
interface Present {
  readonly at: number;
  /** Why it is not the clock's; null where it is. */
  readonly holds: string | null;
}

async function presentOf({ city, lake, clock }: CityParts): Promise<Present> {
  const { t, at } = (await lake.read((connection) =>
    connection.first<{ t: number | null; at: number | null }>(
      `SELECT (SELECT max(t) FROM observations) AS t, (SELECT max("at") FROM snapshots) AS "at"`,
    ),
  ))!;
  const newest = Math.max(t === null ? 0 : city.grid.startOf(t), at ?? 0);
  const now = clock.now();
  if (newest === 0 || now <= newest + mostAheadMs) return { at: now, holds: null };
  const holds = `the newest data are of ${formatLocal(city.timeZone, newest)}: ages are counted to a week after that`;
  return { at: newest + mostAheadMs, holds };
}

interface Cut {
  readonly before: number | null;
  readonly holds: string | null;
}

/** Local days of what is forecast: the first that is not settled, and the newest; null without any. */
interface Days {
  readonly unsettled: number | null;
  readonly newest: number | null;
}

const keepMs = ({ city }: CityParts, kind: RetentionKind): number | null => {
  const text = city.retention[kind];
  return text === null ? null : parseDuration(text);
};

/** What is older than it is kept, but nothing that an outcome still needs (`marginMs` before the day's start). */
function timeCut(
  parts: CityParts,
  present: Present,
  kind: RetentionKind,
  days: Days | null = null,
  marginMs = 0,
): Cut {
  const keep = keepMs(parts, kind);
  if (keep === null) return { before: null, holds: null };
  const { holds } = present;
  const before = Math.floor(present.at - keep);
  if (days?.unsettled == null) return { before, holds };
  const needed = startOfLocalDay(parts.city.timeZone, days.unsettled) - marginMs;
  return needed < before ? { before: needed, holds: notSettled(days.unsettled) } : { before, holds };
}

/** Whole local days whose end is older than it is kept: up to the first that is not settled, never the newest. */
function dayCut(parts: CityParts, present: Present, kind: RetentionKind, { unsettled, newest }: Days): Cut {
  const keep = keepMs(parts, kind);
  if (keep === null || newest === null) return { before: null, holds: null };
  const { timeZone } = parts.city;
  const old = localDay(timeZone, present.at - keep);
  const day = Math.min(old, unsettled ?? old, newest);
  const holds = unsettled !== null && unsettled < old ? notSettled(unsettled) : present.holds;
  return { before: startOfLocalDay(timeZone, day), holds };
}

const notSettled = (day: number) => `${dateOfDay(day)} is not scored and settled yet`;

const daysOf = (days: readonly number[], settled: ReadonlySet<number>): Days => ({
  unsettled: days.find((day) => !settled.has(day)) ?? null,
  newest: days.at(-1) ?? null,
});

async function quantityDays(parts: CityParts, target: Target): Promise<Days> {
  const days = await parts.lake.read((connection) =>
    connection.rows<{ day: number }>(
      `SELECT DISTINCT s.day FROM forecasts f JOIN steps s USING (t) WHERE f.target = ${literal(target.name)} ORDER BY s.day`,
    ),
  );
  return daysOf(
    days.map(({ day }) => day),
    await settledDays(parts, target.name),
  );
}

/** Of the origins of binary targets, which are scored together; null for a city that has none. */
async function riskDays(parts: CityParts): Promise<Days | null> {
  const leader = binaryTargets(parts.city)[0];
  if (!leader) return null;
  return daysOf(await riskForecastDays(parts), await settledDays(parts, leader.name));
}

/** Rows of one kind, in the tables that they lie in. */
async function aged(
  parts: CityParts,
  kind: RetentionKind,
  cut: Cut,
  tables: readonly AgedRows[],
  target: string | null = null,
): Promise<Rule> {
  const { city, lake } = parts;
  const { grid } = city;
  const valueAt = (rows: AgedRows, instant: number) => (rows.column === "t" ? grid.stepAt(instant) : instant);
  const rows =
    cut.before === null
      ? 0
      : await lake.read(async (connection) => {
          let sum = 0;
          for (const table of tables) sum += await countAged(connection, table, valueAt(table, cut.before!));
          return sum;
        });
  return {
    ...{ kind, target, keep: city.retention[kind], ...cut, rows },
    remove: async ({ signal }) => {
      let sum = 0;
      for (const table of tables) {
        sum += await removeAged(lake, table, valueAt(table, cut.before!), {
          ...{ kind, target: target ?? "", signal },
          instantOf: (value) => (table.column === "t" ? grid.startOf(value) : value),
        });
      }
      return sum;
    },
  };
}

/** Heartbeats all of whose forecasts are gone, or go now; the newest of each target stays. */
async function batchRule(
  parts: CityParts,
  present: Present,
  forecasts: readonly { readonly target: string; readonly before: number | null }[],
  risksBefore: number | null,
): Promise<Rule> {
  const cut = timeCut(parts, present, "batches");
  const staying = forecasts.map(({ target, before }) => {
    const from = before === null ? "" : ` AND t >= ${parts.city.grid.stepAt(before)}`;
    return `SELECT batch FROM forecasts WHERE target = ${literal(target)} AND origin_at < ${cut.before}${from}`;
  });
  if (binaryTargets(parts.city).length > 0) {
    const from = risksBefore === null ? "" : ` AND origin_at >= ${risksBefore}`;
    staying.push(`SELECT batch FROM risk_forecasts WHERE origin_at < ${cut.before}${from}`);
  }
  const where = `batch NOT IN (${staying.join(" UNION ALL ")})
    AND origin_at < (SELECT max(n.origin_at) FROM batches n WHERE n.target = batches.target)`;
  return await aged(parts, "batches", cut, [
    { table: "batches", column: "origin_at", where, slice: 30 * dayMs },
  ]);
}

/** Dataset versions that nothing refers to, so long after they were cut or last trained on. */
async function datasetRule(parts: CityParts, present: Present, busy: string | null): Promise<Rule> {
  const { city, registry, datasets } = parts;
  const keep = keepMs(parts, "datasets");
  const told = { kind: "datasets", target: null, keep: city.retention.datasets } as const;
  if (keep === null || busy !== null)
    return { ...told, before: null, rows: 0, holds: busy, remove: async () => 0 };
  const before = Math.floor(present.at - keep);
  const referred = await referredVersions(parts);
  const runs = await registry.runs.list({ city: city.id, limit: 100_000 });
  const usedAt = new Map<string, number>();
  for (const { datasetVersion, startedAt, state } of runs) {
    if (datasetVersion === null) continue;
    usedAt.set(datasetVersion, Math.max(usedAt.get(datasetVersion) ?? startedAt, startedAt));
    if (state === "running") referred.add(datasetVersion);
  }
  const going = (await listVersions(datasets)).filter(
    ({ id, knownAt }) =>
      !referred.has(id) && knownAt !== null && Math.max(knownAt, usedAt.get(id) ?? knownAt) < before,
  );
  return {
    ...{ ...told, before, rows: going.length, holds: present.holds },
    remove: async ({ signal }) => {
      // A version may have been promoted while rows were removed.
      const needed = await referredVersions(parts);
      const gone = going.filter(({ id }) => !needed.has(id));
      for (const { id } of gone) {
        signal.throwIfAborted();
        await removeVersion(datasets, id);
      }
      return gone.length;
    },
  };
}

/** Dataset versions of the models behind the aliases of every target that the city has, or had. */
async function referredVersions({ city, registry }: CityParts): Promise<Set<string>> {
  const versions = await registry.versions.list({ city: city.id, limit: 100_000 });
  const referred = new Set<string>();
  for (const target of new Set(versions.map((version) => version.target))) {
    const aliases = Object.values(await registry.promotions.aliases(city.id, target));
    for (const { version, datasetVersion } of versions.filter((of) => of.target === target))
      if (aliases.includes(version) && datasetVersion !== null) referred.add(datasetVersion);
  }
  return referred;
}
