import { CityScaleError, type Clock, type Log, type MetadataDatabase, messageOf } from "../core/index.ts";
import { isTimeZone } from "../domain/index.ts";
import { latestTime, nextTime } from "./cron.ts";
import type { Jobs } from "./types.ts";

/** A job that is wanted at local times. */
export interface Schedule {
  readonly name: string;
  /** Five fields, on the wall clock of `timeZone`. */
  readonly cron: string;
  readonly timeZone: string;
  readonly kind: string;
  /** The job's payload is this and `scheduledAt`. */
  readonly payload?: Readonly<Record<string, unknown>>;
}

/** What the payload of every scheduled job tells besides the schedule's own: when it was due. */
export interface ScheduledPayload {
  readonly scheduledAt: number;
}

export interface ScheduleState extends Schedule {
  readonly nextAt: number;
  readonly lastFiredAt: number | null;
}

/** Runs farther ahead than this can only come from a clock that was wrong, or virtual. */
const believableMs = 86_400_000;

/**
 * Enqueues jobs at local times, each instant at most once, whatever happens to the process: that it fired is
 * stored in one transaction with the job. What was missed (downtime, a clock that jumped) is made up for ONCE,
 * for the latest instant missed. A schedule's first instant is the first after it was declared; so it is after
 * its times were changed.
 */
export interface Schedules {
  /** Declares a schedule, or changes the one of this name. Throws CONFIG_INVALID. */
  register(schedule: Schedule): Promise<void>;
  list(): Promise<ScheduleState[]>;
  /** Fires what is due now; returns how many. `start` does this by itself; a replay does it step by step. */
  fireDue(): Promise<number>;
  /** The earliest instant at which a schedule is due; null without schedules. */
  nextDueAt(): Promise<number | null>;
  start(): void;
  stop(): Promise<void>;
}

export function createSchedules(parts: {
  database: MetadataDatabase;
  jobs: Jobs;
  clock: Clock;
  log: Log;
}): Schedules {
  const { db } = parts.database;
  const { jobs, clock, log } = parts;
  const declared = new Map<string, Schedule>();
  let stopped: AbortController | null = null;
  let looping: Promise<void> = Promise.resolve();
  let changed = new AbortController();
  // One look at a time: two would both see the same instant as due.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => undefined);
    return result;
  };

  /** The instant up to which a schedule is done with. */
  async function settledTo(name: string): Promise<number> {
    const now = Math.floor(clock.now());
    const row = await db
      .selectFrom("schedules")
      .selectAll()
      .where("name", "=", name)
      .executeTakeFirstOrThrow();
    if (row.settled_to <= now + believableMs) return row.settled_to;
    log.warn(
      { schedule: name, settledTo: row.settled_to, now },
      "a schedule is ahead of the clock; it starts anew",
    );
    await db.updateTable("schedules").set({ settled_to: now }).where("name", "=", name).execute();
    return now;
  }

  async function fire(schedule: Schedule): Promise<boolean> {
    const now = Math.floor(clock.now());
    const from = await settledTo(schedule.name);
    const at = now > from ? latestTime(schedule.cron, schedule.timeZone, from, now) : null;
    if (at === null) return false;
    await db.transaction().execute(async (within) => {
      await within
        .updateTable("schedules")
        .set({ settled_to: at, last_fired_at: at })
        .where("name", "=", schedule.name)
        .execute();
      await jobs.enqueue(
        schedule.kind,
        { ...schedule.payload, scheduledAt: at },
        { schedule: schedule.name, actor: "schedule", within },
      );
    });
    return true;
  }

  const nextDueAt = async () => {
    let earliest: number | null = null;
    for (const { name, cron, timeZone } of declared.values()) {
      const at = nextTime(cron, timeZone, await settledTo(name));
      if (earliest === null || at < earliest) earliest = at;
    }
    return earliest;
  };

  const fireDue = () =>
    inTurn(async () => {
      let fired = 0;
      for (const schedule of [...declared.values()]) if (await fire(schedule)) fired++;
      return fired;
    });

  async function loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        changed = new AbortController();
        const wake = AbortSignal.any([signal, changed.signal]);
        await fireDue();
        const next = await inTurn(nextDueAt);
        await clock.until(next ?? Number.POSITIVE_INFINITY, wake).catch((error) => {
          if (!wake.aborted) throw error;
        });
      } catch (error) {
        log.error({ error: messageOf(error) }, "the schedules cannot be read");
        await clock.until(clock.now() + 1_000, signal).catch(() => undefined); // Aborted: the loop ends by itself.
      }
    }
  }

  return {
    fireDue,
    nextDueAt: () => inTurn(nextDueAt),

    register: (schedule) =>
      inTurn(async () => {
        const { name, cron, timeZone } = schedule;
        if (!isTimeZone(timeZone)) {
          throw new CityScaleError(
            "CONFIG_INVALID",
            `schedule ${name}: "${timeZone}" is not an IANA time zone`,
          );
        }
        const now = Math.floor(clock.now());
        nextTime(cron, timeZone, now); // Throws when it is no cron expression, or one that is never due.
        await db
          .insertInto("schedules")
          .values({ name, cron, time_zone: timeZone, settled_to: now, last_fired_at: null })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        await db
          .updateTable("schedules")
          .set({ cron, time_zone: timeZone, settled_to: now })
          .where("name", "=", name)
          .where((e) => e.or([e("cron", "!=", cron), e("time_zone", "!=", timeZone)]))
          .execute();
        declared.set(name, schedule);
        changed.abort();
      }),

    list: () =>
      inTurn(async () => {
        const states: ScheduleState[] = [];
        for (const schedule of declared.values()) {
          const after = await settledTo(schedule.name);
          const row = await db
            .selectFrom("schedules")
            .select("last_fired_at")
            .where("name", "=", schedule.name)
            .executeTakeFirstOrThrow();
          const nextAt = nextTime(schedule.cron, schedule.timeZone, after);
          states.push({ ...schedule, nextAt, lastFiredAt: row.last_fired_at });
        }
        return states;
      }),

    start: () => {
      if (stopped) return;
      stopped = new AbortController();
      looping = loop(stopped.signal);
    },

    stop: async () => {
      stopped?.abort();
      await looping;
      await turn;
      stopped = null;
    },
  };
}
