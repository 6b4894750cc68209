import { timeReader } from "../../sources/index.ts";

/** How the times of a column are written. */
export interface TimeGuess {
  /** Of strptime's letters; undefined = ISO 8601. */
  readonly format: string | undefined;
  readonly hasOffset: boolean;
}

export type TimeAnswer = TimeGuess | "ambiguous" | null;

const numeric = /^(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(.*)$/;
const named = /^(\d{1,2})([ .-]*)([A-Za-z]{3,9})([ .,-]*)(\d{4})(.*)$/;
const namedFirst = /^([A-Za-z]{3,9})( +)(\d{1,2})(,? +)(\d{4})(.*)$/;

/**
 * Finds the format in which every one of some texts is a time: null when they are none, `ambiguous` when
 * day-first and month-first both fit all of them.
 */
export function guessTime(texts: readonly string[]): TimeAnswer {
  const given = texts.filter((text) => text !== "");
  const first = given[0];
  if (first === undefined) return null;
  const fits = (format: string | undefined) => {
    const read = timeReader(format);
    return given.every((text) => read(text) !== undefined);
  };
  const offsetOf = (format: string | undefined) => timeReader(format)(first)?.offsetMs != null;
  // A bare number such as 20210701 or 14 is no time without being told.
  if (/^\d+$/.test(first)) return null;
  if (fits(undefined)) return { format: undefined, hasOffset: offsetOf(undefined) };
  const formats = candidates(first).filter(fits);
  if (formats.length === 0) return null;
  if (formats.length > 1) return "ambiguous";
  return { format: formats[0]!, hasOffset: offsetOf(formats[0]) };
}

/** Formats that the shape of one text allows. */
function candidates(text: string): string[] {
  const byNumber = numeric.exec(text);
  if (byNumber) {
    const [, a, separator, , c, rest] = byNumber as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const clock = clockFormat(rest);
    if (clock === null) return [];
    const orders =
      a.length === 4
        ? [["Y", "m", "d"]]
        : c.length === 4
          ? [
              ["d", "m", "Y"],
              ["m", "d", "Y"],
            ]
          : [];
    return orders.map((order) => order.map((letter) => `%${letter}`).join(separator) + clock);
  }
  const dayFirst = named.exec(text);
  if (dayFirst) {
    const clock = clockFormat(dayFirst[6]!);
    return clock === null ? [] : [`%d${dayFirst[2]}%b${dayFirst[4]}%Y${clock}`];
  }
  const monthFirst = namedFirst.exec(text);
  if (monthFirst) {
    const clock = clockFormat(monthFirst[6]!);
    return clock === null ? [] : [`%b${monthFirst[2]}%d${monthFirst[4]}%Y${clock}`];
  }
  return [];
}

/** Format of what follows the date; null when it is no time of day. */
function clockFormat(rest: string): string | null {
  if (rest === "") return "";
  const match =
    /^(,? *T?|,? +)(\d{1,2})([:.h])(\d{2})(?:([:.])(\d{2})(?:\.\d+)?)?( *)([AaPp][Mm])?( *)(Z|[+-]\d{2}:?\d{2})?$/.exec(
      rest,
    );
  if (!match) return null;
  const [, before, , colon, , secondColon, second, gap, meridiem, zoneGap, zone] = match;
  const hour = meridiem ? "%I" : "%H";
  return `${before}${hour}${colon}%M${second === undefined ? "" : `${secondColon}%S`}${meridiem ? `${gap}%p` : ""}${zone ? `${meridiem ? zoneGap : gap! + zoneGap!}%z` : ""}`;
}
