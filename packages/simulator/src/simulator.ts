import { openClock } from "./clock.ts";
import { generateCity } from "./generate/city.ts";
import { generatedServices } from "./generate/serve.ts";
import type { RecordedCity, Simulator, SimulatorOptions } from "./options.ts";
import { recordedServices } from "./recorded/serve.ts";
import { startServer } from "./serve/server.ts";

/**
 * Starts a simulator in this thread.
 * @throws RangeError for a recorded city that has none, or a clock not set; NodeJS errors if the port is taken
 */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const now = openClock(options.clock);
  const seed = options.seed ?? 1;
  const { services, sources } = isRecorded(options.city)
    ? await recordedServices(options.city, seed)
    : generated(
        { ...options.city, ...(options.startMs === undefined ? {} : { startMs: options.startMs }) },
        seed,
        now(),
      );
  const server = await startServer({
    services,
    now,
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    seed,
    faults: options.faults ?? [],
  });
  return {
    sources: Object.fromEntries(sources.map((source) => [source, server.address])),
    faults: async (list) => server.faults.set(list),
    requests: async () => server.log(),
    close: () => server.close(),
  };
}

function generated(city: Exclude<SimulatorOptions["city"], RecordedCity>, seed: number, nowMs: number) {
  // An unset shared clock stands at 1970 and would make a history that nobody means.
  if (!(nowMs > 0))
    throw new RangeError(`the clock must be set before a city is generated; it says ${nowMs}`);
  const made = generateCity(seed, city, nowMs);
  // Before the first request rather than in it.
  made.counts.ensure(nowMs);
  return {
    services: generatedServices(made),
    sources: ["counts", "places", "weather", "events", "holidays"],
  };
}

function isRecorded(city: SimulatorOptions["city"]): city is RecordedCity {
  return "recordings" in city;
}
