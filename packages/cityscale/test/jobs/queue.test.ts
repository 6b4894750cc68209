import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CityScaleError } from "../../src/core/index.ts";
import { createJobs } from "../../src/jobs/index.ts";
import { gate, start, withEngine } from "./helpers.ts";

const ingest = { lane: "ingest" } as const;

describe("the job queue", () => {
  test("a job runs once, and its result, progress and times are kept", () =>
    withEngine(async ({ jobs, clock, parts }) => {
      jobs.define<{ rows: number }>(
        "count",
        async ({ payload, heartbeat }) => {
          heartbeat(0.5, "half way");
          return payload.rows * 2;
        },
        ingest,
      );
      await jobs.start();
      const { id } = await jobs.enqueue("count", { rows: 21 }, { actor: "alice" });
      const job = await jobs.finished(id);
      expect(job).toMatchObject({
        state: "succeeded",
        result: 42,
        attempt: 1,
        progress: 1,
        message: "half way",
      });
      expect(job).toMatchObject({
        actor: "alice",
        createdAt: clock.now(),
        finishedAt: clock.now(),
        error: null,
      });
      await jobs.idle();
      const text = await parts.metrics.text();
      expect(text).toContain('cityscale_job_duration_seconds_count{kind="count",state="succeeded"} 1');
    }));

  test("larger priority goes first, then the earlier one, one at a time", () =>
    withEngine(async ({ jobs }) => {
      const order: string[] = [];
      let running = 0;
      jobs.define<string>(
        "note",
        async ({ payload }) => {
          expect(++running).toBe(1);
          await Promise.resolve();
          order.push(payload);
          running--;
        },
        ingest,
      );
      for (const name of ["a", "b"]) await jobs.enqueue("note", name);
      await jobs.enqueue("note", "urgent", { priority: 1 });
      await jobs.start();
      await jobs.idle();
      expect(order).toEqual(["urgent", "a", "b"]);
    }));

  test("lanes run side by side: a long training does not hold up a forecast", () =>
    withEngine(async ({ jobs }) => {
      const training = gate();
      jobs.define("train", () => training.promise, { lane: "train" });
      jobs.define("forecast", async () => "done", { lane: "forecast" });
      await jobs.start();
      const long = await jobs.enqueue("train", null);
      const short = await jobs.enqueue("forecast", null);
      expect((await jobs.finished(short.id)).result).toBe("done");
      expect((await jobs.get(long.id)).state).toBe("running");
      training.resolve();
      expect((await jobs.finished(long.id)).state).toBe("succeeded");
    }));

  test("a failed job is tried again after waits that double, and its error is kept with its causes", () =>
    withEngine(
      async ({ jobs, clock }) => {
        jobs.define(
          "flaky",
          async () => {
            throw new CityScaleError("SOURCE_UNREACHABLE", "no answer", { cause: new Error("ECONNREFUSED") });
          },
          { lane: "ingest", retries: 2, backoff: { firstMs: 1_000, maxMs: 60_000 } },
        );
        await jobs.start();
        const { id } = await jobs.enqueue("flaky", null);
        for (const [attempt, wait] of [
          [1, 1_000],
          [2, 2_000],
        ] as const) {
          await jobs.idle();
          const waiting = await jobs.get(id);
          expect(waiting).toMatchObject({ state: "queued", attempt, runAt: clock.now() + wait });
          clock.advance(wait - 1);
          await jobs.idle();
          expect((await jobs.get(id)).attempt).toBe(attempt);
          clock.advance(1);
        }
        await jobs.idle();
        expect(await jobs.get(id)).toMatchObject({
          state: "failed",
          attempt: 3,
          error: { code: "SOURCE_UNREACHABLE", message: "no answer: ECONNREFUSED" },
        });
      },
      { random: () => 1 },
    ));

  test("what the caller did wrong is not tried again", () =>
    withEngine(async ({ jobs }) => {
      jobs.define("wrong", () => Promise.reject(new CityScaleError("DATA_MISSING", "too short")), ingest);
      await jobs.start();
      const job = await jobs.finished((await jobs.enqueue("wrong", null)).id);
      expect(job).toMatchObject({ state: "failed", attempt: 1, error: { code: "DATA_MISSING" } });
    }));

  test("a job for later waits for its instant of the clock, without a look in between", () =>
    withEngine(async ({ jobs, clock }) => {
      jobs.define("later", async () => undefined, ingest);
      await jobs.start();
      const { id } = await jobs.enqueue("later", null, { runAt: start + 1_000 });
      await jobs.idle();
      expect(await jobs.nextDueAt()).toBe(start + 1_000);
      expect((await jobs.get(id)).state).toBe("queued");
      clock.set(start + 1_000);
      expect((await jobs.finished(id)).startedAt).toBe(start + 1_000);
    }));

  test("cancelling a queued job means it never runs; a running one is aborted; a finished one refuses", () =>
    withEngine(async ({ jobs }) => {
      const begun = gate();
      let runs = 0;
      jobs.define(
        "long",
        ({ signal }) => {
          runs++;
          begun.resolve();
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
        ingest,
      );
      await jobs.start();
      const running = await jobs.enqueue("long", null);
      const waiting = await jobs.enqueue("long", null);
      await begun.promise;
      expect((await jobs.cancel(waiting.id)).state).toBe("cancelled");
      expect(await jobs.cancel(running.id)).toMatchObject({ state: "cancelled", attempt: 1 });
      await jobs.idle();
      expect(runs).toBe(1);
      await expect(jobs.cancel(running.id)).rejects.toMatchObject({ code: "CONFLICT" });
      await expect(jobs.cancel("job_0")).rejects.toMatchObject({ code: "JOB_UNKNOWN" });
    }));

  test("a job that takes too long is aborted and fails with JOB_TIMEOUT", () =>
    withEngine(async ({ jobs }) => {
      jobs.define(
        "slow",
        ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        { lane: "ingest", retries: 0, timeoutMs: 5 },
      );
      await jobs.start();
      const job = await jobs.finished((await jobs.enqueue("slow", null)).id);
      expect(job).toMatchObject({ state: "failed", error: { code: "JOB_TIMEOUT" } });
    }));

  test("a stop aborts what runs, and the next start runs it again without a lost attempt", () =>
    withEngine(async ({ jobs, parts }) => {
      const begun = gate();
      jobs.define(
        "long",
        ({ signal }) => {
          begun.resolve();
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
        { lane: "train", retries: 0 },
      );
      await jobs.start();
      const { id } = await jobs.enqueue("long", null);
      await begun.promise;
      await jobs.stop({ graceMs: 0 });
      expect(await jobs.get(id)).toMatchObject({ state: "queued", attempt: 0 });
      const later = createJobs(parts);
      later.define("long", async () => "now", { lane: "train" });
      await later.start();
      expect(await later.finished(id)).toMatchObject({ state: "succeeded", attempt: 1, result: "now" });
      await later.stop();
    }));

  test("a listener that throws harms no job", () =>
    withEngine(async ({ jobs }) => {
      jobs.define("fine", async () => undefined, ingest);
      jobs.on("started", () => {
        throw new Error("a bad listener");
      });
      const seen: string[] = [];
      jobs.on("finished", (job) => seen.push(job.state));
      await jobs.start();
      await jobs.finished((await jobs.enqueue("fine", null)).id);
      expect(seen).toEqual(["succeeded"]);
    }));

  test("lists filter and page, and old finished jobs are pruned while waiting ones stay", () =>
    withEngine(async ({ jobs, clock }) => {
      jobs.define("a", async () => undefined, ingest);
      jobs.define("b", async () => undefined, { lane: "train" });
      await jobs.start();
      for (const kind of ["a", "b", "a"]) await jobs.finished((await jobs.enqueue(kind, null)).id);
      const newest = await jobs.list({ kind: "a", limit: 1 });
      expect(newest).toHaveLength(1);
      expect(await jobs.list({ kind: "a", before: newest[0]!.id })).toHaveLength(1);
      expect(await jobs.list({ lane: "train" })).toHaveLength(1);
      await jobs.enqueue("a", null, { runAt: start + 86_400_000 });
      clock.advance(1_000);
      expect(await jobs.prune(start)).toBe(0);
      expect(await jobs.prune(start + 1)).toBe(3);
      expect((await jobs.list()).map((job) => job.state)).toEqual(["queued"]);
    }));

  test("whatever is asked in whatever order, one key never has two living jobs", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("enqueue" as const), key: fc.constantFrom("x", "y"), inMs: fc.nat(3) }),
      fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ do: fc.constant("cancel" as const), key: fc.constantFrom("x", "y") }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), (steps) =>
        withEngine(async ({ jobs, clock, parts }) => {
          const running = new Set<string>();
          jobs.define<string>(
            "keyed",
            async ({ payload: key }) => {
              expect(running.has(key)).toBe(false);
              running.add(key);
              await Promise.resolve();
              running.delete(key);
            },
            { lane: "ingest", retries: 0 },
          );
          await jobs.start();
          await Promise.all(
            steps.map(async (action) => {
              if (action.do === "enqueue") {
                const runAt = clock.now() + action.inMs;
                const job = await jobs.enqueue("keyed", action.key, { key: action.key, runAt });
                expect(job.key).toBe(action.key);
              } else if (action.do === "advance") clock.advance(action.ms);
              else {
                const queued = await jobs.list({ key: action.key, state: "queued" });
                // It may have begun or ended since: then there is nothing to cancel.
                for (const { id } of queued)
                  await jobs.cancel(id).catch((error) => expect(error.code).toBe("CONFLICT"));
              }
              const living = await parts.database.db
                .selectFrom("jobs")
                .select(["key", (e) => e.fn.countAll<number>().as("count")])
                .where("state", "in", ["queued", "running"])
                .groupBy("key")
                .execute();
              for (const { count } of living) expect(count).toBe(1);
            }),
          );
          clock.advance(10);
          await jobs.idle();
          const states = new Set((await jobs.list()).map((job) => job.state));
          expect([...states].every((state) => state === "succeeded" || state === "cancelled")).toBe(true);
        }),
      ),
      { numRuns: 40 },
    );
  });
});
