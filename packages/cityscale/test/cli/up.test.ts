import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Running, run, start, startSimulator, temporaryFolder } from "./support.ts";

interface Summary {
  readonly address: string;
  readonly targets: readonly {
    readonly champion: number | null;
    readonly verdict: { readonly verdict: string } | null;
    readonly batch: { readonly rows: number; readonly originAt: number } | null;
  }[];
  readonly stages: readonly { readonly stage: string; readonly seconds: number }[];
  readonly failures: readonly { readonly asset: string; readonly code: string }[];
  readonly peakRssMb: { readonly main: number; readonly training: number | null };
}

const clock = "2026-03-02T01:30:00Z";
const folder = temporaryFolder();
const home = join(folder.path, "home");
let simulator: Awaited<ReturnType<typeof startSimulator>>;
let sources: string[] = [];
const processes: Running[] = [];
const started = (...args: string[]) => {
  const running = start(...args);
  processes.push(running);
  return running;
};
const at = ["--home", home, "--json"];
const up = (...args: string[]) => [
  "up",
  "--city",
  "tiny",
  "--port",
  "0",
  "--clock",
  clock,
  ...sources,
  ...at,
  ...args,
];

beforeAll(async () => {
  mkdirSync(join(home, "cities"), { recursive: true });
  // Few counters, few trees: what is tested is the way of the command, not the accuracy.
  writeFileSync(
    join(home, "cities", "tiny.json"),
    JSON.stringify({
      id: "tiny",
      name: "Tiny",
      timeZone: "Australia/Sydney",
      location: { lat: -33.87, lon: 151.2 },
      step: "1h",
      entity: "counter",
      history: "170d",
      sources: {
        counts: {
          kind: "arcgis",
          service: "Automatic_Hourly_Pedestrian_Count",
          fields: { entity: "Location_code", name: "Location_Name", time: "Date", value: "TotalCount" },
          publicationLag: "13m",
        },
        weather: { kind: "openMeteo" },
      },
      measures: { people: { kind: "flow", from: "counts" } },
      targets: {
        people: {
          horizon: "3h",
          training: { trees: 10, maxRows: 3000, testWindow: "14d", calibrationWindow: "14d" },
          gates: { wape: { max: 1 } },
        },
      },
    }),
  );
  const parameters = join(folder.path, "parameters.json");
  writeFileSync(parameters, JSON.stringify({ entities: 4, years: 0.5, opens: 0, moves: 0, retires: 0 }));
  simulator = await startSimulator(parameters, clock);
  sources = ["counts", "weather"].flatMap((name) => ["--source", `${name}=${simulator.sources[name]}`]);
});
afterAll(async () => {
  for (const { child } of processes) if (child.exitCode === null) child.kill("SIGKILL");
  await Promise.all(processes.map(({ ended }) => ended));
  await simulator.stop();
  folder.remove();
});

const summaryOf = (out: string) => JSON.parse(out.trim().split("\n").at(-1)!) as Summary;

describe.sequential("up, from the first start to a start without its source", () => {
  test("--once makes the whole loop, tells its seconds and memory, and ends with 0", async () => {
    const { code, out, err } = await run(...up("--once"));
    expect(code, err).toBe(0);
    expect(err).toContain("train and judge");
    for (const line of out.trim().split("\n")) JSON.parse(line);
    expect(JSON.parse(out.split("\n")[0]!)).toMatchObject({
      event: "listening",
      key: expect.stringMatching(/^cs_/),
    });
    const summary = summaryOf(out);
    expect(summary.targets[0]).toMatchObject({
      champion: 1,
      verdict: { verdict: "promote" },
      batch: { rows: 16 },
    });
    expect(summary.stages.map(({ stage }) => stage)).toEqual(
      expect.arrayContaining(["ingest", "train and judge", "forecast"]),
    );
    expect(summary.failures).toEqual([]);
    expect(summary.peakRssMb.main).toBeGreaterThan(50);
    expect(summary.peakRssMb.training).toBeGreaterThan(50);
    expect(existsSync(join(home, "owner.json"))).toBe(false);
  }, 180_000);

  test("a restart forecasts at once without training; others talk to it, and none may take its folder", async () => {
    const owner = started(...up());
    const listening = await owner.event<{ address: string; key?: string }>("listening");
    expect(listening.key).toBeUndefined();
    const summary = await owner.event<Summary>("summary");
    expect(summary.stages.map(({ stage }) => stage)).not.toContain("train and judge");
    expect(summary.targets[0]).toMatchObject({ champion: 1, verdict: null, batch: { rows: 16 } });

    const second = await run(...up("--once"));
    expect(second.code).toBe(3);
    expect(JSON.parse(second.err.trim().split("\n").at(-1)!)).toMatchObject({
      error: { code: "OWNER_BUSY", message: expect.stringContaining(String(owner.child.pid)) },
    });
    const busy = Number(new URL(listening.address).port);
    const taken = await run("up", "--port", String(busy), "--home", join(folder.path, "other"));
    expect(taken).toMatchObject({ code: 2, err: expect.stringContaining(`port ${busy}`) });

    const models = await run("models", ...at);
    expect(
      (JSON.parse(models.out) as { models: { version: number; champion: boolean }[] }).models,
    ).toMatchObject([{ version: 1, champion: true }, { version: 0 }]);
    const made = await run("run", "forecasts", ...at);
    expect(made.code, made.err).toBe(0);
    expect(JSON.parse(made.out)).toMatchObject({ kind: "forecasts", state: "succeeded", actor: "local" });
    const unknown = await run("run", "dreams", ...at);
    expect(unknown).toMatchObject({ code: 2, out: "" });

    const archive = join(folder.path, "backup.tar.gz");
    const backup = await run("backup", archive, ...at);
    expect(backup.code, backup.err).toBe(0);
    expect(JSON.parse(backup.out)).toMatchObject({ path: archive });
    expect(await run("restore", archive, ...at)).toMatchObject({
      code: 3,
      err: expect.stringContaining("in use"),
    });

    const stopped = await owner.signal("SIGINT");
    expect(stopped.code, stopped.err).toBe(0);
    expect(existsSync(join(home, "owner.json"))).toBe(false);
  }, 180_000);

  test("a backup becomes a data folder that knows what the first one knew; a changed byte does not", async () => {
    const archive = join(folder.path, "backup.tar.gz");
    const restored = join(folder.path, "restored");
    const made = await run("restore", archive, "--home", restored, "--json");
    expect(made.code, made.err).toBe(0);
    // Without an owner the command becomes it.
    const [before, after] = await Promise.all(
      [home, restored].map((folder) => run("models", "--history", "--home", folder, "--json")),
    );
    expect(before!.code, before!.err).toBe(0);
    expect(after!.out).toBe(before!.out);
    const quality = await run("quality", "--home", restored, "--json");
    expect(JSON.parse(quality.out)).toMatchObject({
      city: "tiny",
      measures: [{ measure: "people", rows: expect.any(Number) }],
    });
    const forecast = await run(
      "predict",
      "A001",
      "--leads",
      "1-2",
      "--home",
      restored,
      "--clock",
      clock,
      "--json",
    );
    expect(forecast.code, forecast.err).toBe(0);
    expect(
      (JSON.parse(forecast.out) as { forecasts: { lead: number }[] }).forecasts.map(({ lead }) => lead),
    ).toEqual([1, 2]);

    const bytes = readFileSync(archive);
    bytes[Math.floor(bytes.length / 2)]! ^= 1;
    const damaged = join(folder.path, "damaged.tar.gz");
    writeFileSync(damaged, bytes);
    const refused = await run("restore", damaged, "--home", join(folder.path, "never"), "--json");
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.err)).toMatchObject({ error: { code: "ARTIFACT_DAMAGED" } });
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  }, 180_000);

  test("doctor finds a source that does not answer", async () => {
    const well = await run("doctor", "--city", "tiny", "--clock", clock, ...sources, ...at);
    expect(well.code, well.out).toBe(0);
    const port = await closedPort();
    const ill = await run(
      "doctor",
      "--city",
      "tiny",
      "--clock",
      clock,
      ...sources.slice(2),
      "--source",
      `counts=http://127.0.0.1:${port}`,
      ...at,
    );
    expect(ill.code).toBe(1);
    const { findings } = JSON.parse(ill.out) as { findings: { check: string; state: string }[] };
    expect(findings.filter(({ state }) => state === "failed").map(({ check }) => check)).toEqual([
      "source counts",
    ]);
  }, 180_000);

  test("with its counts unreachable it goes on serving what it has, and says so", async () => {
    const port = await closedPort();
    const owner = started(...up("--source", `counts=http://127.0.0.1:${port}`));
    const summary = await owner.event<Summary>("summary");
    expect(summary.failures).toMatchObject([{ asset: "observations", code: "SOURCE_UNREACHABLE" }]);
    expect(summary.targets[0]).toMatchObject({ champion: 1, batch: { rows: 16 } });
    expect((await fetch(`${summary.address}/readyz`)).status).toBe(200);
    const quality = await run("quality", ...at);
    expect(JSON.parse(quality.out)).toMatchObject({
      ok: false,
      problems: expect.arrayContaining([expect.stringContaining("source counts fails")]),
    });
    const stopped = await owner.signal("SIGTERM");
    expect(stopped).toMatchObject({
      code: 0,
      err: expect.stringContaining("until then what is there is served"),
    });
  }, 180_000);

  test("a training by hand tells its scores beside the naive forecasts, and its verdict", async () => {
    const trained = await run("train", ...at.filter((part) => part !== "--json"));
    expect(trained.code, trained.err).toBe(0);
    expect(trained.out).toMatch(/trees .*\n/);
    expect(trained.out).toContain("last-week");
    expect(trained.out).toMatch(/verdict: (promote|reject): .+\nmodel: version 2 /s);
  }, 180_000);
});

/** A port on which nobody listens. */
function closedPort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
