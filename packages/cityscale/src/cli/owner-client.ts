import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { App, loadCity } from "../app/index.ts";
import {
  CityScaleError,
  type Config,
  createLog,
  type ErrorCode,
  errorCodes,
  type OwnerRecord,
  readOwner,
} from "../core/index.ts";
import { createHttp } from "../http/index.ts";
import { UsageError } from "./exit-codes.ts";

type Method = "GET" | "POST" | "DELETE";

/** A process that has just taken the folder announces its address within moments. */
const startingMs = 10_000;

/** The owner of a data folder, asked through its HTTP routes: another process, or this one. */
export interface OwnerClient {
  /** True when another process owns the folder. */
  readonly remote: boolean;
  /** Throws what the route answers as an error, and SOURCE_UNREACHABLE when the owner has gone. */
  request<Answer>(method: Method, path: string, body?: unknown): Promise<Answer>;
  close(): Promise<void>;
}

export interface ClientOptions {
  readonly config: Config;
  readonly recordings?: string | undefined;
  readonly seed?: number | undefined;
  /** Runs jobs where this process becomes the owner. */
  readonly work?: boolean;
  /** Makes the data folder where there is none. */
  readonly create?: boolean;
}

/**
 * Talks to the folder's owner, or becomes it without schedules: either way a command is a request to the same
 * routes. Throws UsageError when there is no data folder, and what `App.open` throws.
 */
export async function connectOwner(options: ClientOptions): Promise<OwnerClient> {
  const { config } = options;
  if (!options.create && !existsSync(join(config.home, "format.json"))) {
    throw new UsageError(
      `there is no data folder at ${config.home}`,
      "Make one with `cityscale up`, or name another with --home.",
    );
  }
  const owner = existsSync(config.home) ? await announcedOwner(config.home) : null;
  return owner ? remoteClient(owner) : await ownClient(options);
}

async function announcedOwner(home: string): Promise<(OwnerRecord & { address: string }) | null> {
  const until = performance.now() + startingMs;
  for (;;) {
    const owner = await readOwner(home);
    if (!owner) return null;
    const { address } = owner;
    if (address !== null) return { ...owner, address };
    if (performance.now() > until) {
      throw new CityScaleError(
        "OWNER_BUSY",
        `${home} is in use by process ${owner.pid}, which does not serve`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function remoteClient(owner: { address: string; token: string }): OwnerClient {
  return {
    remote: true,
    request: async <Answer>(method: Method, path: string, body?: unknown) => {
      let response: Response;
      let text: string;
      try {
        response = await fetch(owner.address + path, {
          method,
          headers: {
            authorization: `Bearer ${owner.token}`,
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        text = await response.text();
      } catch (error) {
        throw new CityScaleError(
          "SOURCE_UNREACHABLE",
          `the process that owns the data folder does not answer at ${owner.address}`,
          { cause: error },
        );
      }
      return answerOf<Answer>(response.status, text);
    },
    close: async () => undefined,
  };
}

async function ownClient(options: ClientOptions): Promise<OwnerClient> {
  const { config, recordings, seed } = options;
  const app = await App.open({
    config:
      config.cities.length > 0
        ? config
        : { ...config, cities: knownCities(config.home, options.create === true) },
    log: createLog(config.logLevel),
    ...(recordings === undefined ? {} : { recordings }),
    ...(seed === undefined ? {} : { seed }),
    reading: options.work !== true,
  });
  try {
    const http = await createHttp(app);
    if (options.work) await app.start();
    const { token } = app.owner.record;
    return {
      remote: false,
      request: async <Answer>(method: Method, path: string, body?: unknown) => {
        const response = await http.inject({
          method,
          url: path,
          headers: { authorization: `Bearer ${token}` },
          ...(body === undefined ? {} : { payload: body as object }),
        });
        return answerOf<Answer>(response.statusCode, response.body);
      },
      close: async () => {
        await http.close();
        await app.stop();
      },
    };
  } catch (error) {
    await app.stop();
    throw error;
  }
}

/** Cities that have data in the folder; none means the default one, where a new folder may be made. */
function knownCities(home: string, create: boolean): string[] {
  const lakes = join(home, "lakes");
  const ids = existsSync(lakes)
    ? readdirSync(lakes).flatMap((file) => /^(.+)\.duckdb$/.exec(file)?.[1] ?? [])
    : [];
  if (ids.length === 0 && !create) {
    throw new CityScaleError("NOT_READY", `${home} holds no city's data yet: start with \`cityscale up\``);
  }
  return ids.sort();
}

function answerOf<Answer>(status: number, text: string): Answer {
  const answer: unknown = text === "" ? null : JSON.parse(text);
  if (status < 400) return answer as Answer;
  const { error } = answer as { error: { code: string; message: string; details?: Record<string, unknown> } };
  const code = (error.code in errorCodes ? error.code : "INTERNAL") as ErrorCode;
  throw new CityScaleError(code, error.message, { details: error.details ?? {} });
}

interface CityAnswer {
  readonly id: string;
  readonly targets: readonly { readonly target: string }[];
}

/** The city meant: as asked for (an id or a file), or the only one that runs. Throws UsageError, CITY_UNKNOWN. */
export async function cityIdOf(
  client: OwnerClient,
  config: Config,
  asked: string | undefined,
): Promise<string> {
  if (asked !== undefined) return /[./\\]/.test(asked) ? (await loadCity(asked, config.home)).id : asked;
  const { cities } = await client.request<{ cities: CityAnswer[] }>("GET", "/v1/cities");
  if (cities.length === 1) return cities[0]!.id;
  throw new UsageError(`say which city with --city: ${cities.map((city) => city.id).join(", ")}`);
}

/** A query string of what is given; empty when nothing is. */
export function queryOf(values: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? "" : `?${query}`;
}
