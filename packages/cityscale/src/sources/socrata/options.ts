import { z } from "zod";
import { commonOptions } from "../kind.ts";

const name = z.string().regex(/^:?[a-z_][a-z0-9_]*$/i, "write a column's field name, as the API has it");

const series = z.strictObject({
  /** Id of the one entity, or what the ids of all begin with; wanted where `by` is empty. */
  entity: z.string().min(1).optional(),
  /** Columns whose values make entities, e.g. a complaint type. */
  by: z.array(name).default([]),
  /** A SoQL condition. */
  where: z.string().min(1).optional(),
  /**
   * `counts`: the publisher counts by day, and days that were touched since are asked again. `rows`: every record
   * is read and kept, so one whose type or date changes moves from one count to another.
   */
  read: z.enum(["counts", "rows"]).default("counts"),
  /** First local day that the series has no more; its entities are retired then. */
  until: z.iso.date().optional(),
});

export const options = z.strictObject({
  ...commonOptions("socrata", "6h"),
  domain: z.string().min(1),
  /** Four by four, e.g. `erm2-nwe9`. */
  dataset: z.string().regex(/^[a-z0-9]{4}-[a-z0-9]{4}$/, "write an id such as erm2-nwe9"),
  /** When a record happened: a floating timestamp on the city's clock. */
  created: name.default("created_date"),
  /** The publisher's own id of a record; for series read by rows. */
  key: name.default("unique_key"),
  series: z.array(series).min(1),
  /** Rows of one answer. */
  pageSize: z.int().min(1).max(50_000).default(10_000),
  /** Environment variable with the application token; requests without one share a pool and may be throttled. */
  appToken: z.string().min(1).default("SOCRATA_APP_TOKEN"),
});

export type SocrataOptions = z.output<typeof options>;
export type Series = z.output<typeof series>;
