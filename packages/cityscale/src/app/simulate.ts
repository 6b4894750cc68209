import {
  type GenerativeBikeShare,
  type GenerativeCity,
  nycBikeShare,
  type RecordedCity,
  recordedPeriod,
  startSimulatorProcess,
  startSimulatorWorker,
  sydneyPedestrians,
} from "@cityscale/simulator";
import type { Clock } from "../core/index.ts";
import type { City, SourceDeclaration } from "../domain/index.ts";

export interface SimulationOptions {
  readonly city: City;
  readonly clock: Clock;
  /** Folder of recordings to serve; a generated city when left out. */
  readonly recordings?: string;
  readonly seed?: number;
}

/** Built-in cities that are generated unless addresses say otherwise. */
const generated = new Map<string, GenerativeCity | GenerativeBikeShare>([
  ["sydney-pedestrians", sydneyPedestrians],
  ["nyc-bikeshare", nycBikeShare],
]);

/** True for a city whose data come from the simulator when no address is given for its counts. */
export const isGenerated = (city: City): boolean => generated.has(city.id);

/** End of a city's recorded counts, ms UTC. Throws RangeError when there are none. */
export async function recordingsEnd(root: string, city: City): Promise<number> {
  return (await recordedPeriod(root, city.id)).toMs;
}

/** Rules need no server, and files are read where they lie. */
function needsServer(declaration: SourceDeclaration): boolean {
  const { kind } = declaration;
  return (
    kind !== "publicHolidays" && kind !== "files" && !(kind === "schoolHolidays" && "table" in declaration)
  );
}

/**
 * Starts the simulator beside the program where a source of the city needs a server; `addresses` are the base
 * addresses of the city's sources.
 */
export async function simulate(
  options: SimulationOptions,
): Promise<{ addresses: Record<string, string>; close(): Promise<void> }> {
  const { city, recordings } = options;
  const sources = Object.entries(city.sources);
  const addresses: Record<string, string> = {};
  if (recordings !== undefined) {
    for (const [name, { kind }] of sources) if (kind === "files") addresses[name] = recordings;
  }
  const served = sources.filter(([, declaration]) => needsServer(declaration));
  if (served.length === 0) return { addresses, close: async () => undefined };
  const what: RecordedCity | GenerativeCity | GenerativeBikeShare =
    recordings === undefined ? generated.get(city.id)! : { recordings, city: city.id };
  // It stands in for somebody else's servers: a process of its own, where the clock can be followed from there.
  const start = options.clock.spec.kind === "shared" ? startSimulatorWorker : startSimulatorProcess;
  const simulator = await start({
    clock: options.clock.spec,
    city: what,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  });
  const fallback = Object.values(simulator.sources)[0]!;
  for (const [name] of served) addresses[name] = simulator.sources[name] ?? fallback;
  return { addresses, close: () => simulator.close() };
}
