import { type Entity, fromWallClock, type RejectedRow, type StreamPage } from "../../domain/index.ts";
import type { SourceContext } from "../kind.ts";
import { idOf, isoOf, numberOf, ObservationColumns, rejectedRow } from "../rows.ts";
import type { Row } from "./dataset.ts";
import type { Series, SocrataOptions } from "./options.ts";

/** What a column without a value is called in an entity's id. */
const unspecified = "Unspecified";

/** Names of the counted columns in the queries of this source. */
export const dayAs = "day";
export const countAs = "n";

/** Turns rows of some series into a page's parts; one per page. `named` are the entities already delivered. */
export function createRowReader(
  declared: SocrataOptions,
  context: SourceContext,
  measure: string,
  named: Set<string>,
  range: { readonly from: number; readonly to: number },
) {
  const counts = new ObservationColumns(measure);
  const log = { key: [] as string[], entity: [] as string[], at: [] as number[] };
  const entities: Entity[] = [];
  const rejected: RejectedRow[] = [];

  const reject = (stream: "observations" | "log", field: string, expected: string, row: Row) => {
    const value = row[field];
    const reason =
      value === undefined ? "missing-field" : expected === "a number" ? "bad-number" : "bad-date";
    rejected.push(
      rejectedRow(stream, reason, `${field}: expected ${expected}, received ${JSON.stringify(value)}`, row),
    );
  };

  const entityOf = (series: Series, row: Row, stream: "observations" | "log"): string | undefined => {
    const values = series.by.map((column) =>
      row[column] === undefined ? unspecified : (idOf(row[column]) ?? null),
    );
    const bad = series.by[values.indexOf(null)];
    if (bad !== undefined) {
      const detail = `${bad}: expected text, received ${JSON.stringify(row[bad])}`;
      rejected.push(rejectedRow(stream, "missing-field", detail, row));
      return undefined;
    }
    const entity = [...(series.entity === undefined ? [] : [series.entity]), ...values].join(" / ");
    if (!named.has(entity)) {
      named.add(entity);
      entities.push({
        entity,
        name: null,
        lat: null,
        lon: null,
        openedAt: null,
        retiredAt:
          series.until === undefined
            ? null
            : fromWallClock(context.timeZone, Date.parse(`${series.until}T00:00:00Z`)),
        attributes: Object.fromEntries(series.by.map((column, i) => [column, values[i]!])),
      });
    }
    return entity;
  };

  /** An instant of the range; floating timestamps are on the city's clock. */
  const instantOf = (value: unknown): number | undefined => {
    const iso = typeof value === "string" ? isoOf(value) : undefined;
    if (!iso) return undefined;
    const at =
      iso.offsetMs === null ? fromWallClock(context.timeZone, iso.wallMs) : iso.wallMs - iso.offsetMs;
    return at >= range.from && at < range.to ? at : undefined;
  };

  return {
    count(series: Series, row: Row): void {
      const day = instantOf(row[dayAs]);
      const value = row[countAs] === null ? undefined : numberOf(row[countAs]);
      if (day === undefined) reject("observations", dayAs, "a day of the range asked", row);
      else if (value === undefined) reject("observations", countAs, "a number", row);
      else {
        const entity = entityOf(series, row, "observations");
        if (entity !== undefined) counts.add(entity, day, value);
      }
    },
    record(series: Series, row: Row): void {
      const at = instantOf(row[declared.created]);
      // Every scalar comes as text: what is none is damaged.
      const text = row[declared.key];
      const key = typeof text === "string" ? idOf(text)?.replaceAll("\n", " ") : undefined;
      if (at === undefined) reject("log", declared.created, "a time of the range asked", row);
      else if (key === undefined) reject("log", declared.key, "an id", row);
      else {
        const entity = entityOf(series, row, "log");
        if (entity === undefined) return;
        log.key.push(key);
        log.entity.push(entity);
        log.at.push(at);
      }
    },
    rejected,
    parts(): StreamPage[] {
      const parts: StreamPage[] = [];
      if (entities.length > 0) parts.push({ stream: "entities", rows: entities });
      if (log.at.length > 0) {
        const { key, entity } = log;
        parts.push({ stream: "log", measure, key, entity, at: Float64Array.from(log.at) });
      }
      if (counts.length > 0) parts.push(counts.page());
      return parts;
    },
  };
}
