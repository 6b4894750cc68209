import { UsageError } from "../exit-codes.ts";
import type { Sample } from "./sample.ts";
import { guessTime, type TimeGuess } from "./time-guess.ts";

export interface ColumnFlags {
  readonly timeColumn?: string | undefined;
  readonly entityColumn?: string | undefined;
  readonly valueColumn?: string | undefined;
  readonly timeFormat?: string | undefined;
}

/** Which column is what. */
export interface ColumnGuess {
  readonly time: string;
  readonly entity: string;
  readonly value: string;
  readonly timeIs: TimeGuess;
  /** False when a value has decimals. */
  readonly integer: boolean;
}

const timeNames = /time|date|datum|zeit|hour|stamp|heure|fecha|hora|\bts\b|^ts_|_ts$/i;
const entityNames =
  /id\b|_id|sensor|counter|station|site|location|name|zähl|zaehl|standort|stelle|compteur|contador|place|code|street|strasse|straße/i;
const valueNames =
  /count|value|total|anzahl|number|besucher|volume|flow|qty|quantity|passant|people|pedestrian|bike|visitors|nombre|menge|summe|sum\b/i;
const placeNames = /^(lat|lon|lng|long|latitude|longitude|x|y|easting|northing)$/i;
const isNumber = (text: string) => /^[-+]?(\d+\.?\d*|\.\d+)$/.test(text);

/**
 * Finds the columns of time, entity and value by their contents, and by their names where contents allow more
 * than one. Flags win. Throws UsageError that says what was found and which flag decides.
 */
export function guessColumns(sample: Sample, flags: ColumnFlags): ColumnGuess {
  const values = (column: string) => {
    const at = sample.columns.indexOf(column);
    return sample.rows.map((row) => row[at]!);
  };
  for (const [flag, column] of [
    ["--time-column", flags.timeColumn],
    ["--entity-column", flags.entityColumn],
    ["--value-column", flags.valueColumn],
  ] as const) {
    if (column !== undefined && !sample.columns.includes(column)) {
      throw new UsageError(
        `${flag} ${column}: there is no such column; there are ${sample.columns.join(", ")}`,
      );
    }
  }
  const time = timeColumn(sample, flags, values);
  const rest = sample.columns.filter((column) => column !== time.column);
  const times = values(time.column);
  const entity =
    flags.entityColumn ??
    entityColumn(
      rest.filter((column) => column !== flags.valueColumn),
      values,
      times,
    );
  const value =
    flags.valueColumn ??
    valueColumn(
      rest.filter((column) => column !== entity),
      values,
    );
  return {
    time: time.column,
    entity,
    value,
    timeIs: time.timeIs,
    integer: !values(value).some((text) => isNumber(text) && !Number.isInteger(Number(text))),
  };
}

function timeColumn(
  sample: Sample,
  flags: ColumnFlags,
  values: (column: string) => string[],
): { column: string; timeIs: TimeGuess } {
  if (flags.timeFormat !== undefined) {
    const named = flags.timeColumn ?? sample.columns.find((column) => timeNames.test(column));
    if (named === undefined)
      throw new UsageError("--time-format needs --time-column here: no column's name says time or date");
    return {
      column: named,
      timeIs: { format: flags.timeFormat, hasOffset: flags.timeFormat.includes("%z") },
    };
  }
  const candidates = flags.timeColumn === undefined ? sample.columns : [flags.timeColumn];
  const answers = candidates.map((column) => ({ column, answer: guessTime(values(column)) }));
  const found = answers.flatMap(({ column, answer }) =>
    answer === null || answer === "ambiguous" ? [] : [{ column, timeIs: answer }],
  );
  const distinct = (column: string) => new Set(values(column)).size;
  // A date beside a full time is coarser; a column whose name says time wins among equals.
  found.sort(
    (a, b) =>
      distinct(b.column) - distinct(a.column) ||
      Number(timeNames.test(b.column)) - Number(timeNames.test(a.column)),
  );
  if (found[0]) return found[0];
  const ambiguous = answers.find(({ answer }) => answer === "ambiguous");
  if (ambiguous) {
    throw new UsageError(
      `column ${ambiguous.column}: ${values(ambiguous.column)[0]} may be day or month first, and no row tells`,
      "Say which with --time-format, e.g. '%d/%m/%Y %H:%M'.",
    );
  }
  const shown = candidates.map((column) => `${column} (${values(column)[0]?.slice(0, 30) ?? ""})`).join(", ");
  throw new UsageError(
    `no column holds times that can be read: ${shown}`,
    "Name it with --time-column and its format with --time-format, e.g. '%d/%m/%Y %H:%M'. A date and an hour in two columns have to be joined first.",
  );
}

function entityColumn(
  columns: readonly string[],
  values: (column: string) => string[],
  times: readonly string[],
): string {
  const scored = columns
    .filter((column) => !placeNames.test(column))
    .map((column) => {
      const all = values(column);
      const distinct = new Set(all).size;
      const pairs = new Set(all.map((value, i) => `${value}\u0000${times[i]}`)).size;
      // An entity has one row for each time: with any other column the pairs repeat, or are as many as its values.
      const identifies = pairs >= 0.98 * all.length && distinct <= Math.max(1, all.length / 2);
      const decimals = all.some((text) => /^\d+\.\d+$/.test(text));
      const score =
        (identifies ? 4 : 0) +
        (entityNames.test(column) ? 3 : 0) -
        (valueNames.test(column) ? 2 : 0) +
        (all.every(isNumber) ? 0 : 1) -
        (decimals ? 3 : 0) +
        (/id\b|_id|code/i.test(column) ? 0.5 : 0) -
        (all.includes("") ? 2 : 0);
      return { column, score, identifies };
    })
    .filter(({ identifies, score }) => identifies || score >= 3)
    .sort((a, b) => b.score - a.score);
  if (scored[0]) return scored[0].column;
  throw new UsageError(
    `no column among ${columns.join(", ")} tells which counter a row belongs to`,
    "Name it with --entity-column; a file of one counter needs a column with its name.",
  );
}

function valueColumn(columns: readonly string[], values: (column: string) => string[]): string {
  const scored = columns
    .filter((column) => !placeNames.test(column))
    .flatMap((column) => {
      const all = values(column).filter((text) => text !== "");
      const numbers = all.filter(isNumber).length;
      if (all.length === 0 || numbers < 0.9 * all.length) return [];
      const distinct = new Set(all).size;
      return [
        {
          column,
          score:
            (valueNames.test(column) ? 3 : 0) -
            (entityNames.test(column) ? 2 : 0) +
            Math.min(1, distinct / 20),
        },
      ];
    })
    .sort((a, b) => b.score - a.score);
  const [best, second] = scored;
  if (!best)
    throw new UsageError(
      `no column among ${columns.join(", ")} holds numbers`,
      "Name the counts with --value-column.",
    );
  if (second && second.score >= best.score) {
    throw new UsageError(
      `both ${best.column} and ${second.column} may be the counts`,
      "Say which with --value-column.",
    );
  }
  return best.column;
}
