import { serveOrder } from "../../core/index.ts";
import { literal, openEngine } from "../../lake/index.ts";
import type { ProfileWindows } from "./fall-profile.ts";
import { LevelHistory } from "./history.ts";
import { readLevels, type Station } from "./levels.ts";
import { writeProfiles } from "./profile-file.ts";
import type { ProfileOrder } from "./profiles.ts";

// Entry of the process that makes profiles; see profiles.ts.

/** The engine reads a week of snapshots at a time. */
const memoryMb = 224;

serveOrder<ProfileOrder>(async ({ snapshots, path, key, ...asked }) => {
  const { levels, entities } = await read(snapshots);
  const { timeZone, holidays, targets, asOf } = asked;
  const windows = new Array<ProfileWindows>(targets.length);
  // What the history of one level holds is gone before the other's is made.
  for (const level of new Set(targets.map(({ measure }) => measure))) {
    const history = new LevelHistory(levels, timeZone, new Set(holidays));
    for (const [i, target] of targets.entries())
      if (target.measure === level) windows[i] = history.profiles(target, asOf).windows;
  }
  await writeProfiles(path, key, { asOf, entities, targets: windows });
});

/** The snapshots of a Parquet file, with a station at the end that none of them holds. */
async function read(path: string) {
  const engine = await openEngine({ path: ":memory:", memoryMb, threads: 1 });
  try {
    using connection = await engine.connect();
    await connection.run(`CREATE VIEW snapshots AS FROM read_parquet(${literal(path)})`);
    const { e } = await connection.numbers("SELECT DISTINCT e FROM snapshots ORDER BY e");
    const entities = [...e!];
    const nowhere = entities.length === 0 ? 0 : entities.at(-1)! + 1;
    const levels = await readLevels(connection, {}, [...entities, nowhere].map(stationOf));
    return { levels, entities };
  } finally {
    engine.close();
  }
}

/** Profiles look at neither names nor places. */
const stationOf = (e: number): Station => ({
  ...{ e, entity: String(e), capacity: [] },
  ...{ lat: Number.NaN, lon: Number.NaN },
});
