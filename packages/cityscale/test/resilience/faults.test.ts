import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FaultKind, Malformation } from "@cityscale/simulator";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dayMs } from "./small-city.ts";
import { openTown, type Town } from "./town.ts";

/** Faults of whole answers, and what the error says of them. */
const answers: [string, FaultKind, RegExp][] = [
  ["429 with seconds", { kind: "status", status: 429, retryAfterSeconds: 1 }, /answered 429/],
  [
    "429 with a date",
    { kind: "status", status: 429, retryAfterSeconds: 1, retryAfterDate: true },
    /answered 429/,
  ],
  ["500", { kind: "status", status: 500 }, /answered 500/],
  ["503", { kind: "status", status: 503 }, /answered 503/],
  ["an HTML page", { kind: "html" }, /received HTML|HTML page|expected .*received/i],
  [
    "an error inside status 200",
    { kind: "envelope", code: 500, message: "Cannot perform query" },
    /Cannot perform query/,
  ],
  ["a cut connection", { kind: "cut" }, /127\.0\.0\.1.*(terminated|closed|aborted|socket|reset)/i],
  ["a truncated body", { kind: "truncated" }, /broken JSON|not whole|ends|expected/i],
  ["a body that stops coming", { kind: "slow", delayMs: 60_000, within: true }, /nothing came for/],
  ["an answer that does not come", { kind: "slow", delayMs: 60_000 }, /nothing came for/],
  ["a dropped socket", { kind: "unreachable" }, /127\.0\.0\.1/],
];

/** Kinds of malformed rows of counts: the reason in quarantine, `fine` where nothing is wrong, or the read's error. */
const rows: [Malformation, string][] = [
  ["missingField", "missing-field"],
  ["wrongType", "bad-number"],
  ["nanText", "bad-number"],
  ["negative", "below-minimum"],
  ["huge", "above-maximum"],
  ["wrongDate", "bad-date"],
  ["unknownEntity", "fine"],
  ["nullEntity", "missing-field"],
  ["duplicatedRow", "fine"],
  ["extraColumn", "fine"],
  ["renamedColumn", "missing-field"],
];

const covariates = ["weather", "events", "holidays"] as const;
const nameOf = (served: string) => (served === "holidays" ? "school" : served);

describe("whatever a publisher answers", () => {
  let folder: string;
  let town: Town;
  /** Reads every source once more, an hour later; the job's end and what the lake says of each source. */
  const ingest = async () => {
    town.clock.advance(3_600_000);
    const job = await town.app.jobs.enqueue("observations", { city: "smalltown" });
    const done = await new Promise<{ state: string; error: { code: string; message: string } | null }>(
      (resolve) => {
        const off = [
          town.app.jobs.on("retrying", (now) => now.id === job.id && finish(now)),
          town.app.jobs.on("finished", (now) => now.id === job.id && finish(now)),
        ];
        const finish = (now: typeof job) => {
          for (const stop of off) stop();
          resolve(now);
        };
      },
    );
    if (done.state === "queued") await town.app.jobs.cancel(job.id);
    const states = await town.runtime.lake.sourceStates();
    return {
      ...done,
      errorOf: (source: string) => states.find((state) => state.source === source)?.lastError ?? null,
    };
  };
  const quarantined = () =>
    town.runtime.lake.read(async (connection) => {
      const found = await connection.rows<{ key: string; n: number }>(
        "SELECT source || ' ' || reason AS key, count(*) AS n FROM quarantine GROUP BY ALL",
      );
      return new Map(found.map(({ key, n }) => [key, n]));
    });
  const count = async () =>
    (await town.runtime.lake.read((connection) =>
      connection.first<{ n: number }>("SELECT count(*) AS n FROM observations"),
    ))!.n;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "faults-"));
    town = await openTown(folder, 31, "tiny");
    // The first read ends half-way too.
    await town.faults([{ kind: "cut", source: "counts", after: 2 }]);
    const first = await ingest();
    expect(first.state).toBe("queued");
    await town.faults([]);
    expect((await ingest()).state).toBe("succeeded");
    expect(await town.difference()).toBeNull();
  });
  afterAll(async () => {
    await town.close();
    rmSync(folder, { recursive: true });
  });

  test.each(answers)(
    "%s is told clearly of every source, and nothing is missing once it has passed",
    async (_, fault, words) => {
      await town.faults([fault]);
      const { state, error, errorOf } = await ingest();
      expect(state).toBe("queued");
      expect(error?.code).toMatch(/^SOURCE_(UNREACHABLE|REFUSED|MALFORMED)$/);
      expect(error?.message).toMatch(words);
      expect(errorOf("counts")).toBe(error?.message);
      const bad = await quarantined();
      for (const source of covariates.map(nameOf)) {
        const told = errorOf(source);
        // A text that stops half-way is a CSV with a bad last row; a notice within one is bad rows, or lacks the fields.
        const isText = source !== "weather" && (fault.kind === "truncated" || fault.kind === "envelope");
        if (!isText) expect(told, source).toMatch(words);
        else
          expect(told !== null || [...bad.keys()].some((key) => key.startsWith(source)), source).toBe(true);
      }
      await town.faults([]);
      const passed = await ingest();
      expect(passed.state).toBe("succeeded");
      for (const source of ["counts", ...covariates.map(nameOf)])
        expect(passed.errorOf(source), source).toBeNull();
      expect(await town.difference()).toBeNull();
    },
  );

  test("covariates that fail do not hold up the counts", async () => {
    await town.faults(covariates.map((source) => ({ kind: "html", source })));
    const { state, errorOf } = await ingest();
    expect(state).toBe("succeeded");
    expect(await town.difference()).toBeNull();
    for (const source of covariates) expect(errorOf(nameOf(source)), source).toMatch(/html/i);
    expect(errorOf("counts")).toBeNull();
    await town.faults([]);
    await ingest();
  });

  test.each(rows)(
    "rows with %s: %s for the counts, and the good ones beside them are kept",
    async (malformation, reason) => {
      const before = await quarantined();
      const had = await count();
      await town.faults([
        { kind: "malformed", malformation, every: 5, source: "counts" },
        ...covariates.map((source) => ({ kind: "malformed", malformation, every: 3, source }) as const),
      ]);
      const { state, error, errorOf } = await ingest();
      expect([state, error?.message, errorOf("counts")]).toEqual(["succeeded", undefined, null]);
      const ofCounts = (all: ReadonlyMap<string, number>) =>
        [...all].filter(([key]) => key.startsWith("counts")).sort();
      const after = await quarantined();
      const added = (after.get(`counts ${reason}`) ?? 0) - (before.get(`counts ${reason}`) ?? 0);
      if (reason === "fine") expect(ofCounts(after)).toEqual(ofCounts(before));
      else expect(added).toBeGreaterThan(5);
      expect(await count()).toBeGreaterThan(had);
      // What is impossible is in no clean table, whichever source it came from.
      const impossible = await town.runtime.lake.read((connection) =>
        connection.first<{ weather: number; events: number; holidays: number }>(
          `SELECT (SELECT count(*) FROM weather WHERE temperature NOT BETWEEN -60 AND 60
                   OR valid_at NOT BETWEEN ${town.clock.now() - 200 * dayMs} AND ${town.clock.now() + 20 * dayMs}) AS weather,
                (SELECT count(*) FROM events WHERE end_at < start_at OR attendance NOT BETWEEN 0 AND 10000000) AS events,
                (SELECT count(*) FROM holidays WHERE day NOT BETWEEN 7000 AND 40000) AS holidays`,
        ),
      );
      expect(impossible).toEqual({ weather: 0, events: 0, holidays: 0 });
      await town.faults([]);
      const passed = await ingest();
      expect(passed.state).toBe("succeeded");
      for (const source of covariates) expect(passed.errorOf(nameOf(source)), source).toBeNull();
      // An id that nobody knows makes an entity of its own: its rows are no others' loss.
      await town.runtime.lake.write(async (connection) => {
        await connection.run(
          "DELETE FROM clean_observations WHERE e IN (SELECT e FROM entities WHERE entity LIKE 'ZZ999%')",
        );
      });
      expect(await town.difference()).toBeNull();
    },
  );

  test("impossible weather and events are in quarantine, not gone", async () => {
    const found = await quarantined();
    expect(found.get("weather out-of-range")).toBeGreaterThan(5);
    expect(found.get("events bad-number")).toBeGreaterThan(2);
  });

  test("a column that every row has lost or changed its name is an error that names it, not a page of rejected rows", async () => {
    for (const malformation of ["missingField", "renamedColumn"] as const) {
      const before = await quarantined();
      await town.faults([{ kind: "malformed", malformation, source: "counts" }]);
      const { state, error } = await ingest();
      expect([state, error?.code]).toEqual(["queued", "SOURCE_SCHEMA_CHANGED"]);
      expect(error?.message).toMatch(/TotalCount/);
      expect(await quarantined()).toEqual(before);
      const { problems } = await town.quality();
      expect(problems.join()).toMatch(/source counts fails: .*TotalCount/);
    }
    await town.faults([]);
    expect((await ingest()).state).toBe("succeeded");
    expect(await town.difference()).toBeNull();
  });
});
