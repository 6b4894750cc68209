import { isoOf } from "../rows.ts";

/** Wall time of a text and its offset from UTC; null = the text has none. */
export interface WallTime {
  readonly wallMs: number;
  readonly offsetMs: number | null;
}

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const patterns: Readonly<Record<string, string>> = {
  Y: "(\\d{4})",
  m: "(\\d{1,2})",
  d: "(\\d{1,2})",
  H: "(\\d{1,2})",
  I: "(\\d{1,2})",
  M: "(\\d{1,2})",
  S: "(\\d{1,2})(?:\\.\\d+)?",
  p: "([AaPp][Mm])",
  b: "([A-Za-z]{3})[a-z]*",
  z: "(Z|[+-]\\d{2}:?\\d{2})",
};

/**
 * Reader of times in a format like `%d/%m/%Y %H:%M` (of strptime's: %Y %m %d %H %I %p %M %S %b %z), or of ISO
 * times without one. Throws RangeError for a letter it does not know.
 */
export function timeReader(format: string | undefined): (text: string) => WallTime | undefined {
  if (format === undefined) return isoOf;
  const letters: string[] = [];
  const source = format.replace(/%(.)|[.*+?^${}()|[\]\\/]/g, (match, letter: string | undefined) => {
    if (letter === undefined) return `\\${match}`;
    if (letter === "%") return "%";
    const pattern = patterns[letter];
    if (pattern === undefined)
      throw new RangeError(`%${letter} is not known; use ${Object.keys(patterns).join(" ")}`);
    letters.push(letter);
    return pattern;
  });
  const expression = new RegExp(`^\\s*${source}\\s*$`);
  return (text) => {
    const match = expression.exec(text);
    if (!match) return undefined;
    const found: Record<string, string> = {};
    letters.forEach((letter, i) => {
      found[letter] = match[i + 1]!;
    });
    const two = (value: string | number) => String(value).padStart(2, "0");
    const month =
      found["b"] === undefined ? (found["m"] ?? "1") : months.indexOf(found["b"].toLowerCase()) + 1;
    let hours: string | number = found["H"] ?? 0;
    if (found["I"] !== undefined) {
      hours = (Number(found["I"]) % 12) + (/^p/i.test(found["p"] ?? "") ? 12 : 0);
    }
    const date = `${found["Y"] ?? "1970"}-${two(month)}-${two(found["d"] ?? 1)}`;
    return isoOf(`${date}T${two(hours)}:${two(found["M"] ?? 0)}:${two(found["S"] ?? 0)}${found["z"] ?? ""}`);
  };
}
