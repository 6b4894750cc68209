import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { CityScaleError } from "./errors.ts";
import { logLevels } from "./log.ts";

const wholeNumber = (min: number, max: number) =>
  z
    .union([z.number(), z.string().regex(/^\d+$/, "write a whole number").transform(Number)])
    .pipe(z.int().min(min).max(max));
const positive = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^\d+(\.\d+)?$/, "write a number")
      .transform(Number),
  ])
  .pipe(z.number().positive());
const list = z.union([
  z.array(z.string().min(1)),
  z.string().transform((text) =>
    text
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== ""),
  ),
]);
const instant = z.union([
  z.number(),
  z.string().transform((text, context) => {
    // Without an offset a date would be read in the machine's own zone; with one it means the same everywhere.
    const ms = /^\d{4}-\d{2}-\d{2}(T.*(Z|[+-]\d{2}:\d{2}))?$/.test(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(ms)) return ms;
    context.addIssue({ code: "custom", message: "write 2021-06-01 or 2021-06-01T04:00:00Z" });
    return z.NEVER;
  }),
]);

const days = z.string().regex(/^[1-9]\d*d$/, "write a number of days such as 30d");

/** An http(s) address as it is; a folder, or the file:// address of one, as an absolute path. */
const sourceAddress = z
  .string()
  .min(1)
  .transform((text, context) => {
    if (/^https?:/.test(text)) {
      if (URL.canParse(text)) return text;
      context.addIssue({ code: "custom", message: `"${text}" is not an address` });
      return z.NEVER;
    }
    if (text.startsWith("file:") && URL.canParse(text)) return fileURLToPath(text);
    if (!/^[a-z][a-z0-9+.-]+:/i.test(text)) return resolve(text);
    context.addIssue({ code: "custom", message: "write an http(s) address or a folder" });
    return z.NEVER;
  });

/** Every setting of the program. The descriptions are the reference that `configReference` prints. */
const configSchema = z.strictObject({
  home: z
    .string()
    .min(1)
    .prefault("./.cityscale")
    .transform((path) => resolve(path))
    .describe("The data folder: databases, artifacts, logs of what was decided."),
  cities: list
    .prefault([])
    .describe("Cities to run, separated by commas: ids of built-in cities or paths of city files."),
  host: z.string().min(1).prefault("127.0.0.1").describe("Address to listen on."),
  port: wholeNumber(0, 65_535).prefault(8080).describe("Port to listen on; 0 takes a free one."),
  basePath: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]+)*\/?$/, "write a path such as /forecasts")
    .prefault("")
    .transform((path) => path.replace(/\/$/, ""))
    .describe("Path under which a reverse proxy serves everything, e.g. /forecasts."),
  logLevel: z.enum(logLevels).prefault("info").describe("Least level that is logged to standard error."),
  clockStart: instant
    .optional()
    .describe("Runs on a virtual clock from this instant on, e.g. 2021-06-01T00:00:00Z; for simulations."),
  clockSpeed: positive
    .prefault(1)
    .describe("How many times as fast as real time a virtual clock runs; needs a clock start."),
  threads: wholeNumber(1, 1024)
    .prefault(() => availableParallelism())
    .describe("Threads for queries and training; all of the machine's when left out."),
  memoryLimit: z
    .string()
    .regex(/^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$/, "write a size such as 500MB or 2GB")
    .optional()
    .describe(
      "Memory that DuckDB may use in the program and in a training, each, e.g. 2GB; 224MB when left out.",
    ),
  keepJobs: days.prefault("30d").describe("How long finished jobs are kept, in days, e.g. 30d."),
  sources: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9-]*$/, "use lower-case letters, digits and dashes"),
      sourceAddress,
    )
    .prefault({})
    .describe(
      "Where to read a source instead of the publisher's own address, by the source's name: http(s) address or folder.",
    ),
});

export type Config = z.output<typeof configSchema>;
export type SettingName = keyof Config;

const settingNames = Object.keys(configSchema.shape) as SettingName[];
const prefix = "CITYSCALE_";
const sourcePrefix = `${prefix}SOURCE_`;

/** Read by the test suite, never by the program: where recorded data are. */
const foreign = new Set(["CITYSCALE_DATA"]);

/** Environment variable of a setting: `logLevel` is CITYSCALE_LOG_LEVEL. */
function variableOf(name: SettingName): string {
  return prefix + name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/**
 * Settings from the environment (`CITYSCALE_*`), overridden by the command line's options. An empty variable
 * counts as unset. `CITYSCALE_SOURCE_OPEN_METEO=URL` sets the address of the source `open-meteo`.
 * Throws CONFIG_INVALID that names every wrong setting; an unknown variable is one, with the nearest name.
 */
export function readConfig(
  options: { env?: Readonly<Record<string, string | undefined>>; overrides?: Record<string, unknown> } = {},
): Config {
  const env = options.env ?? process.env;
  const overrides = options.overrides ?? {};
  const byVariable = new Map<string, SettingName>(
    settingNames.filter((name) => name !== "sources").map((name) => [variableOf(name), name]),
  );
  const given: Record<string, unknown> = {};
  const sources: Record<string, unknown> = {};
  const origin = new Map<string, string>();
  const problems: string[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(prefix) || value === undefined || value === "" || foreign.has(variable))
      continue;
    const setting = byVariable.get(variable);
    if (setting) {
      given[setting] = value;
      origin.set(setting, variable);
    } else if (variable.startsWith(sourcePrefix) && variable.length > sourcePrefix.length) {
      const source = variable.slice(sourcePrefix.length).toLowerCase().replaceAll("_", "-");
      sources[source] = value;
      origin.set(`sources.${source}`, variable);
    } else {
      const nearest = nearestOf(variable, [...byVariable.keys(), `${sourcePrefix}NAME`]);
      problems.push(`${variable}: there is no such setting; did you mean ${nearest}?`);
    }
  }
  for (const [name, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    if (name === "sources") {
      for (const [source, url] of Object.entries(value as Record<string, unknown>)) {
        sources[source] = url;
        origin.delete(`sources.${source}`);
      }
    } else if ((settingNames as string[]).includes(name)) {
      given[name] = value;
      origin.delete(name);
    } else {
      problems.push(`${name}: there is no such setting; did you mean ${nearestOf(name, settingNames)}?`);
    }
  }
  const parsed = configSchema.safeParse({ ...given, sources });
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const path = issue.path.join(".");
      problems.push(`${origin.get(path) ?? path}: ${issue.message}`);
    }
  } else if (parsed.data.clockStart === undefined && parsed.data.clockSpeed !== 1) {
    problems.push(`${origin.get("clockSpeed") ?? "clockSpeed"}: a speed needs a clock start`);
  }
  if (problems.length > 0 || !parsed.success) {
    throw new CityScaleError(
      "CONFIG_INVALID",
      `the settings are not valid:\n  - ${problems.join("\n  - ")}`,
      {
        details: { problems },
      },
    );
  }
  return parsed.data;
}

/** One `name=address` of the command line's `--source`, for `overrides.sources`. Throws CONFIG_INVALID. */
export function parseSourceOption(text: string): [name: string, url: string] {
  const at = text.indexOf("=");
  if (at < 1) {
    throw new CityScaleError(
      "CONFIG_INVALID",
      `--source ${text}: write name=address, e.g. weather=http://localhost:9000 or counts=./data`,
    );
  }
  return [text.slice(0, at), text.slice(at + 1)];
}

export interface SettingReference {
  readonly name: SettingName;
  readonly variable: string;
  readonly description: string;
  /** As text; null when the setting has no fixed default. */
  readonly default: string | null;
}

/** Every setting with its variable, default and meaning; the reference page and `--help` are made from it. */
export function configReference(): SettingReference[] {
  return settingNames.map((name) => {
    const schema = configSchema.shape[name];
    const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as { default?: unknown };
    // The number of threads is the machine's: what this machine has is no reference.
    const fallback = name === "threads" ? undefined : json.default;
    const text = Array.isArray(fallback) ? fallback.join(",") : typeof fallback === "object" ? "" : fallback;
    return {
      name,
      variable: name === "sources" ? `${sourcePrefix}<NAME>` : variableOf(name),
      description: schema.description ?? "",
      default: text === undefined || text === "" ? null : String(text),
    };
  });
}

/** The candidate that `word` begins, or else the one with the fewest single-letter edits from it. */
export function nearestOf(word: string, candidates: readonly string[]): string {
  const begun = word.length >= 3 ? candidates.find((candidate) => candidate.startsWith(word)) : undefined;
  if (begun !== undefined) return begun;
  let best = candidates[0] ?? "";
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const count = edits(word, candidate);
    if (count < fewest) [best, fewest] = [candidate, count];
  }
  return best;
}

/** Levenshtein distance, one row of the table at a time. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
