import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { startSimulator, startSimulatorWorker } from "../src/index.ts";

const PLACE = "latitude=-33&longitude=151&hourly=temperature_2m&forecast_days=1";
const SMALL = { id: "small", entities: 3, years: 0.05 };

describe("a simulator in a worker", () => {
  it("answers as one in this thread does, on a clock shared with the caller", async () => {
    const buffer = new SharedArrayBuffer(8);
    const clock = new Float64Array(buffer);
    clock[0] = Date.parse("2026-03-01T00:00:00Z");
    const options = {
      clock: { kind: "shared", buffer } as const,
      city: SMALL,
      seed: 9,
      startMs: Date.parse("2026-02-20T00:00:00Z"),
    };
    const here = await startSimulator(options);
    const there = await startSimulatorWorker(options);
    const counts =
      "/cNVyNtjGVZybOQWZ/arcgis/rest/services/Automatic_Hourly_Pedestrian_Count/FeatureServer/0/query?f=json&where=1%3D1&outFields=*";
    const text = async (base: string | undefined) => (await fetch(base + counts)).text();
    const first = await text(there.sources["counts"]);
    expect(first).toBe(await text(here.sources["counts"]));
    clock[0] += 5 * 3_600_000;
    const second = await text(there.sources["counts"]);
    expect(second).toBe(await text(here.sources["counts"]));
    expect(second.length).toBeGreaterThan(first.length);

    await there.faults([{ kind: "html" }]);
    expect(await text(there.sources["counts"])).toContain("<html>");
    await expect(there.faults([{ kind: "nonsense" } as never])).rejects.toThrow(/kind must be one of/);
    expect((await there.requests()).total).toBe(3);
    await here.close();
    await there.close();
    await there.close();
    await expect(text(there.sources["counts"])).rejects.toThrow();
    await expect(there.requests()).rejects.toThrow(/ended/);
  });

  it("says why it cannot start", async () => {
    const city = { recordings: join(tmpdir(), "no such folder"), city: "paris-bikes" };
    await expect(startSimulatorWorker({ clock: { kind: "real" }, city })).rejects.toThrow(
      /no recordings of paris-bikes/,
    );
  });

  it("refuses a shared clock that nobody has set", async () => {
    const clock = { kind: "shared", buffer: new SharedArrayBuffer(8) } as const;
    await expect(startSimulatorWorker({ clock, city: SMALL })).rejects.toThrow(/clock must be set/);
  });

  it("refuses a port that is taken", async () => {
    const one = await startSimulator({ clock: { kind: "real" }, city: SMALL });
    const port = Number(new URL(one.sources["counts"]!).port);
    await expect(startSimulator({ clock: { kind: "real" }, city: SMALL, port })).rejects.toThrow(
      /EADDRINUSE/,
    );
    await one.close();
  });
});

describe("the command", () => {
  const bin = join(import.meta.dirname, "../bin/cityscale-simulator.ts");
  const run = (args: string[]) =>
    spawn(process.execPath, [bin, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = async (child: ChildProcess) => {
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    return { code, signal };
  };

  it("prints its addresses in one line, runs on the clock it is given and ends cleanly on SIGTERM", async () => {
    const folder = await mkdtemp(join(tmpdir(), "simulator-"));
    await writeFile(join(folder, "p.json"), JSON.stringify({ entities: 2, years: 0.05 }));
    const child = run([
      "--clock",
      "2026-03-01T00:00:00Z",
      "--speed",
      "3600",
      "--seed",
      "4",
      "--parameters",
      join(folder, "p.json"),
    ]);
    const exit = ended(child);
    const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
    const { sources } = JSON.parse(line) as { sources: Record<string, string> };
    expect(Object.keys(sources)).toEqual(["counts", "places", "weather", "events", "holidays"]);
    const { nowMs } = (await (await fetch(`${sources["weather"]}/_simulator/clock`)).json()) as {
      nowMs: number;
    };
    expect(nowMs).toBeGreaterThan(Date.parse("2026-03-01T00:00:00Z"));
    expect((await fetch(`${sources["weather"]}/v1/forecast?${PLACE}`)).status).toBe(200);
    const faults = await fetch(`${sources["weather"]}/_simulator/faults`, {
      method: "POST",
      body: JSON.stringify([{ kind: "status", status: 503 }]),
    });
    expect(faults.status).toBe(200);
    expect((await fetch(`${sources["weather"]}/v1/forecast?${PLACE}`)).status).toBe(503);
    const log = (await (await fetch(`${sources["weather"]}/_simulator/requests`)).json()) as {
      total: number;
    };
    expect(log.total).toBe(2);
    child.kill("SIGTERM");
    expect(await exit).toEqual({ code: 0, signal: null });
    await rm(folder, { recursive: true });
  });

  it.each([
    [["--clock", "noon"], /--clock wants an ISO time/],
    [["--speed", "fast"], /--speed wants a number/],
    [["--bogus"], /Unknown option/],
    [["--recordings", "/nowhere", "--city", "paris-bikes"], /no recordings of paris-bikes/],
  ])("refuses %j", async (args, message) => {
    const child = run(args);
    let errors = "";
    child.stderr!.on("data", (part) => {
      errors += part;
    });
    expect((await ended(child)).code).toBe(1);
    expect(errors).toMatch(message);
  });
});
