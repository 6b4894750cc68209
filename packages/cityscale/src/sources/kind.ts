import { z } from "zod";
import type { Clock, Log } from "../core/index.ts";
import { type Grid, parseDuration, type Source } from "../domain/index.ts";
import type { HttpClient } from "./http.ts";

/** What a source is given by the one who builds it. */
export interface SourceContext {
  readonly timeZone: string;
  readonly grid: Grid;
  readonly location: { readonly lat: number; readonly lon: number };
  /** What an entity is called in this city. */
  readonly entity: string;
  /** Names of the measures that read from this source. */
  readonly measureOf: readonly string[];
  readonly http: HttpClient;
  /**
   * Replaces scheme and host (with an optional path in front) of the publisher's address, e.g. for a mirror
   * or the simulator. For sources that read files: a folder, as a path or a file:// address.
   */
  readonly baseAddress?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Where secrets of the sources are, by the names that their options give; the process's own when left out. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** One public protocol: its options and how a source is made from them. */
export interface SourceKind<Options> {
  /** The `kind` of a declaration, and the name of the function that writes it. */
  readonly kind: string;
  readonly description: string;
  readonly options: z.ZodType<Options>;
  /** Throws OptionError for what the schema cannot see, e.g. an unknown region. */
  create(options: Options, context: SourceContext): Source;
}

/** A wrong option; `createSource` adds the source's name and makes it CITY_INVALID. */
export class OptionError extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.name = "OptionError";
    this.field = field;
  }
}

export const duration = z.string().refine((text) => {
  try {
    return parseDuration(text) >= 0;
  } catch {
    return false;
  }
}, "write a duration such as 10m, 26h or 7d");

/** The options that every kind has; the default lag is the kind's own. */
export function commonOptions<Kind extends string>(kind: Kind, publicationLag: string) {
  return {
    kind: z.literal(kind),
    /** Time from the end of a step to its publication; decides what an earlier origin could have known. */
    publicationLag: duration.default(publicationLag),
    /** How far a read goes back behind the newest row, to catch late and corrected rows. */
    overlap: duration.default("3d"),
  };
}

/** One value field for the only measure, or a field for each measure. */
export const valueFields = z.union([z.string().min(1), z.record(z.string(), z.string().min(1))]);

/** Field to read for each measure. Throws OptionError when fields and measures do not match. */
export function measureFields(
  value: string | Readonly<Record<string, string>>,
  measureOf: readonly string[],
  option: string,
): readonly { readonly measure: string; readonly field: string }[] {
  if (typeof value === "string") {
    if (measureOf.length !== 1) {
      const names = measureOf.length === 0 ? "no measure reads" : `${measureOf.join(", ")} read`;
      throw new OptionError(
        option,
        `is one field, but ${names} from this source; write { measure: "field" }`,
      );
    }
    return [{ measure: measureOf[0]!, field: value }];
  }
  const missing = measureOf.filter((measure) => !(measure in value));
  if (missing.length > 0 || measureOf.length === 0) {
    throw new OptionError(option, `names no field for ${missing.join(", ") || "any measure of this city"}`);
  }
  return measureOf.map((measure) => ({ measure, field: value[measure]! }));
}

/** `https://host` or its replacement, with the path behind it. */
export function addressOf(defaultBase: string, path: string, baseAddress: string | undefined): string {
  return (baseAddress ?? defaultBase).replace(/\/+$/, "") + path;
}
