import { type GenerativeCity, type RecordedCity, recordedPeriod, type Simulator, startSimulatorProcess, startSimulatorWorker, sydneyPedestrians } from "@cityscale/simulator";
import type { Clock } from "../core/index.ts";
import type { City } from "../domain/index.ts";

export interface SimulationOptions {
  readonly city: City;
  readonly clock: Clock;
  /** Folder of recordings to serve; a generated city when left out. */
  readonly recordings?: string;
  readonly seed?: number;
}

/** Built-in cities that are generated unless addresses say otherwise. */
const generated = new Map<string, GenerativeCity>([["sydney-pedestrians", sydneyPedestrians]]);

/** True for a city whose data come from the simulator when no address is given for its counts. */
export const isGenerated = (city: City): boolean => generated.has(city.id);

/** End of a city's recorded counts, ms UTC. Throws RangeError when there are none. */
export async function recordingsEnd(root: string, city: City): Promise<number> {
  return (await recordedPeriod(root, city.id)).toMs;
}

/** Starts the simulator beside the program; `addresses` are the base addresses of the city's sources. */
export async function simulate(options: SimulationOptions): Promise<{ simulator: Simulator; addresses: Record<string, string> }> {
  const { city, recordings } = options;
  const served: RecordedCity | GenerativeCity = recordings === undefined ? generated.get(city.id)! : { recordings, city: city.id };
  // It stands in for somebody else's servers: a process of its own, where the clock can be followed from there.
  const start = options.clock.spec.kind === "shared" ? startSimulatorWorker : startSimulatorProcess;
  const simulator = await start({
    clock: options.clock.spec,
    city: served,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  });
  const fallback = Object.values(simulator.sources)[0]!;
  const addresses: Record<string, string> = {};
  for (const [name, declaration] of Object.entries(city.sources)) {
    // Rules need no server, and files are read where they lie.
    if (declaration.kind === "publicHolidays") continue;
    if (declaration.kind === "files") {
      if (recordings !== undefined) addresses[name] = recordings;
      continue;
    }
    addresses[name] = simulator.sources[name] ?? fallback;
  }
  return { simulator, addresses };
}
