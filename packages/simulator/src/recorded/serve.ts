import type { RecordedCity } from "../options.ts";
import type { Service } from "../serve/reply.ts";

/** The services of a recorded city. @throws RangeError for a city without recordings */
export async function recordedServices(
  city: RecordedCity,
  _seed: number,
): Promise<{ services: Service[]; sources: string[] }> {
  throw new RangeError(`no recordings of ${city.city} can be served`);
}
