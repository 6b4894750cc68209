import { openClock } from "./clock.ts";
import { generateBikeShare } from "./generate/bike-share.ts";
import { type GenerativeBikeShare, resolveBikeShare } from "./generate/bike-share-parameters.ts";
import { generateCity } from "./generate/city.ts";
import { type GenerativeCity, resolveCity } from "./generate/parameters.ts";
import { generatedServices } from "./generate/serve.ts";
import { GeneratedWeather } from "./generate/weather.ts";
import type { Simulator, SimulatorOptions } from "./options.ts";
import { recordedServices } from "./recorded/serve.ts";
import { Gbfs } from "./serve/gbfs.ts";
import { standard } from "./serve/gbfs-forms.ts";
import { OpenMeteo } from "./serve/open-meteo.ts";
import { startServer } from "./serve/server.ts";
import { Zone } from "./zone.ts";

/**
 * Starts a simulator in this thread.
 * @throws RangeError for a recorded city that has none, or a clock not set; NodeJS errors if the port is taken
 */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const now = openClock(options.clock);
  const seed = options.seed ?? 1;
  const start = options.startMs === undefined ? {} : { startMs: options.startMs };
  const { city } = options;
  const { services, sources } =
    "recordings" in city
      ? await recordedServices(city, seed)
      : "kind" in city
        ? generatedShare({ ...city, ...start }, seed, now())
        : generated({ ...city, ...start }, seed, now());
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

function generated(city: GenerativeCity, seed: number, nowMs: number) {
  mustBeSet(nowMs);
  const made = generateCity(seed, city, nowMs);
  // Before the first request rather than in it.
  made.counts.ensure(nowMs);
  return {
    services: generatedServices(made),
    sources: ["counts", "places", "weather", "events", "holidays"],
  };
}

function generatedShare(spec: GenerativeBikeShare, seed: number, nowMs: number) {
  mustBeSet(nowMs);
  const city = resolveBikeShare(spec, nowMs);
  const zone = new Zone(city.timeZone);
  const { id, timeZone, country, region, latitude, longitude, climate, startMs } = city;
  const place = { id, timeZone, country, region, latitude, longitude, climate, startMs };
  const weather = new GeneratedWeather(seed, resolveCity(place, nowMs));
  const share = generateBikeShare(seed, city, zone, weather);
  return {
    services: [new Gbfs(share, standard(zone)), new OpenMeteo(weather, timeZone)],
    sources: ["stations", "weather"],
  };
}

/** An unset shared clock stands at 1970 and would make a history that nobody means. */
function mustBeSet(nowMs: number): void {
  if (!(nowMs > 0))
    throw new RangeError(`the clock must be set before a city is generated; it says ${nowMs}`);
}
