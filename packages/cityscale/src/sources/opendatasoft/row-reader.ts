import { fromWallClock, type RejectedRow, type StreamPage } from "../../domain/index.ts";
import type { SourceContext } from "../kind.ts";
import { idOf, isoOf, numberOf, ObservationColumns, rejectedRow, WallClock } from "../rows.ts";
import type { OpendatasoftOptions } from "./options.ts";
import type { Row } from "./portal.ts";

export interface ReadRows {
  readonly parts: readonly StreamPage[];
  readonly rejected: readonly RejectedRow[];
  /** Time of each row as the portal orders by it, ms; NaN where it could not be read. */
  readonly times: Float64Array;
  /** Names of the first row's fields. */
  readonly names: readonly string[];
  /** Required fields that no row had. */
  readonly absent: readonly string[];
}

/** Turns rows into columns. One per page or export attempt: nothing of a torn answer is kept. */
export function createRowReader(
  declared: OpendatasoftOptions,
  context: SourceContext,
  measures: readonly { readonly measure: string; readonly field: string }[],
  window: { readonly from: number; readonly to: number },
) {
  const { time, entity: entityField } = declared.fields;
  const apart = typeof time !== "string";
  const timeField = apart ? time.date : time;
  const wall = new WallClock(context.timeZone);
  const ids = new Map<string, string>();
  const columns = measures.map(({ measure }) => new ObservationColumns(measure, 1024, ids));
  const rejected: RejectedRow[] = [];
  const times: number[] = [];
  const absent = new Set([
    entityField,
    timeField,
    ...(apart ? [time.hour] : []),
    ...measures.map((m) => m.field),
  ]);
  let names: string[] = [];

  const reject = (field: string, expected: string, reason: "bad-date" | "bad-number", row: Row) => {
    const value = row[field];
    const detail = `${field}: expected ${expected}, received ${JSON.stringify(value)}`;
    rejected.push(rejectedRow("observations", value === undefined ? "missing-field" : reason, detail, row));
  };

  return {
    add(row: Row): void {
      if (times.length === 0) names = Object.keys(row);
      if (absent.size > 0) for (const name of absent) if (name in row) absent.delete(name);
      times.push(Number.NaN);
      const text = row[timeField];
      const iso = typeof text === "string" ? isoOf(text) : undefined;
      const hour = apart ? numberOf(row[time.hour]) : 0;
      const wire = iso ? iso.wallMs - (iso.offsetMs ?? 0) : Number.NaN;
      // A time outside of what was asked is damaged; taking it for real would move the cursor past good rows.
      if (!iso || !(wire >= window.from && wire < window.to)) {
        reject(timeField, "a date within the range asked", "bad-date", row);
        return;
      }
      if (apart && !(hour !== undefined && Number.isInteger(hour) && hour >= 0 && hour < 24)) {
        reject(time.hour, "an hour of day", "bad-date", row);
        return;
      }
      times[times.length - 1] = wire;
      const entity = idOf(row[entityField]);
      if (entity === undefined) {
        const detail = `${entityField}: expected an id`;
        rejected.push(rejectedRow("observations", "missing-field", detail, row));
        return;
      }
      let validAt = wire;
      if (apart) validAt = wall.instant(entity, wire + hour! * 3_600_000);
      else if (iso.offsetMs === null) validAt = fromWallClock(context.timeZone, iso.wallMs);
      for (let m = 0; m < columns.length; m++) {
        const field = measures[m]!.field;
        const value = numberOf(row[field]);
        if (value === undefined) reject(field, "a number", "bad-number", row);
        else columns[m]!.add(entity, validAt, value);
      }
    },
    end(): ReadRows {
      return {
        parts: columns.filter((column) => column.length > 0).map((column) => column.page()),
        rejected,
        times: Float64Array.from(times),
        names,
        absent: times.length > 0 ? [...absent] : [],
      };
    },
  };
}
