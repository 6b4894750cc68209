import {
  fromWallClock,
  type ObservationPage,
  offsetMs,
  type RejectedRow,
  type StreamPage,
} from "../domain/index.ts";

/** A row put aside with its reason, cut to what the seam keeps. */
export function rejectedRow(
  stream: StreamPage["stream"],
  reason: "missing-field" | "bad-number" | "bad-date" | "bad-row",
  detail: string,
  received: unknown,
): RejectedRow {
  const text = typeof received === "string" ? received : JSON.stringify(received);
  return { stream, reason, detail, received: (text ?? "undefined").slice(0, 2000) };
}

/**
 * A number as sent: NaN for null (the publisher has none), `undefined` for what is not a finite number.
 * Numbers in strings are read, since publishers change a column's type without changing its meaning.
 */
export function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (value === null) return Number.NaN;
  if (typeof value === "string" && /^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$/.test(value)) {
    return numberOf(Number(value));
  }
  return undefined;
}

/** An id as text without spaces around it; `undefined` when there is none. */
export function idOf(value: unknown): string | undefined {
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  return text === "" ? undefined : text;
}

const isoPattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})?$/;

/** An ISO 8601 text as wall milliseconds and its offset (null = none given); `undefined` when it is not a date. */
export function isoOf(text: string): { wallMs: number; offsetMs: number | null } | undefined {
  const match = isoPattern.exec(text.trim());
  if (!match) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const [hour, minute, second] = [Number(match[4] ?? 0), Number(match[5] ?? 0), Number(match[6] ?? 0)];
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const midnight = Date.UTC(year, month - 1, day);
  const date = new Date(midnight);
  // Date.UTC turns 31 April into 1 May.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const wallMs = midnight + hour * 3_600_000 + minute * 60_000 + second * 1000;
  const zone = match[7];
  if (zone === undefined) return { wallMs, offsetMs: null };
  if (zone === "Z") return { wallMs, offsetMs: 0 };
  const digits = zone.slice(1).replace(":", "");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2) || 0);
  return { wallMs, offsetMs: (zone[0] === "-" ? -minutes : minutes) * 60_000 };
}

/** An instant from ISO text: by its own offset, or on the wall clock of `timeZone`. */
export function instantOf(text: string, timeZone: string): number | undefined {
  const iso = isoOf(text);
  if (!iso) return undefined;
  return iso.offsetMs === null ? fromWallClock(timeZone, iso.wallMs) : iso.wallMs - iso.offsetMs;
}

/**
 * Wall times of one read as instants. An hour that the autumn change repeats is the first one when it comes
 * once for an entity, and the second one when it comes again.
 */
export class WallClock {
  readonly #timeZone: string;
  readonly #known = new Map<number, number>();
  readonly #seen = new Set<string>();
  constructor(timeZone: string) {
    this.#timeZone = timeZone;
  }
  instant(entity: string, wallMs: number): number {
    let first = this.#known.get(wallMs);
    if (first === undefined) {
      first = fromWallClock(this.#timeZone, wallMs);
      if (this.#known.size > 100_000) this.#known.clear();
      this.#known.set(wallMs, first);
    }
    const second = wallMs - offsetMs(this.#timeZone, first + 7_200_000);
    if (second === first || second + offsetMs(this.#timeZone, second) !== wallMs || second < first)
      return first;
    const key = `${entity}\n${wallMs}`;
    if (this.#seen.has(key)) return second;
    this.#seen.add(key);
    return first;
  }
}

/** Grows the columns of one measure's page; ids are kept once however often they come. */
export class ObservationColumns {
  readonly #measure: string;
  readonly #ids: Map<string, string>;
  #entity: string[] = [];
  #validAt: Float64Array<ArrayBuffer>;
  #value: Float64Array<ArrayBuffer>;
  constructor(measure: string, capacity = 2000, ids = new Map<string, string>()) {
    this.#measure = measure;
    this.#ids = ids;
    this.#validAt = new Float64Array(Math.max(1, capacity));
    this.#value = new Float64Array(Math.max(1, capacity));
  }
  get length(): number {
    return this.#entity.length;
  }
  add(entity: string, validAt: number, value: number): void {
    const at = this.#entity.length;
    if (at === this.#validAt.length) {
      this.#validAt = grown(this.#validAt);
      this.#value = grown(this.#value);
    }
    let id = this.#ids.get(entity);
    if (id === undefined) {
      id = entity;
      this.#ids.set(id, id);
    }
    this.#entity.push(id);
    this.#validAt[at] = validAt;
    this.#value[at] = value;
  }
  page(): ObservationPage {
    const length = this.#entity.length;
    return {
      stream: "observations",
      measure: this.#measure,
      entity: this.#entity,
      validAt: this.#validAt.subarray(0, length),
      value: this.#value.subarray(0, length),
    };
  }
}

function grown(column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(column.length * 2);
  larger.set(column);
  return larger;
}
