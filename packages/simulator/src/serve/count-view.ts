import { type CountFeed, HOUR_MS } from "../count-table.ts";
import type { Cell } from "../query/expression.ts";
import type { Field, View } from "../query/view.ts";
import type { Zone } from "../zone.ts";

const DAY_MS = 86_400_000;
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** Fields of the City of Sydney's hourly layer. */
export const SYDNEY_FIELDS: readonly Field[] = [
  { name: "ObjectId", type: "oid" },
  { name: "Location_code", type: "text" },
  { name: "Location_Name", type: "text" },
  { name: "Date", type: "date" },
  { name: "TotalCount", type: "integer" },
  { name: "Hour", type: "integer" },
  { name: "Day", type: "text" },
  { name: "DayNo", type: "integer" },
  { name: "Week", type: "integer" },
  { name: "LastWeek", type: "integer" },
  { name: "Previous4DayTimeAvg", type: "integer" },
  { name: "LastYear", type: "integer" },
  { name: "Previous52DayTimeAvg", type: "integer" },
];

/** Cells of the Sydney layer by name, given the table's positions. */
function sydneyCells(
  feed: CountFeed,
  zone: Zone,
  visible: number,
  nowMs: number,
): Record<string, (p: number) => Cell> {
  const { table, entityIds, entityNames } = feed;
  const localMs = (p: number) => {
    const ms = table.hour[p]! * HOUR_MS;
    return ms + zone.offsetMs(ms);
  };
  const localDay = (p: number) => Math.floor(localMs(p) / DAY_MS);
  const earlier = (p: number, weeks: number): number | null => {
    const value = table.look(table.entity[p]!, table.hour[p]! - 168 * weeks, visible, nowMs);
    return Number.isNaN(value) ? null : value;
  };
  const average = (p: number, weeks: number): number | null => {
    let sum = 0;
    let seen = 0;
    for (let week = 1; week <= weeks; week++) {
      const value = table.look(table.entity[p]!, table.hour[p]! - 168 * week, visible, nowMs);
      if (Number.isNaN(value)) continue;
      sum += value;
      seen++;
    }
    return seen === 0 ? null : Math.round(sum / seen);
  };
  return {
    ObjectId: (p) => table.rowId[p]!,
    Location_code: (p) => entityIds[table.entity[p]!]!,
    Location_Name: (p) => entityNames[table.entity[p]!]!,
    Date: (p) => table.hour[p]! * HOUR_MS,
    TotalCount: (p) => table.valueAt(p, nowMs),
    Hour: (p) => Math.floor((localMs(p) % DAY_MS) / HOUR_MS),
    Day: (p) => WEEKDAYS[(localDay(p) + 3) % 7]!,
    DayNo: (p) => (localDay(p) + 3) % 7,
    Week: (p) => isoWeek(localDay(p)),
    LastWeek: (p) => earlier(p, 1),
    Previous4DayTimeAvg: (p) => average(p, 4),
    LastYear: (p) => earlier(p, 52),
    Previous52DayTimeAvg: (p) => average(p, 52),
  };
}

/** The published counts ordered by (Date, ObjectId). */
export function sydneyByDate(feed: CountFeed, zone: Zone, nowMs: number): View {
  feed.ensure(nowMs);
  const { table } = feed;
  const visible = table.visibleRows(nowMs);
  const cells = sydneyCells(feed, zone, visible, nowMs);
  const rowId = table.rowId;
  return {
    fields: SYDNEY_FIELDS,
    version: `date ${visible} ${table.visibleCorrections(nowMs)}`,
    length: table.firstOf(Math.ceil(nowMs / HOUR_MS)),
    isVisible: (p) => rowId[p]! > 0 && rowId[p]! <= visible,
    get: (field) => cells[field]!,
    sorted: { by: ["Date", "ObjectId"], first: (ms) => table.firstOf(ms / HOUR_MS) },
  };
}

/** The same in the order of publication: position = ObjectId - 1. */
export function sydneyById(feed: CountFeed, zone: Zone, nowMs: number): View {
  feed.ensure(nowMs);
  const { table } = feed;
  const visible = table.visibleRows(nowMs);
  const cells = sydneyCells(feed, zone, visible, nowMs);
  return {
    fields: SYDNEY_FIELDS,
    version: `id ${visible} ${table.visibleCorrections(nowMs)}`,
    length: visible,
    isVisible: null,
    get: (field) => {
      const cell = cells[field]!;
      return (position) => cell(table.positionOf(position + 1));
    },
    sorted: { by: ["ObjectId"], first: (id) => Math.min(visible, Math.max(0, Math.ceil(id) - 1)) },
  };
}

function isoWeek(day: number): number {
  const thursday = day - ((day + 3) % 7) + 3;
  const year = new Date(thursday * DAY_MS).getUTCFullYear();
  return 1 + Math.floor((thursday - Date.UTC(year, 0, 1) / DAY_MS) / 7);
}
