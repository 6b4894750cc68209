import { poisson, uniform } from "../random.ts";

/** A stretch of hours `[from, to)` in which something is wrong with a counter. */
export interface Spell {
  from: number;
  to: number;
}

const BLOCK_HOURS = 24 * 28;

/**
 * Spells of an entity that touch `[fromHour, toHour)`, drawn block by block, so any period gives the same ones.
 * Lengths are log-uniform between `minHours` and `maxHours`; `maxHours` is at most four weeks, so that only the
 * block before can reach in.
 */
export function spells(
  seed: number,
  stream: number,
  entity: number,
  perYear: number,
  minHours: number,
  maxHours: number,
  fromHour: number,
  toHour: number,
): Spell[] {
  const found: Spell[] = [];
  if (perYear <= 0) return found;
  const first = Math.floor(fromHour / BLOCK_HOURS) - 1;
  const last = Math.floor((toHour - 1) / BLOCK_HOURS);
  for (let block = first; block <= last; block++) {
    const count = poisson((perYear * BLOCK_HOURS) / 8766, uniform(seed, stream, entity, block * 64));
    for (let n = 0; n < count && n < 20; n++) {
      const key = block * 64 + 3 * n;
      const from = block * BLOCK_HOURS + Math.floor(uniform(seed, stream, entity, key + 1) * BLOCK_HOURS);
      const hours = minHours * (maxHours / minHours) ** uniform(seed, stream, entity, key + 2);
      const to = from + Math.round(hours);
      if (to > fromHour && from < toHour) found.push({ from, to });
    }
  }
  return found;
}
