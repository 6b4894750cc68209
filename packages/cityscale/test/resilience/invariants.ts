import { readdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Clock,
  createManualClock,
  createMetrics,
  openDatabase,
  silentLog,
} from "../../src/core/index.ts";
import { type City, defineCity } from "../../src/domain/index.ts";
import { createJobs } from "../../src/jobs/index.ts";
import { type Connection, Lake, openVersion } from "../../src/lake/index.ts";
import { loadForecaster } from "../../src/models/index.ts";
import { createArtifactFolder, createRegistry, type Registry } from "../../src/registry/index.ts";
import { modelFile } from "../../src/serving/index.ts";
import { declaration } from "./small-city.ts";
import { difference, publishedCounts } from "./truth.ts";

export interface Checked {
  /** What is not as it must be; empty when all is well. */
  readonly violations: readonly string[];
  /** How much was looked at, so that "all is well" is not said of nothing. */
  readonly seen: Readonly<Record<string, number>>;
}

const cityId = "smalltown";
const target = "pedestrians";

/** The lake of a data folder that no process uses. */
export const openLakeOf = (home: string, city: City, clock: Clock): Promise<Lake> =>
  Lake.open({
    ...{ city, clock, log: silentLog, memoryMb: 256, threads: 1, lagMs: new Map() },
    path: join(home, "lakes", `${city.id}.duckdb`),
  });

/** Looks at everything that a data folder holds after its last process has stopped at `now`. */
export async function checkFolder(home: string, simulator: string, now: number): Promise<Checked> {
  const violations: string[] = [];
  const seen: Record<string, number> = {};
  const city = defineCity(declaration);
  const clock = createManualClock(now);
  const lake = await openLakeOf(home, city, clock);
  const database = await openDatabase(join(home, "metadata.sqlite"));
  try {
    const registry = createRegistry({
      database,
      clock,
      log: silentLog,
      artifacts: createArtifactFolder(join(home, "artifacts")),
    });
    await lake.read((connection) => checkRows(connection, simulator, violations, seen));
    await lake.read((connection) => checkBatches(connection, now, violations, seen));
    await checkModels(registry, home, violations, seen);
    await checkPromotions(registry, violations, seen);
    const jobs = await createJobs({ database, clock, log: silentLog, metrics: createMetrics() }).list({
      limit: 10_000,
    });
    seen["jobs"] = jobs.length;
    for (const job of jobs)
      if (job.state === "running") violations.push(`job ${job.id} (${job.kind}) is still said to run`);
    for (const run of await registry.runs.list({ limit: 10_000 })) {
      seen[`runs ${run.state}`] = (seen[`runs ${run.state}`] ?? 0) + 1;
      if (run.state === "running") violations.push(`run ${run.id} is still said to go on`);
      if (run.state === "failed" && run.error === null)
        violations.push(`run ${run.id} failed without a reason`);
    }
  } finally {
    await lake.close();
    await database.close();
  }
  checkLeftovers(home, violations);
  return { violations, seen };
}

/** Every published row exactly once with its newest value; raw rows only where something new came; cursors in step. */
async function checkRows(
  connection: Connection,
  simulator: string,
  violations: string[],
  seen: Record<string, number>,
): Promise<void> {
  const rows = await connection.rows<{ entity: string; at: number; value: number }>(
    "SELECT n.entity, s.start_at AS at, o.value FROM observations o JOIN entities n USING (e) JOIN steps s USING (t)",
  );
  const found = new Map(rows.map((row) => [`${row.entity} ${row.at}`, row.value]));
  const expected = await publishedCounts(simulator);
  seen["observations"] = rows.length;
  const told = difference(expected, found);
  if (told !== null) violations.push(`observations: ${told}`);
  const none = async (what: string, sql: string) => {
    const n = (await connection.first<{ n: number }>(`SELECT count(*) AS n FROM (${sql})`))!.n;
    if (n > 0) violations.push(`${n} ${what}`);
  };
  await none(
    "observations are there more than once",
    "SELECT measure, e, t FROM observations GROUP BY ALL HAVING count(*) > 1",
  );
  await none("steps are there more than once", "SELECT t FROM steps GROUP BY t HAVING count(*) > 1");
  await none("entities have no row of their own", "SELECT e FROM observations ANTI JOIN entities USING (e)");
  await none(
    "raw rows wait to be merged",
    "FROM raw_observations r LEFT JOIN merged m USING (source, measure) WHERE r.seq > COALESCE(m.seq, 0)",
  );
  await none(
    "raw rows have the same number",
    "SELECT seq FROM raw_observations GROUP BY seq HAVING count(*) > 1",
  );
  await none(
    "keys have more or fewer raw rows than values",
    `SELECT e, valid_at FROM (SELECT e, valid_at, count(*) AS n FROM raw_observations GROUP BY ALL) r
     JOIN steps s ON s.start_at = valid_at LEFT JOIN (SELECT e, t, count(*) AS n FROM revisions GROUP BY ALL) v USING (e, t)
     WHERE r.n <> 1 + COALESCE(v.n, 0)`,
  );
  await none(
    "observations have no raw row",
    "SELECT o.e, o.t FROM observations o JOIN steps s USING (t) ANTI JOIN raw_observations r ON r.e = o.e AND r.valid_at = s.start_at AND r.value = o.value",
  );
  await none(
    "revisions do not lead to the next value",
    `SELECT v.* FROM (SELECT *, lead(known_from) OVER (PARTITION BY measure, e, t ORDER BY known_from) AS next FROM revisions) v
     JOIN observations o USING (measure, e, t) WHERE v.known_from > v.known_to OR v.known_to <> COALESCE(v.next, o.known_at)`,
  );
  await none(
    "hours of weather were observed twice",
    "SELECT valid_at FROM weather WHERE issued_at IS NULL GROUP BY valid_at HAVING count(*) > 1",
  );
  await none(
    "hours of a forecast of weather are there twice",
    "SELECT issued_at, valid_at FROM weather WHERE issued_at IS NOT NULL GROUP BY ALL HAVING count(*) > 1",
  );
  await none("holidays are there twice", "SELECT day, kind FROM holidays GROUP BY ALL HAVING count(*) > 1");
  await none("events are there twice", "SELECT id, known_at FROM events GROUP BY ALL HAVING count(*) > 1");
  seen["revisions"] = (await connection.first<{ n: number }>("SELECT count(*) AS n FROM revisions"))!.n;
  seen["weather"] = (await connection.first<{ n: number }>("SELECT count(*) AS n FROM weather"))!.n;
  // Hours of the history that no weather was observed for, though it was published.
  await none(
    "hours have no observed weather",
    `SELECT s.t FROM steps s ANTI JOIN weather w ON w.valid_at = s.start_at AND w.issued_at IS NULL
     WHERE s.start_at BETWEEN (SELECT min(valid_at) FROM weather WHERE issued_at IS NULL) AND (SELECT max(valid_at) FROM weather WHERE issued_at IS NULL)`,
  );
  const cursor = await connection.first<{ cursor: string; last_error: string | null }>(
    "SELECT cursor, last_error FROM cursors WHERE source = 'counts'",
  );
  const { newest, position } = JSON.parse(cursor?.cursor ?? "{}") as { newest?: number; position?: unknown };
  const last = Math.max(...rows.map((row) => row.at));
  if (newest !== last) violations.push(`the cursor stands at ${newest}, the newest row is of ${last}`);
  if (position !== null) violations.push("the cursor is in the middle of a read that has ended");
  if (cursor?.last_error) violations.push(`the source of counts says: ${cursor.last_error}`);
}

/** Batches are whole, and the newest is of now. */
async function checkBatches(
  connection: Connection,
  now: number,
  violations: string[],
  seen: Record<string, number>,
): Promise<void> {
  const batches = await connection.rows<{
    batch: string;
    rows: number;
    found: number;
    distinct: number;
    origin_at: number;
  }>(
    `SELECT b.batch, b."rows", b.origin_at, count(f.e) AS found, count(DISTINCT (f.e, f.t)) AS distinct
     FROM batches b LEFT JOIN forecasts f USING (batch) GROUP BY ALL`,
  );
  seen["batches"] = batches.length;
  for (const { batch, rows, found, distinct } of batches) {
    if (rows !== found || found !== distinct)
      violations.push(`batch ${batch} of ${rows} rows has ${found} forecasts, ${distinct} of them different`);
  }
  if (new Set(batches.map(({ batch }) => batch)).size !== batches.length)
    violations.push("a batch is there twice");
  const strays = await connection.first<{ n: number }>(
    "SELECT count(*) AS n FROM forecasts ANTI JOIN batches USING (batch)",
  );
  if (strays!.n > 0) violations.push(`${strays!.n} forecasts belong to no batch`);
  const newest = Math.max(...batches.map(({ origin_at }) => origin_at));
  if (newest !== Math.floor(now)) violations.push(`the newest batch is of ${new Date(newest).toISOString()}`);
}

/** Every version's artifact loads, and every dataset version's checksums hold. */
async function checkModels(
  registry: Registry,
  home: string,
  violations: string[],
  seen: Record<string, number>,
): Promise<void> {
  const versions = await registry.versions.list({ city: cityId, target, limit: 10_000 });
  const datasets = readdirSync(join(home, "datasets", cityId)).filter((name) => !name.startsWith("."));
  const artifacts = await registry.artifacts.list();
  seen["versions"] = versions.length;
  seen["datasets"] = datasets.length;
  const report = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      violations.push(`${what}: ${(error as Error).message}`);
    }
  };
  for (const { version, artifactId, datasetVersion, runId } of versions) {
    if (version === 0) continue;
    await report(`version ${version}`, async () => {
      loadForecaster(await registry.artifacts.get(artifactId!, modelFile));
      const run = await registry.runs.get(runId!);
      if (run.state === "running") throw new Error("its run still goes on");
    });
    if (!datasets.includes(datasetVersion!))
      violations.push(`version ${version} was trained on ${datasetVersion}, which is gone`);
  }
  for (const id of artifacts)
    await report(`artifact ${id}`, async () => void (await registry.artifacts.get(id, modelFile)));
  for (const id of datasets) {
    await report(`dataset ${id}`, async () => {
      const folder = join(home, "datasets", cityId, id);
      const opened = await openVersion(folder, {
        memoryMb: 128,
        threads: 1,
        temporary: join(home, "..", "opened"),
      });
      try {
        // Cut at one instant: what refers to a row finds it.
        const lost = await opened.connection.first<{ n: number }>(
          "SELECT count(*) AS n FROM observations o WHERE NOT EXISTS (FROM steps s WHERE s.t = o.t) OR NOT EXISTS (FROM entities n WHERE n.e = o.e)",
        );
        if (lost!.n > 0) throw new Error(`${lost!.n} observations have no step or entity`);
      } finally {
        opened.close();
      }
    });
  }
}

/** The log, read from its beginning, leads to the aliases; there is one champion. */
async function checkPromotions(
  registry: Registry,
  violations: string[],
  seen: Record<string, number>,
): Promise<void> {
  const log = (await registry.promotions.history({ city: cityId, target, limit: 10_000 })).reverse();
  seen["promotions"] = log.length;
  let champion: number | null = null;
  for (const [i, line] of log.entries()) {
    if (line.seq !== (log[i - 1]?.seq ?? 0) + 1)
      violations.push(`the promotion log has a gap before ${line.seq}`);
    if (line.fromVersion !== champion)
      violations.push(`promotion ${line.seq} says that ${line.fromVersion} was champion, it was ${champion}`);
    champion = line.version;
  }
  const aliases = await registry.promotions.aliases(cityId, target);
  if (aliases.champion === null || aliases.champion !== champion)
    violations.push(`the champion is ${aliases.champion}, the log says ${champion}`);
}

/** Nothing temporary is left of the dead. */
export function checkLeftovers(home: string, violations: string[]): void {
  for (const path of readdirSync(home, { recursive: true, encoding: "utf8" })) {
    const name = path.split("/").at(-1)!;
    if (/^tmp-|\.tmp$|^\.writing|^training-|^calibration-|^version-|^profiles-|^duckdb_temp/.test(name))
      violations.push(`left over: ${path}`);
  }
}
