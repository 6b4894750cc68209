import type { CityEvent, RejectedRow } from "../../domain/index.ts";
import { rejectedRow } from "../rows.ts";
import { isRow, type Row, rowsIn, stationIdOf, textOf, timestampOf } from "./values.ts";

/** An alert without an end is taken to last a day from its beginning, and is told anew while it is there. */
const assumedMs = 86_400_000;

/** Alerts of a system_alerts file as events without a place, one for each of their periods. */
export function alertsOf(data: Row, language: string): { rows: CityEvent[]; rejected: RejectedRow[] } {
  const rows: CityEvent[] = [];
  const rejected: RejectedRow[] = [];
  for (const alert of rowsIn(data, "alerts") ?? []) {
    const id = isRow(alert) ? stationIdOf(alert["alert_id"]) : undefined;
    if (!isRow(alert) || id === undefined) {
      rejected.push(rejectedRow("events", "missing-field", "alert_id: expected an id", alert));
      continue;
    }
    const updated = timestampOf(alert["last_updated"]);
    const publishedAt = updated === undefined || Number.isNaN(updated) ? null : updated;
    const times = rowsIn(alert, "times") ?? [];
    for (const [i, time] of (times.length > 0 ? times : [{ start: undefined }]).entries()) {
      const start = isRow(time) ? timestampOf(time["start"]) : undefined;
      const end = isRow(time) ? timestampOf(time["end"]) : undefined;
      const startAt = start === undefined || Number.isNaN(start) ? publishedAt : start;
      if (start === undefined || end === undefined || startAt === null) {
        rejected.push(
          rejectedRow("events", "bad-date", "times: expected timestamps, or last_updated", alert),
        );
        continue;
      }
      rows.push({
        id: i === 0 ? `alert ${id}` : `alert ${id} ${i + 1}`,
        name: textOf(alert["summary"], language) ?? String(alert["type"] ?? "alert"),
        startAt,
        endAt: Number.isNaN(end) ? startAt + assumedMs : end,
        lat: null,
        lon: null,
        venue: null,
        category: `alert ${String(alert["type"] ?? "OTHER").toLowerCase()}`,
        attendance: null,
        cancelled: false,
        publishedAt,
      });
    }
  }
  return { rows, rejected };
}
