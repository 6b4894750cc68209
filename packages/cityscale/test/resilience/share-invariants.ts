import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createManualClock, createMetrics, openDatabase, silentLog } from "../../src/core/index.ts";
import { binaryTargets, defineCity } from "../../src/domain/index.ts";
import { KeptProfiles, LevelHistory, publicHolidays, readLevels } from "../../src/features/index.ts";
import { createJobs } from "../../src/jobs/index.ts";
import { type Connection, retainedFrom } from "../../src/lake/index.ts";
import { levelTargetOf } from "../../src/models/index.ts";
import { bytesOf } from "../features/levels/profile-bytes.ts";
import { type Checked, checkLeftovers, openLakeOf } from "./invariants.ts";
import { declaration } from "./share-town.ts";
import { testStart } from "./small-city.ts";

const dayMs = 86_400_000;
/** How often the source asks for the months of the archive that are not complete. */
const archiveEveryMs = 6 * 3_600_000;

/** Looks at everything that a data folder of the share town holds after its last process has stopped at `now`. */
export async function checkShare(home: string, simulator: string, now: number): Promise<Checked> {
  const violations: string[] = [];
  const seen: Record<string, number> = {};
  const city = defineCity(declaration);
  const clock = createManualClock(now);
  const lake = await openLakeOf(home, city, clock);
  const database = await openDatabase(join(home, "metadata.sqlite"));
  try {
    await lake.read((connection) => checkSnapshots(connection, simulator, now, violations, seen));
    await lake.read((connection) => checkBatches(connection, now, violations, seen));
    await lake.read(async (connection) => {
      const levels = await readLevels(connection, { knownBy: now });
      const history = new LevelHistory(levels, city.timeZone, await publicHolidays(connection));
      const asOf = history.profileInstant(now);
      const folder = join(home, "profiles", city.id);
      const temporary = join(home, "lakes", "tmp");
      seen["profile files"] = existsSync(join(folder, `${asOf}.bin`)) ? 1 : 0;
      const asked = { timeZone: city.timeZone, asOf, targets: binaryTargets(city).map(levelTargetOf) };
      const kept = await new KeptProfiles({ folder, temporary, log: silentLog }).get(connection, asked, {
        ...{ stations: levels.stations, current: false },
      });
      const fresh = asked.targets.map((target) => history.profiles(target, asOf));
      const same = JSON.stringify(bytesOf(kept)) === JSON.stringify(bytesOf(fresh));
      if (!same) violations.push("the profiles used are not those of the snapshots");
    });
    const jobs = await createJobs({ database, clock, log: silentLog, metrics: createMetrics() }).list({
      limit: 10_000,
    });
    seen["jobs"] = jobs.length;
    for (const job of jobs)
      if (job.state === "running") violations.push(`job ${job.id} (${job.kind}) is still said to run`);
  } finally {
    await lake.close();
    await database.close();
  }
  checkLeftovers(home, violations);
  return { violations, seen };
}

type None = (what: string, sql: string) => Promise<void>;
const noneOf =
  (connection: Connection, violations: string[]): None =>
  async (what, sql) => {
    const n = (await connection.first<{ n: number }>(`SELECT count(*) AS n FROM (${sql})`))!.n;
    if (n > 0) violations.push(`${n} ${what}`);
  };

/** Every snapshot that the archive has, once and as it was published; nothing that was not. */
async function checkSnapshots(
  connection: Connection,
  simulator: string,
  now: number,
  violations: string[],
  seen: Record<string, number>,
): Promise<void> {
  const none = noneOf(connection, violations);
  const folder = mkdtempSync(join(tmpdir(), "archive-"));
  try {
    const first = new Date(testStart - 40 * dayMs);
    for (let month = 0; ; month++) {
      const at = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + month);
      if (at > now) break;
      const name = new Date(at).toISOString().slice(0, 7);
      const answer = await fetch(`${simulator}/archive/status_${name}.parquet`);
      if (answer.ok) writeFileSync(join(folder, `${name}.parquet`), Buffer.from(await answer.arrayBuffer()));
    }
    await connection.run(
      `CREATE TEMP TABLE published AS
       SELECT CAST(epoch_ms(ts) AS BIGINT) AS "at", station_id AS entity, bikes, ebikes, docks, bikes_disabled, docks_disabled,
         is_renting = 1 AS renting, is_returning = 1 AS "returning", last_reported * 1000 AS reported_at
       FROM read_parquet('${join(folder, "*.parquet")}')`,
    );
    await connection.run(
      `CREATE TEMP TABLE held AS
       SELECT s."at", n.entity, s.bikes, s.ebikes, s.docks, s.bikes_disabled, s.docks_disabled, s.renting, s."returning", s.reported_at
       FROM snapshots s JOIN entities n USING (e)`,
    );
    seen["snapshots"] = (await connection.first<{ n: number }>("SELECT count(*) AS n FROM held"))!.n;
    seen["read live"] = (await connection.first<{ n: number }>(
      'SELECT count(DISTINCT "at") AS n FROM snapshots WHERE known_at > "at"',
    ))!.n;
    const complete = Math.floor((now - archiveEveryMs) / dayMs) * dayMs;
    const midnight = Math.floor(now / dayMs) * dayMs;
    await none(
      "published snapshots are lost",
      `FROM published WHERE "at" < ${complete} AND (entity, "at") NOT IN (SELECT (entity, "at") FROM held)`,
    );
    await none("snapshots are not as published", `FROM held WHERE "at" < ${midnight} EXCEPT FROM published`);
    await none("snapshots are there twice", `SELECT entity, "at" FROM held GROUP BY ALL HAVING count(*) > 1`);
    await none("snapshots were known before they were taken", `FROM snapshots WHERE known_at < "at"`);
    // The first read brings history, however often it was killed.
    await none(
      "snapshots of the history were not known when they were taken",
      `FROM snapshots WHERE known_at <> "at" AND "at" < (SELECT first_read_at // ${dayMs} * ${dayMs} FROM cursors WHERE source = 'stations')`,
    );
    await none("snapshots have no station", "FROM snapshots ANTI JOIN entities USING (e)");
    await none("rows are in quarantine", "FROM quarantine");
    await none("stations are there twice", "SELECT entity FROM entities GROUP BY entity HAVING count(*) > 1");
    const cursor = await connection.first<{ last_error: string | null; newest: number }>(
      `SELECT last_error, (SELECT max("at") FROM snapshots) AS newest FROM cursors WHERE source = 'stations'`,
    );
    if (cursor!.last_error) violations.push(`the source of stations says: ${cursor!.last_error}`);
    if (now - cursor!.newest > 4 * 3_600_000)
      violations.push(`the newest snapshot is of ${new Date(cursor!.newest).toISOString()}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Batches of an origin are there together and whole, or all of their forecasts are gone with a note. */
async function checkBatches(
  connection: Connection,
  now: number,
  violations: string[],
  seen: Record<string, number>,
): Promise<void> {
  const none = noneOf(connection, violations);
  const targets = Object.keys(declaration.targets).length;
  const from = (await retainedFrom(connection, "risks")) ?? 0;
  await connection.run(
    `CREATE TEMP TABLE told AS
     SELECT b.batch, b.target, b.origin_at, b."rows", count(f.e) AS found, count(DISTINCT f.e) AS stations
     FROM batches b LEFT JOIN risk_forecasts f USING (batch) GROUP BY ALL`,
  );
  await none(
    "origins lack a target's batch",
    `SELECT origin_at FROM told GROUP BY origin_at HAVING count(*) <> ${targets} OR count(DISTINCT target) <> ${targets}`,
  );
  await none("batches are there twice", "SELECT batch FROM told GROUP BY batch HAVING count(*) > 1");
  await none(
    "batches are not whole",
    `FROM told WHERE origin_at >= ${from} AND ("rows" <> found OR found <> stations)`,
  );
  await none(
    "forecasts are there that are noted as removed",
    `FROM risk_forecasts WHERE origin_at < ${from}`,
  );
  await none("forecasts belong to no batch", "FROM risk_forecasts ANTI JOIN batches USING (batch)");
  await none(
    "scores are there twice",
    'SELECT target FROM risk_scores GROUP BY target, period, day, version, judged, "on" HAVING count(*) > 1',
  );
  const sums = (await connection.first<{
    batches: number;
    newest: number;
    gone: number | null;
    noted: number | null;
  }>(
    `SELECT count(*) AS batches, max(origin_at) AS newest, sum("rows") FILTER (origin_at < ${from}) AS gone,
       (SELECT "rows" FROM retained WHERE kind = 'risks') AS noted FROM told`,
  ))!;
  if (Number(sums.gone ?? 0) !== (sums.noted ?? 0))
    violations.push(`${sums.noted} forecasts are noted as removed, ${sums.gone} were`);
  if (sums.newest !== Math.floor(now))
    violations.push(`the newest batch is of ${new Date(sums.newest).toISOString()}`);
  seen["batches"] = sums.batches;
  seen["forecasts removed"] = Number(sums.gone ?? 0);
  seen["scores"] = (await connection.first<{ n: number }>("SELECT count(*) AS n FROM risk_scores"))!.n;
}
