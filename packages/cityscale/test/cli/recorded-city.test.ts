import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { run, temporaryFolder } from "./support.ts";

const data = resolve(
  process.env["CITYSCALE_DATA"] ?? resolve(import.meta.dirname, "../../../../../shared/data"),
);
const found = existsSync(resolve(data, "nyc311"));
const folder = temporaryFolder();
afterAll(() => folder.remove());

interface Summary {
  readonly targets: readonly {
    readonly batch: { readonly entities: number; readonly notes: readonly string[] } | null;
    readonly scores: { readonly weather: string } | null;
  }[];
  readonly failures: readonly unknown[];
}

test.skipIf(!found)(
  `New York's loop runs on its recordings: days, a log, forecasts of the weather as issued${found ? "" : " (skipped: no data)"}`,
  async () => {
    const at = ["--home", folder.path, "--port", "0"];
    const { code, out, err } = await run(
      "up",
      "--city",
      "nyc-311",
      "--recordings",
      data,
      "--once",
      "--json",
      ...at,
    );
    expect(code, err).toBe(0);
    const summary = JSON.parse(out.trim().split("\n").at(-1)!) as Summary;
    expect(summary.failures).toEqual([]);
    // Elevators are recorded in 2024 only: series that have ended are not forecast.
    expect(summary.targets[0]?.batch?.entities).toBe(7);
    expect(summary.targets[0]?.scores?.weather).toMatch(/issued/);
  },
  240_000,
);
