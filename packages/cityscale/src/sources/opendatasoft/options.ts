import { z } from "zod";
import { commonOptions, valueFields } from "../kind.ts";

const field = z.string().min(1);

export const options = z.strictObject({
  ...commonOptions("opendatasoft", "26h"),
  /** Host of the portal, e.g. parisdata.opendatasoft.com. */
  domain: z.string().regex(/^[a-z0-9.-]+$/i, "write a host such as parisdata.opendatasoft.com"),
  dataset: field,
  fields: z.strictObject({
    entity: field,
    /** One field with date and time, or a local date and an hour of day apart. */
    time: z.union([field, z.strictObject({ date: field, hour: field })]),
    value: valueFields,
    /** Name and position of the entity in its own rows, where there is no dataset of places. */
    name: field.optional(),
    position: field.optional(),
  }),
  /** Further condition in the portal's query language. */
  where: field.optional(),
  /** A dataset with one row per entity; counts go on without it. */
  places: z
    .strictObject({
      dataset: field,
      entity: field,
      name: field.optional(),
      position: field.default("coordinates"),
    })
    .optional(),
});

export type OpendatasoftOptions = z.output<typeof options>;
