import { sha256 } from "../../../src/core/index.ts";
import type { FallProfile, FallProfiles } from "../../../src/features/index.ts";

/** Of the stations in their order: hashes of what their profiles say, equal where they are bit for bit. */
export const bytesOf = (profiles: readonly FallProfiles[]) =>
  profiles.map(({ asOf, windows, places }) => [
    asOf,
    ...windows.flatMap((window) =>
      Object.entries(window).map(([name, values]: [string, Float32Array]) => [
        name,
        laidOut(values, places, window),
      ]),
    ),
  ]);

/** Arrays by slot and place as ones by slot and station. */
function laidOut(values: Float32Array, places: Int32Array, { turnover, falls }: FallProfile): string {
  const slots = values.length === turnover.length ? 1 : falls.length / turnover.length;
  const [width, depths] = [turnover.length, values.length / slots / turnover.length];
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  const parts: Buffer[] = [];
  for (let slot = 0; slot < slots; slot++) {
    for (const place of places) {
      const from = 4 * depths * (slot * width + place);
      parts.push(bytes.subarray(from, from + 4 * depths));
    }
  }
  return sha256(Buffer.concat(parts)).slice(0, 16);
}
