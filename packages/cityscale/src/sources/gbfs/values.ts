import { idOf, isoOf, numberOf } from "../rows.ts";

export type Row = Readonly<Record<string, unknown>>;

export const isRow = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Rows of a list in a feed's data; null when there is no list. */
export function rowsIn(data: Row, name: string): readonly unknown[] | null {
  const list = data[name];
  return Array.isArray(list) ? list : null;
}

/** JSON whose whole numbers that a double cannot hold come as text: some ids have 19 digits. Throws SyntaxError. */
export function parseExact(text: string): unknown {
  if (!/[:[,]\s*-?\d{16,}/.test(text)) return JSON.parse(text);
  const keep = (_key: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? context!.source
      : value;
  return JSON.parse(text, keep);
}

/** The first of some spellings of a field that has a value. */
export function fieldOf(row: Row, names: readonly string[]): unknown {
  for (const name of names) if (row[name] !== undefined && row[name] !== null) return row[name];
  return undefined;
}

/** An id as text, digits of large numbers kept; undefined when there is none. */
export const stationIdOf = (value: unknown): string | undefined => idOf(value);

/** Whether a flag is set: a boolean, 0 or 1, or those as text. Undefined for anything else. */
export function flagOf(value: unknown): boolean | undefined {
  if (value === true || value === 1 || value === "1" || value === "true") return true;
  if (value === false || value === 0 || value === "0" || value === "false") return false;
  return undefined;
}

/** A number; NaN where none is given, undefined for what is none. */
export const countOf = (value: unknown): number | undefined =>
  value === undefined ? Number.NaN : numberOf(value);

/** Stations that have never reported say so with the first days of 1970. */
const neverMs = Date.UTC(2000, 0, 1);

/**
 * A timestamp in ms UTC: POSIX seconds (also as text) or RFC 3339. NaN where none is given, or where a station has never
 * reported; undefined for what is no timestamp.
 */
export function timestampOf(value: unknown): number | undefined {
  if (value === undefined || value === null) return Number.NaN;
  const seconds = numberOf(value);
  if (seconds !== undefined) return seconds * 1000 < neverMs ? Number.NaN : seconds * 1000;
  const iso = typeof value === "string" ? isoOf(value) : undefined;
  if (!iso) return undefined;
  const at = iso.wallMs - (iso.offsetMs ?? 0);
  return at < neverMs ? Number.NaN : at;
}

/** Plain text, or the text in a language out of a list of them (3.0); null where there is none. */
export function textOf(value: unknown, language: string): string | null {
  if (typeof value === "string") return value.trim() || null;
  if (!Array.isArray(value)) return null;
  const texts = value.filter((part) => isRow(part) && typeof part["text"] === "string") as Row[];
  const [first] = texts;
  const best = texts.find((part) => isLanguage(part["language"], language)) ?? first;
  return best === undefined ? null : (best["text"] as string).trim() || null;
}

/** Whether a language tag means a language: `en-US` is `en`. */
export const isLanguage = (tag: unknown, language: string): boolean =>
  typeof tag === "string" &&
  (tag.toLowerCase() === language.toLowerCase() ||
    tag.toLowerCase().startsWith(`${language.toLowerCase()}-`));
