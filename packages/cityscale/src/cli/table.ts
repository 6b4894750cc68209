export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  value(row: Row): string;
}

/** Rows under aligned titles, two spaces apart; no line ends in a blank. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], indent = ""): string {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.value(row))),
  ];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  return cells
    .map((line) => {
      const padded = line.map((text, i) =>
        columns[i]!.align === "right" ? text.padStart(widths[i]!) : text.padEnd(widths[i]!),
      );
      return `${(indent + padded.join("  ")).trimEnd()}\n`;
    })
    .join("");
}

/** A fraction as per cent: 0.1153 is `11.5 %`. */
export const percent = (value: number | null | undefined, digits = 1): string =>
  value === null || value === undefined ? "-" : `${(100 * value).toFixed(digits)} %`;

export const fixed = (value: number | null | undefined, digits = 2): string =>
  value === null || value === undefined ? "-" : value.toFixed(digits);

export const whole = (value: number): string => Math.round(value).toLocaleString("en");

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** An instant as UTC to the minute. */
export const instant = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? "-" : `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")}Z`;

/** A text in at most `width` characters. */
export const clip = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(1, width - 1))}…`;
