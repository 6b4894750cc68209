import { describe, expect, test } from "vitest";
import { createManualClock, createMetrics, openDatabase, silentLog } from "../../src/core/index.ts";
import { createJobs, createSchedules, type ScheduledPayload, type Schedules } from "../../src/jobs/index.ts";
import { type Engine, start, withEngine } from "./helpers.ts";

const hour = 3_600_000;
const hourly = { name: "ingest:paris", cron: "5 * * * *", timeZone: "Europe/Paris", kind: "note" } as const;

interface World extends Engine {
  readonly schedules: Schedules;
  /** Another process's schedules on the same database. */
  readonly restart: () => Schedules;
  /** `scheduledAt` of every job that ran, as minutes since the start. */
  readonly ran: number[];
}

function withSchedules(body: (world: World) => Promise<void>): Promise<void> {
  return withEngine(async (engine) => {
    const ran: number[] = [];
    engine.jobs.define<ScheduledPayload>(
      "note",
      async ({ payload }) => {
        ran.push((payload.scheduledAt - start) / 60_000);
      },
      { lane: "ingest" },
    );
    await engine.jobs.start();
    const restart = () => createSchedules({ ...engine.parts, jobs: engine.jobs });
    await body({ ...engine, schedules: restart(), restart, ran });
  });
}

describe("schedules", () => {
  test("a schedule fires at each of its times, once, and tells the job when it was due", () =>
    withSchedules(async ({ schedules, jobs, clock, ran }) => {
      await schedules.register({ ...hourly, payload: { city: "paris" } });
      expect(await schedules.fireDue()).toBe(0);
      for (let i = 0; i < 3; i++) {
        clock.set((await schedules.nextDueAt())!);
        expect(await Promise.all([schedules.fireDue(), schedules.fireDue()])).toEqual([1, 0]);
        await jobs.idle();
      }
      expect(ran).toEqual([5, 65, 125]);
      const [newest] = await jobs.list({ schedule: hourly.name });
      expect(newest).toMatchObject({
        payload: { city: "paris", scheduledAt: start + 125 * 60_000 },
        actor: "schedule",
      });
      expect(await schedules.list()).toEqual([
        {
          ...hourly,
          payload: { city: "paris" },
          nextAt: start + 185 * 60_000,
          lastFiredAt: start + 125 * 60_000,
        },
      ]);
    }));

  test("it wakes by itself on the clock it was given, and stops when told", () =>
    withSchedules(async ({ schedules, jobs, clock }) => {
      await schedules.register(hourly);
      schedules.start();
      const done = Promise.withResolvers<number>();
      jobs.on("finished", (job) => done.resolve(job.runAt));
      clock.advance(hour);
      expect(await done.promise).toBe(start + hour);
      await schedules.stop();
      clock.advance(hour);
      await jobs.idle();
      expect(await jobs.list()).toHaveLength(1);
    }));

  test("what was missed while the program was down is made up for once, for the latest time", () =>
    withSchedules(async ({ schedules, restart, jobs, clock, ran }) => {
      await schedules.register(hourly);
      clock.advance(30 * 24 * hour + 10 * 60_000);
      const later = restart();
      await later.register(hourly);
      expect(await later.fireDue()).toBe(1);
      expect(await later.fireDue()).toBe(0);
      await jobs.idle();
      expect(ran).toEqual([30 * 24 * 60 + 5]);
    }));

  test("a restart does not fire the same instant again, nor does a clock that is set back", () =>
    withSchedules(async ({ schedules, restart, jobs, clock, ran }) => {
      await schedules.register(hourly);
      clock.set(start + 5 * 60_000);
      await schedules.fireDue();
      clock.set(start);
      const later = restart();
      await later.register(hourly);
      expect(await later.fireDue()).toBe(0);
      clock.set(start + 64 * 60_000);
      expect(await later.fireDue()).toBe(0);
      await jobs.idle();
      expect(ran).toEqual([5]);
    }));

  test("a clock that starts over, as a simulation's does, does not silence the schedules", () =>
    withSchedules(async ({ schedules, restart, jobs, clock, ran }) => {
      await schedules.register(hourly);
      clock.advance(30 * 24 * hour);
      await schedules.fireDue();
      await jobs.idle();
      clock.set(start);
      const later = restart();
      await later.register(hourly);
      expect(await later.nextDueAt()).toBe(start + 5 * 60_000);
      clock.advance(hour);
      expect(await later.fireDue()).toBe(1);
      await jobs.idle();
      expect(ran.at(-1)).toBe(5);
    }));

  test("a firing takes the place of an earlier one that still waits, but not of one that runs", () =>
    withEngine(async ({ jobs, clock, parts }) => {
      const began = Promise.withResolvers<void>();
      const hold = Promise.withResolvers<void>();
      jobs.define(
        "note",
        async () => {
          began.resolve();
          await hold.promise;
        },
        { lane: "ingest" },
      );
      await jobs.start();
      const schedules = createSchedules({ ...parts, jobs });
      await schedules.register(hourly);
      for (let i = 0; i < 3; i++) {
        clock.advance(hour);
        await schedules.fireDue();
        await began.promise;
      }
      const states = async () => (await jobs.list({ schedule: hourly.name })).map(({ state }) => state);
      expect(await states()).toEqual(["queued", "cancelled", "running"]);
      hold.resolve();
      await jobs.idle();
      expect(await states()).toEqual(["succeeded", "cancelled", "succeeded"]);
    }));

  test("changed times count from the change: nothing is made up for", () =>
    withSchedules(async ({ schedules, clock, jobs, ran }) => {
      await schedules.register({ ...hourly, cron: "0 4 * * *" });
      clock.advance(12 * hour);
      await schedules.fireDue();
      await schedules.register({ ...hourly, cron: "0 9 * * *" });
      expect(await schedules.fireDue()).toBe(0);
      await jobs.idle();
      expect(ran).toEqual([2 * 60]);
    }));

  test("a wrong cron or time zone is refused when it is declared", () =>
    withSchedules(async ({ schedules }) => {
      for (const wrong of [{ cron: "5 * * *" }, { timeZone: "Europe/Pari" }]) {
        await expect(schedules.register({ ...hourly, ...wrong })).rejects.toMatchObject({
          code: "CONFIG_INVALID",
        });
      }
      expect(await schedules.list()).toEqual([]);
      expect(await schedules.nextDueAt()).toBeNull();
    }));

  test("when the job cannot be stored the instant counts as not fired", async () => {
    const database = await openDatabase(":memory:");
    const clock = createManualClock(start);
    const parts = { database, clock, log: silentLog, metrics: createMetrics() };
    const jobs = createJobs(parts);
    const schedules = createSchedules({ ...parts, jobs });
    await schedules.register(hourly);
    clock.advance(hour);
    await expect(schedules.fireDue()).rejects.toThrow('nothing handles jobs of kind "note"');
    jobs.define("note", async () => undefined, { lane: "ingest" });
    expect(await schedules.fireDue()).toBe(1);
    await jobs.stop();
    await database.close();
  });
});
