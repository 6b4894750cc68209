import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CityScaleError, createManualClock, type Log, messageOf } from "../core/index.ts";
import type { City } from "../domain/index.ts";
import { Lake } from "../lake/index.ts";
import { createSources } from "./city-runtime.ts";
import { recordingsEnd, simulate } from "./simulate.ts";

export interface ScratchOptions {
  readonly city: City;
  /** Folder with the data, laid out as the recordings. */
  readonly root: string;
  readonly log: Log;
  readonly threads: number;
  readonly memoryMb: number;
  /** When counts are known after their step, in place of what their sources declare. */
  readonly lagMs?: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (message: string) => void;
}

/** A lake in a temporary folder, filled from given data; `close` removes it. */
export interface ScratchLake {
  readonly lake: Lake;
  readonly lagMs: ReadonlyMap<string, number>;
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/**
 * Reads given data through the real sources, as if they had just been published, into a lake of its own.
 * Throws SOURCE_* or DATA_MISSING when the counts cannot be read; a covariate that fails is told in `notes`.
 */
export async function openScratchLake(options: ScratchOptions): Promise<ScratchLake> {
  const { city, root, log } = options;
  let end: number;
  try {
    end = await recordingsEnd(root, city);
  } catch (error) {
    throw new CityScaleError("DATA_MISSING", `there are no recordings of ${city.id} under ${root}`, {
      cause: error,
    });
  }
  // A month on, everything in the files has been published, whatever the publisher's lag.
  const clock = createManualClock(end + 30 * 86_400_000);
  const simulator = await simulate({ city, clock, recordings: root }).catch((error: unknown) => {
    throw new CityScaleError("DATA_MISSING", `the recordings of ${city.id} under ${root} are not whole`, {
      cause: error,
    });
  });
  const { addresses } = simulator;
  const folder = mkdtempSync(join(tmpdir(), "cityscale-scratch-"));
  let lake: Lake | undefined;
  try {
    const { sources, lagMs } = createSources(city, { clock, log, addresses });
    const counted = new Set(Object.values(city.measures).map((measure) => measure.from));
    if (options.lagMs !== undefined) for (const name of counted) lagMs.set(name, options.lagMs);
    lake = await Lake.open({
      city,
      path: join(folder, "scratch.duckdb"),
      clock,
      log,
      memoryMb: options.memoryMb,
      threads: options.threads,
      lagMs,
    });
    const open = lake;
    const notes: string[] = [];
    await Promise.all(
      [...sources].map(async ([name, source]) => {
        const poll = await open.beginPoll(name);
        try {
          let rows = 0;
          const request = {
            cursor: null,
            from: end - 20 * 366 * 86_400_000,
            to: clock.now(),
            mode: "incremental" as const,
            signal: options.signal,
          };
          for await (const page of source.read(request)) {
            rows += (await open.append(name, poll, page)).rows;
            if (counted.has(name)) options.onProgress?.(`reading ${name}: ${rows.toLocaleString("en")} rows`);
          }
          await open.endPoll(name, null);
        } catch (error) {
          if (counted.has(name) || options.signal.aborted) throw error;
          notes.push(`source ${name} could not be read: ${messageOf(error)}`);
          await open.endPoll(name, messageOf(error));
        }
      }),
    );
    options.onProgress?.("checking rows against the contract");
    const merged = await open.merge();
    const levels = await open.read((connection) =>
      connection.first<{ stored: boolean; bad: number }>(
        "SELECT EXISTS (FROM snapshots) AS stored, (SELECT count(*) FROM quarantine WHERE stream = 'levels') AS bad",
      ),
    );
    if (merged.inserted === 0 && !levels!.stored)
      throw new CityScaleError("DATA_MISSING", `the files of ${city.id} under ${root} hold no usable rows`);
    const bad = merged.quarantined + levels!.bad;
    if (bad > 0) notes.push(`${bad} rows failed the contract and were left out`);
    return {
      lake: open,
      lagMs,
      notes,
      close: async () => {
        await open.close();
        await simulator.close();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await lake?.close();
    await simulator.close();
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
