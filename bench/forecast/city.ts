import { availableParallelism } from "node:os";
import { join } from "node:path";
import { loadCity, openScratchLake } from "../../packages/cityscale/src/app/index.ts";
import { createLog } from "../../packages/cityscale/src/core/index.ts";
import { root } from "./python.ts";

export const data = process.env["CITYSCALE_DATA"] ?? join(root, "../shared/data");
export const threads = Math.min(2, availableParallelism());

/** A city on its recordings, every row known at the end of its step. */
export async function openRecorded(id: string) {
  const city = await loadCity(id, join(root, ".cityscale"));
  const scratch = await openScratchLake({
    city,
    root: data,
    log: createLog("error"),
    threads,
    memoryMb: 1500,
    lagMs: 0,
    signal: new AbortController().signal,
  });
  return { city, target: Object.values(city.targets)[0]!, scratch };
}

/** Melbourne's sensors that miss under a tenth of 2014-2016. */
export const melbourneSensors = [
  1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
].map(String);
