import { z } from "zod";
import { type WeatherVariable, weatherVariables } from "../../domain/index.ts";
import { commonOptions, valueFields } from "../kind.ts";

const field = z.string().min(1);

/** How one group of files is written. */
const written = {
  /** Path of the files below the base folder; `*` and `**` as usual. Plain or gzip. */
  glob: field,
  /** By the name's ending when left out. */
  format: z.enum(["csv", "parquet"]).optional(),
  delimiter: z.string().length(1).default(","),
};
const times = {
  /** What times without an offset mean; a time with an offset or Z is an instant. */
  timeIs: z.enum(["utc", "local"]).default("utc"),
  /** For example `%d/%m/%Y %H:%M`; ISO 8601 when left out. */
  timeFormat: field.optional(),
};

const variables = Object.keys(weatherVariables) as [WeatherVariable, ...WeatherVariable[]];
/** A column, with `value * scale + offset` where its unit is another. */
const weatherColumn = z.union([
  field,
  z.strictObject({ column: field, scale: z.number().default(1), offset: z.number().default(0) }),
]);

export const options = z.strictObject({
  ...commonOptions("files", "0h"),
  ...written,
  glob: field.optional(),
  ...times,
  columns: z.strictObject({ entity: field, time: field, value: valueFields }).optional(),
  entities: z
    .strictObject({
      ...written,
      columns: z.strictObject({
        entity: field,
        name: field.optional(),
        lat: field.optional(),
        lon: field.optional(),
        opened: field.optional(),
        retired: field.optional(),
      }),
    })
    .optional(),
  weather: z
    .strictObject({
      ...written,
      ...times,
      columns: z
        .strictObject({ time: field })
        .extend(
          Object.fromEntries(variables.map((name) => [name, weatherColumn.optional()])) as Record<
            WeatherVariable,
            z.ZodOptional<typeof weatherColumn>
          >,
        ),
    })
    .optional(),
});

export type FilesOptions = z.output<typeof options>;
