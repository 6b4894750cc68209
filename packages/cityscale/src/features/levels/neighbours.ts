import { type Levels, rowAt } from "./levels.ts";

const most = 6;
const withinKm = 0.8;
const seenWithinMs = 7 * 86_400_000;
const kmPerDegree = 111.32;

/** Kilometres between two places, near enough inside a city. NaN where a place is not known. */
export function distanceKm(
  a: { readonly lat: number; readonly lon: number },
  b: { readonly lat: number; readonly lon: number },
): number {
  const north = (b.lat - a.lat) * kmPerDegree;
  const east = (b.lon - a.lon) * kmPerDegree * Math.cos(((a.lat + b.lat) * Math.PI) / 360);
  return Math.hypot(north, east);
}

/**
 * Of each station, up to six others within 0.8 km, nearest first, among those seen in the week before an instant
 * (ms UTC), as known then.
 */
export function neighboursOf(levels: Levels, asOf: number): readonly Int32Array[] {
  const { stations, at, knownAt, bikes, docks } = levels;
  const width = stations.length;
  const seen = new Uint8Array(width);
  let unseen = width;
  for (
    let row = rowAt(at, asOf - seenWithinMs) + 1;
    row < at.length && knownAt[row]! <= asOf && unseen > 0;
    row++
  ) {
    for (let s = 0, cell = row * width; s < width; s++, cell++) {
      if (seen[s] === 1 || (bikes[cell]! < 0 && docks[cell]! < 0)) continue;
      seen[s] = 1;
      unseen--;
    }
  }
  return stations.map((station, s) => {
    const near: { other: number; km: number }[] = [];
    if (seen[s] === 1) {
      for (const [other, place] of stations.entries()) {
        // Most are too far north or south to be worth a root.
        const isFar = Math.abs(place.lat - station.lat) * kmPerDegree > withinKm + 0.01;
        if (isFar || other === s || seen[other] === 0) continue;
        const km = distanceKm(station, place);
        if (km <= withinKm) near.push({ other, km });
      }
    }
    near.sort((a, b) => a.km - b.km || a.other - b.other);
    return Int32Array.from(near.slice(0, most), ({ other }) => other);
  });
}
