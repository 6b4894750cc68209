import type { Selectable } from "kysely";
import type { CalibrationsTable, Clock, Db } from "../core/index.ts";

/** What a version's probabilities were taken to mean from an instant on. */
export interface StoredCalibration {
  readonly city: string;
  readonly target: string;
  readonly version: number;
  /** Instant from which on it holds, ms UTC. */
  readonly at: number;
  /** The data whose outcomes it was fitted on. */
  readonly datasetVersion: string;
  /** Plain JSON; what is in it is the model's affair. */
  readonly calibration: unknown;
}

/**
 * Calibrations of model versions, fitted on newer outcomes than the versions themselves. A version without any keeps the
 * one that it was trained with. None is ever changed or removed.
 */
export interface Calibrations {
  /** Holds from now on. Throws where the version is not there. */
  add(calibration: Omit<StoredCalibration, "at">): Promise<StoredCalibration>;
  /** The one that held for a version at an instant, the newest where none is given; null before the first. */
  inForce(city: string, target: string, version: number, at?: number): Promise<StoredCalibration | null>;
  /** Those that held at any instant of [from, until), oldest first. */
  during(
    city: string,
    target: string,
    version: number,
    period: { readonly from: number; readonly until: number },
  ): Promise<StoredCalibration[]>;
}

export function createCalibrations({ db, clock }: { db: Db; clock: Clock }): Calibrations {
  return {
    add: async ({ city, target, version, datasetVersion, calibration }) => {
      const row = await db
        .insertInto("calibrations")
        .values({
          ...{ city, target, version },
          at: Math.floor(clock.now()),
          dataset_version: datasetVersion,
          calibration: JSON.stringify(calibration),
        })
        // Two of one instant are of the same outcomes.
        .onConflict((conflict) => conflict.columns(["city", "target", "version", "at"]).doNothing())
        .returningAll()
        .executeTakeFirst();
      return row ? calibrationOf(row) : (await inForce(city, target, version))!;
    },
    inForce,
    during: async (city, target, version, { from, until }) => {
      const first = await inForce(city, target, version, from);
      const later = await calibrationsOf(city, target, version)
        .where("at", ">", Math.floor(from))
        .where("at", "<", until)
        .orderBy("at")
        .execute();
      return [...(first ? [first] : []), ...later.map(calibrationOf)];
    },
  };

  function calibrationsOf(city: string, target: string, version: number) {
    return db
      .selectFrom("calibrations")
      .selectAll()
      .where("city", "=", city)
      .where("target", "=", target)
      .where("version", "=", version);
  }

  async function inForce(city: string, target: string, version: number, at?: number) {
    let query = calibrationsOf(city, target, version).orderBy("at", "desc").limit(1);
    if (at !== undefined) query = query.where("at", "<=", Math.floor(at));
    const row = await query.executeTakeFirst();
    return row ? calibrationOf(row) : null;
  }
}

const calibrationOf = (row: Selectable<CalibrationsTable>): StoredCalibration => ({
  city: row.city,
  target: row.target,
  version: row.version,
  at: row.at,
  datasetVersion: row.dataset_version,
  calibration: JSON.parse(row.calibration),
});
