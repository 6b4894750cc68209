import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createClock, createMetrics, openDatabase, silentLog } from "../../src/core/index.ts";
import { createJobs } from "../../src/jobs/index.ts";
import { spawnSource } from "../core/child.ts";
import { withFolder } from "../core/folder.ts";

describe("a process killed while jobs run", () => {
  test("is made up for by the next: what ran is tried again, or failed when its attempts are used up", () =>
    withFolder(async (folder) => {
      const path = join(folder, "metadata.sqlite");
      const child = spawnSource(`
        import { createClock, createMetrics, openDatabase, silentLog } from ${spawnSource.room("core")};
        import { createJobs } from ${spawnSource.room("jobs")};
        const database = await openDatabase(${JSON.stringify(path)});
        const jobs = createJobs({ database, clock: createClock(), log: silentLog, metrics: createMetrics() });
        let begun = 0;
        const hang = ({ heartbeat }) => {
          heartbeat(0.25, "a quarter");
          if (++begun === 2) console.log("both run");
          return new Promise(() => setInterval(() => undefined, 1_000));
        };
        jobs.define("again", hang, { lane: "ingest", retries: 1 });
        jobs.define("once", hang, { lane: "train", retries: 0 });
        await jobs.start();
        await jobs.enqueue("again", { n: 1 }, { key: "k" });
        await jobs.enqueue("once", null);
        await jobs.enqueue("again", { n: 2 });
      `);
      await child.line("both run").finally(() => child.kill());
      const database = await openDatabase(path);
      const jobs = createJobs({ database, clock: createClock(), log: silentLog, metrics: createMetrics() });
      const before = await jobs.list();
      expect(before.map(({ state }) => state).sort()).toEqual(["queued", "running", "running"]);
      const ran: unknown[] = [];
      jobs.define("again", async ({ payload }) => ran.push(payload), { lane: "ingest", retries: 1 });
      jobs.define("once", async ({ payload }) => ran.push(payload), { lane: "train", retries: 0 });
      const revived = await jobs.enqueue("again", null, { key: "k" });
      expect(revived.payload).toEqual({ n: 1 });
      await jobs.start();
      await jobs.idle();
      expect(ran).toEqual([{ n: 1 }, { n: 2 }]);
      expect(await jobs.get(revived.id)).toMatchObject({ state: "succeeded", attempt: 2, error: null });
      const [failed] = await jobs.list({ kind: "once" });
      expect(failed).toMatchObject({
        state: "failed",
        attempt: 1,
        error: { code: "ABORTED", message: "the process ended while this job ran" },
      });
      await jobs.stop();
      await database.close();
    }));
});
