import { Zone } from "../zone.ts";
import { Calendar } from "./calendar.ts";
import { GeneratedCounts, type GeneratedParts } from "./counts.ts";
import { Events } from "./events.ts";
import { drawParameters, type GenerativeCity, resolveCity } from "./parameters.ts";
import { GeneratedWeather } from "./weather.ts";

export type GeneratedCity = GeneratedParts & { counts: GeneratedCounts };

/**
 * Draws a city. Nothing is generated yet: counts come when they are asked for.
 * @param nowMs where the history ends if the city does not say where it starts
 */
export function generateCity(seed: number, spec: GenerativeCity, nowMs: number): GeneratedCity {
  const city = resolveCity(spec, nowMs);
  const zone = new Zone(city.timeZone);
  const parts: GeneratedParts = {
    seed,
    city,
    zone,
    places: drawParameters(seed, city),
    calendar: new Calendar(city),
    weather: new GeneratedWeather(seed, city),
    events: new Events(seed, city, zone),
  };
  return { ...parts, counts: new GeneratedCounts(parts) };
}
