import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CityScaleError,
  createManualClock,
  type ManualClock,
  openDatabase,
  silentLog,
} from "../../src/core/index.ts";
import {
  type Artifacts,
  createRegistry,
  type NewModelVersion,
  type Registry,
} from "../../src/registry/index.ts";

const start = Date.parse("2021-06-01T00:00:00Z");
const of = { city: "paris", target: "bicycles" } as const;
const by = { actor: "alice", reason: "better on both windows" } as const;

// Nothing in these tests stores a file.
const artifacts = {} as Artifacts;

async function withRegistry(
  body: (
    registry: Registry,
    clock: ManualClock,
    db: Awaited<ReturnType<typeof openDatabase>>["db"],
  ) => Promise<void>,
): Promise<void> {
  const clock = createManualClock(start);
  const database = await openDatabase(":memory:");
  try {
    await body(createRegistry({ database, artifacts, clock, log: silentLog }), clock, database.db);
  } finally {
    await database.close();
  }
}

const train = { ...of, kind: "train", params: { leaves: 47 }, codeVersion: "0.1.0", actor: "alice" } as const;

/** Registers versions 0 to `count` and returns the last one's declaration. */
async function register(registry: Registry, count: number): Promise<NewModelVersion> {
  await registry.versions.registerNaive({ ...of, kind: "mean-4-weeks" });
  const { id: runId } = await registry.runs.create(train);
  const model = {
    ...of,
    kind: "trees",
    viewId: "view-1",
    columns: ["hour", "site"],
    types: ["number", "category"],
    categories: { site: ["a", "b"] },
    datasetVersion: "data-1",
    runId,
    artifactId: "",
    scores: { r2: 0.8 },
  };
  for (let i = 1; i <= count; i++)
    await registry.versions.register({ ...model, artifactId: `artifact-${i}` });
  return { ...model, artifactId: `artifact-${count}` };
}

describe("runs", () => {
  test("a run keeps what it was made with and what came of it, and ends once", () =>
    withRegistry(async ({ runs }, clock) => {
      const { id } = await runs.create(train);
      clock.advance(5_000);
      const run = await runs.finish(id, { scores: { r2: 0.7 }, datasetVersion: "data-1" });
      expect(run).toMatchObject({ state: "succeeded", params: { leaves: 47 }, scores: { r2: 0.7 } });
      expect(run).toMatchObject({ datasetVersion: "data-1", startedAt: start, finishedAt: start + 5_000 });
      await expect(runs.fail(id, new Error("too late"))).rejects.toMatchObject({ code: "CONFLICT" });
      await expect(runs.get("run_0")).rejects.toMatchObject({ code: "RUN_UNKNOWN" });
    }));

  test("a failed run keeps the error's code and causes", () =>
    withRegistry(async ({ runs }) => {
      const { id } = await runs.create(train);
      const cause = new CityScaleError("TRAINING_FAILED", "no rows", { cause: new Error("empty window") });
      expect((await runs.fail(id, cause)).error).toEqual({
        code: "TRAINING_FAILED",
        message: "no rows: empty window",
      });
    }));

  test("runs that a dead process left behind are failed at the next start, finished ones stay", () =>
    withRegistry(async ({ runs }) => {
      const done = await runs.create(train);
      await runs.finish(done.id, { scores: {} });
      const left = await runs.create({ ...train, kind: "backtest" });
      expect(await runs.failInterrupted()).toBe(1);
      expect((await runs.list()).map(({ id, state }) => [id, state])).toEqual([
        [left.id, "failed"],
        [done.id, "succeeded"],
      ]);
      expect(await runs.list({ kind: "train" })).toHaveLength(1);
      expect(await runs.list({ before: left.id })).toHaveLength(1);
    }));
});

describe("model versions", () => {
  test("versions count from 1 per city and target; 0 is the best naive forecast", () =>
    withRegistry(async (registry) => {
      const model = await register(registry, 2);
      const other = await registry.versions.register({ ...model, target: "scooters" });
      expect(other.version).toBe(1);
      expect((await registry.versions.list(of)).map(({ version, kind }) => [version, kind])).toEqual([
        [2, "trees"],
        [1, "trees"],
        [0, "mean-4-weeks"],
      ]);
      const again = await registry.versions.registerNaive({ ...of, kind: "last-week" });
      expect(again.kind).toBe("mean-4-weeks");
      await expect(registry.versions.get("paris", "bicycles", 3)).rejects.toMatchObject({
        code: "MODEL_UNKNOWN",
      });
    }));

  test("registering the same artifact of the same run again answers with the version there is", () =>
    withRegistry(async (registry) => {
      const model = await register(registry, 2);
      const answers = await Promise.all([
        registry.versions.register(model),
        registry.versions.register(model),
      ]);
      expect(answers.map(({ version }) => version)).toEqual([2, 2]);
      expect(await registry.versions.list()).toHaveLength(3);
    }));

  test("what is pinned comes back as it was registered, and the database refuses to change it", () =>
    withRegistry(async (registry, _clock, db) => {
      const model = await register(registry, 1);
      expect(await registry.versions.get("paris", "bicycles", 1)).toEqual({
        ...model,
        version: 1,
        createdAt: start,
      });
      await expect(db.updateTable("model_versions").set({ kind: "other" }).execute()).rejects.toThrow(
        /append-only/,
      );
      await expect(db.deleteFrom("model_versions").execute()).rejects.toThrow(/append-only/);
    }));

  test("a version of a run that is not there is refused", () =>
    withRegistry(async (registry) => {
      const model = await register(registry, 1);
      await expect(registry.versions.register({ ...model, runId: "run_0" })).rejects.toThrow(/FOREIGN KEY/);
    }));
});

describe("promotions", () => {
  test("a promotion moves champion, previous and challenger together and says who, why and on what evidence", () =>
    withRegistry(async (registry, clock) => {
      const { promotions } = registry;
      await register(registry, 1);
      await promotions.promote({ ...of, ...by, version: 0, alias: "champion" });
      await promotions.promote({ ...of, ...by, version: 1, alias: "challenger" });
      expect(await promotions.aliases("paris", "bicycles")).toEqual({
        champion: 0,
        challenger: 1,
        previous: null,
      });
      clock.advance(60_000);
      const verdict = { gates: [{ name: "gain", value: 0.1, min: 0.02, passed: true }] };
      const moved: number[] = [];
      promotions.on("moved", ({ seq }) => moved.push(seq));
      const promotion = await promotions.promote({ ...of, ...by, version: 1, alias: "champion", verdict });
      expect(promotion).toEqual({
        ...of,
        ...by,
        seq: 3,
        at: start + 60_000,
        alias: "champion",
        action: "promote",
        version: 1,
        fromVersion: 0,
        verdict,
      });
      expect(await promotions.aliases("paris", "bicycles")).toEqual({
        champion: 1,
        challenger: null,
        previous: 0,
      });
      expect(await promotions.promote({ ...of, ...by, version: 1, alias: "champion" })).toEqual(promotion);
      expect(moved).toEqual([3]);
      expect((await promotions.history(of)).map(({ seq }) => seq)).toEqual([3, 2, 1]);
    }));

  test("an unknown version is no champion, and nothing is logged", () =>
    withRegistry(async ({ promotions }) => {
      const wrong = promotions.promote({ ...of, ...by, version: 7, alias: "champion" });
      await expect(wrong).rejects.toMatchObject({ code: "MODEL_UNKNOWN" });
      expect(await promotions.history()).toEqual([]);
    }));

  test("when the log cannot be written the alias does not move", () =>
    withRegistry(async (registry, _clock, db) => {
      await register(registry, 1);
      await registry.promotions.promote({ ...of, ...by, version: 0, alias: "champion" });
      await db.schema.alterTable("promotions").renameTo("elsewhere").execute();
      await expect(
        registry.promotions.promote({ ...of, ...by, version: 1, alias: "champion" }),
      ).rejects.toThrow();
      expect((await registry.promotions.aliases("paris", "bicycles")).champion).toBe(0);
    }));

  test("the log cannot be rewritten", () =>
    withRegistry(async (registry, _clock, db) => {
      await register(registry, 1);
      await registry.promotions.promote({ ...of, ...by, version: 0, alias: "champion" });
      await expect(db.updateTable("promotions").set({ actor: "bob" }).execute()).rejects.toThrow(
        /append-only/,
      );
      await expect(db.deleteFrom("promotions").execute()).rejects.toThrow(/append-only/);
    }));

  test("each rollback goes one champion further back, until there is none", () =>
    withRegistry(async (registry) => {
      const { promotions } = registry;
      await register(registry, 2);
      for (const version of [0, 1, 2]) await promotions.promote({ ...of, ...by, version, alias: "champion" });
      expect(await promotions.rollback({ ...of, ...by })).toMatchObject({ version: 1, fromVersion: 2 });
      expect(await promotions.aliases("paris", "bicycles")).toMatchObject({ champion: 1, previous: 0 });
      expect(await promotions.rollback({ ...of, ...by })).toMatchObject({ version: 0, fromVersion: 1 });
      expect(await promotions.aliases("paris", "bicycles")).toMatchObject({ champion: 0, previous: null });
      await expect(promotions.rollback({ ...of, ...by })).rejects.toMatchObject({ code: "CONFLICT" });
    }));

  test("a challenger that lost is withdrawn, once", () =>
    withRegistry(async (registry) => {
      const { promotions } = registry;
      await register(registry, 1);
      await promotions.promote({ ...of, ...by, version: 1, alias: "challenger" });
      expect(await promotions.withdraw({ ...of, ...by })).toMatchObject({ version: null, fromVersion: 1 });
      expect((await promotions.aliases("paris", "bicycles")).challenger).toBeNull();
      await expect(promotions.withdraw({ ...of, ...by })).rejects.toMatchObject({ code: "CONFLICT" });
    }));

  test("championAt tells for every instant who was champion then, whatever was promoted and rolled back", async () => {
    const step = fc.record({
      waitMs: fc.nat(3),
      act: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant("rollback" as const)),
      target: fc.constantFrom("bicycles", "scooters"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), (steps) =>
        withRegistry(async (registry, clock) => {
          const { promotions, versions } = registry;
          const model = await register(registry, 3);
          await versions.registerNaive({ ...of, target: "scooters", kind: "last-week" });
          for (let i = 1; i <= 3; i++) {
            await versions.register({ ...model, target: "scooters", artifactId: `artifact-${i}` });
          }
          // The oracle: a list of champions per target, and what it looked like after each millisecond.
          const stacks: Record<string, number[]> = { bicycles: [], scooters: [] };
          const seen = new Map<string, number | null>();
          const look = () => {
            for (const [target, stack] of Object.entries(stacks)) {
              seen.set(`${target} ${clock.now()}`, stack.at(-1) ?? null);
            }
          };
          for (const { waitMs, act, target } of steps) {
            for (let i = 0; i < waitMs; i++) {
              clock.advance(1);
              look();
            }
            const stack = stacks[target]!;
            if (act !== "rollback") {
              await promotions.promote({ ...of, ...by, target, version: act, alias: "champion" });
              if (stack.at(-1) !== act) stack.push(act);
            } else if (stack.length > 1) {
              await promotions.rollback({ ...of, ...by, target });
              stack.pop();
            }
            look();
            expect(await promotions.aliases("paris", target)).toMatchObject({
              champion: stack.at(-1) ?? null,
              previous: stack.at(-2) ?? null,
            });
          }
          for (const [key, champion] of seen) {
            const [target, at] = key.split(" ") as [string, string];
            expect(await promotions.championAt("paris", target, Number(at))).toBe(champion);
          }
          expect(await promotions.championAt("paris", "bicycles", start - 1)).toBeNull();
        }),
      ),
      { numRuns: 30 },
    );
  });
});

describe("calibrations", () => {
  test("each holds from its instant on, for its own version, until the next", () =>
    withRegistry(async (registry, clock) => {
      await register(registry, 2);
      const { calibrations } = registry;
      const at = (version: number, instant?: number) =>
        calibrations.inForce(of.city, of.target, version, instant).then((one) => one?.calibration ?? null);
      const add = (version: number, slope: number) =>
        calibrations.add({ ...of, version, datasetVersion: "data-2", calibration: { slope } });
      expect(await at(1)).toBeNull();
      const first = await add(1, 0.9);
      expect(first).toEqual({
        ...of,
        version: 1,
        at: start,
        datasetVersion: "data-2",
        calibration: { slope: 0.9 },
      });
      clock.advance(1_000);
      await add(1, 0.8);
      await add(2, 0.5);
      expect([await at(1), await at(2)]).toEqual([{ slope: 0.8 }, { slope: 0.5 }]);
      expect([await at(1, start), await at(1, start + 999)]).toEqual([{ slope: 0.9 }, { slope: 0.9 }]);
      expect([await at(1, start - 1), await at(2, start + 999)]).toEqual([null, null]);
      const slopes = async (from: number, until: number) =>
        (await calibrations.during(of.city, of.target, 1, { from, until })).map(
          ({ calibration }) => (calibration as { slope: number }).slope,
        );
      expect(await slopes(start - 9, start)).toEqual([]);
      expect(await slopes(start - 9, start + 1)).toEqual([0.9]);
      expect(await slopes(start, start + 1_000)).toEqual([0.9]);
      expect(await slopes(start + 999, start + 1_001)).toEqual([0.9, 0.8]);
      expect(await slopes(start + 1_000, start + 9_000)).toEqual([0.8]);
      // A job that is run again at the same instant finds what it has stored.
      expect(await add(1, 0.7)).toMatchObject({ at: start + 1_000, calibration: { slope: 0.8 } });
    }));

  test("are of versions that are there, and never change", () =>
    withRegistry(async (registry, _clock, db) => {
      await register(registry, 1);
      const one = { ...of, datasetVersion: "data-2", calibration: {} };
      await expect(registry.calibrations.add({ ...one, version: 7 })).rejects.toThrow(/FOREIGN KEY/);
      await registry.calibrations.add({ ...one, version: 1 });
      await expect(db.updateTable("calibrations").set({ at: 0 }).execute()).rejects.toThrow(/append-only/);
      await expect(db.deleteFrom("calibrations").execute()).rejects.toThrow(/append-only/);
    }));
});
