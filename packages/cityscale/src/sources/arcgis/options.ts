import { z } from "zod";
import { commonOptions, valueFields } from "../kind.ts";

export const options = z.strictObject({
  ...commonOptions("arcgis", "2h"),
  host: z.url().default("https://services1.arcgis.com"),
  /** The publisher's id in ArcGIS Online; City of Sydney unless given. */
  organisation: z.string().min(1).default("cNVyNtjGVZybOQWZ"),
  service: z.string().min(1),
  layer: z.int().min(0).default(0),
  fields: z.strictObject({
    entity: z.string().min(1),
    name: z.string().min(1).optional(),
    time: z.string().min(1),
    value: valueFields,
  }),
  /** `local` for layers that keep the local wall time as if it were UTC. */
  timeIs: z.enum(["utc", "local"]).default("utc"),
  /** A layer of points with the positions of the entities; counts go on without it. */
  places: z
    .strictObject({
      service: z.string().min(1),
      layer: z.int().min(0).default(0),
      entity: z.string().min(1),
      name: z.string().min(1).optional(),
      /** Date fields with the first and last day of a counter's life. */
      opened: z.string().min(1).optional(),
      retired: z.string().min(1).optional(),
    })
    .optional(),
});

export type ArcgisOptions = z.output<typeof options>;
