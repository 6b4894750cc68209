import { existsSync } from "node:fs";
import { readFile, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  builtInCities,
  codeVersion,
  createSources,
  defaultCity,
  isGenerated,
  loadCity,
} from "../app/index.ts";
import {
  CityScaleError,
  type Config,
  createClock,
  folderSteps,
  messageOf,
  readOwner,
  silentLog,
} from "../core/index.ts";
import { type City, offsetMs } from "../domain/index.ts";
import { openEngine } from "../lake/index.ts";

export interface Finding {
  readonly check: string;
  readonly state: "ok" | "warning" | "failed" | "skipped";
  readonly says: string;
}

/** Under this much free space a data folder is in danger; two years of a city take some hundred megabytes. */
const leastFreeBytes = 1e9;
const sourceTimeoutMs = 30_000;

/** Looks at everything that a start needs, one finding per check; nothing is changed. */
export async function examine(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [
    nodeVersion(),
    await folder(config.home),
    await diskSpace(config.home),
    await engine(),
    timeZones(),
    ...settings(config),
  ];
  for (const name of config.cities.length > 0 ? config.cities : [defaultCity]) {
    let city: City;
    try {
      city = await loadCity(name, config.home);
    } catch (error) {
      findings.push(failed(`city ${name}`, error));
      continue;
    }
    findings.push({
      check: `city ${city.id}`,
      state: "ok",
      says: `${city.name}: ${Object.keys(city.targets).join(", ")}`,
    });
    findings.push(...(await sources(city, config)));
  }
  return findings;
}

const failed = (check: string, error: unknown): Finding => ({
  check,
  state: "failed",
  says: messageOf(error),
});

function nodeVersion(): Finding {
  const major = Number(process.versions.node.split(".")[0]);
  return {
    check: "Node",
    state: major >= 24 ? "ok" : "failed",
    says: `${process.version}${major >= 24 ? "" : "; 24 or later is needed"}; CityScale ${codeVersion}`,
  };
}

async function folder(home: string): Promise<Finding> {
  const check = "data folder";
  if (!existsSync(join(home, "format.json")))
    return { check, state: "ok", says: `${home} does not exist yet; the first start makes it` };
  try {
    const newest = folderSteps.at(-1)?.format ?? 1;
    const { format } = JSON.parse(await readFile(join(home, "format.json"), "utf8")) as { format: number };
    const owner = await readOwner(home);
    const who = owner
      ? `in use by process ${owner.pid}${owner.address ? ` at ${owner.address}` : ""}`
      : "not in use";
    if (format > newest)
      return {
        check,
        state: "failed",
        says: `${home} has format ${format}; this program knows formats up to ${newest}`,
      };
    return {
      check,
      state: "ok",
      says: `${home}, format ${format}${format < newest ? ` (will be upgraded to ${newest})` : ""}, ${who}`,
    };
  } catch (error) {
    return failed(check, error);
  }
}

async function diskSpace(home: string): Promise<Finding> {
  const check = "disk space";
  let at = home;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  try {
    const { bavail, bsize } = await statfs(at);
    const free = bavail * bsize;
    return {
      check,
      state: free < leastFreeBytes ? "failed" : "ok",
      says: `${(free / 1e9).toFixed(1)} GB free at ${at}${free < leastFreeBytes ? "; at least 1 GB is wanted" : ""}`,
    };
  } catch (error) {
    return failed(check, error);
  }
}

async function engine(): Promise<Finding> {
  const check = "DuckDB";
  try {
    const opened = await openEngine({ path: ":memory:", memoryMb: 64, threads: 1 });
    try {
      using connection = await opened.connect();
      const row = await connection.first<{ version: string }>("SELECT version() AS version");
      return { check, state: "ok", says: row!.version };
    } finally {
      opened.close();
    }
  } catch (error) {
    return failed(check, error);
  }
}

/** A system without its time zone data answers UTC for every zone, and every local hour would be wrong. */
function timeZones(): Finding {
  const check = "time zones";
  const july = Date.UTC(2021, 6, 1);
  const right =
    offsetMs("Europe/Paris", july) === 2 * 3_600_000 && offsetMs("Australia/Sydney", july) === 10 * 3_600_000;
  return {
    check,
    state: right ? "ok" : "failed",
    says: right
      ? `tz data ${process.versions["tz"] ?? "of the system"}`
      : "Europe/Paris or Australia/Sydney have wrong offsets: install Node with full ICU data",
  };
}

function settings(config: Config): Finding[] {
  const warn = (says: string): Finding => ({ check: "settings", state: "warning", says });
  const out: Finding[] = [];
  const local = ["127.0.0.1", "::1", "localhost"].includes(config.host);
  if (!local)
    out.push(
      warn(`listens on ${config.host}: everyone who reaches this machine can ask; put TLS in front of it`),
    );
  if (config.clockStart !== undefined)
    out.push(warn(`runs on a virtual clock from ${new Date(config.clockStart).toISOString()}`));
  if (!existsSync(builtInCities)) out.push(warn(`${builtInCities} is missing: there are no built-in cities`));
  return out.length > 0 ? out : [{ check: "settings", state: "ok", says: "no remarks" }];
}

/** One small read of each source: its first page of the last two days. */
async function sources(city: City, config: Config): Promise<Finding[]> {
  const clock = createClock(
    config.clockStart === undefined ? {} : { startMs: config.clockStart, speed: config.clockSpeed },
  );
  let built: ReturnType<typeof createSources>["sources"];
  try {
    ({ sources: built } = createSources(city, { clock, log: silentLog, addresses: config.sources }));
  } catch (error) {
    return [failed(`sources of ${city.id}`, error)];
  }
  const simulated =
    isGenerated(city) && !Object.values(city.measures).every(({ from }) => from in config.sources);
  return await Promise.all(
    [...built].map(async ([name, source]): Promise<Finding> => {
      const check = `source ${name}`;
      const { kind } = city.sources[name]!;
      if (simulated && !(name in config.sources) && kind !== "publicHolidays")
        return { check, state: "skipped", says: "comes from the simulator" };
      const at = config.sources[name] ? ` at ${config.sources[name]}` : "";
      const now = clock.now();
      const signal = AbortSignal.timeout(sourceTimeoutMs);
      try {
        let rows = 0;
        for await (const page of source.read({
          cursor: null,
          from: now - 2 * 86_400_000,
          to: now,
          mode: "range",
          signal,
        })) {
          rows = page.parts.reduce(
            (sum, part) =>
              sum +
              ("rows" in part
                ? part.rows.length
                : "validAt" in part
                  ? part.validAt.length
                  : "at" in part
                    ? part.at.length
                    : 0),
            0,
          );
          break;
        }
        return { check, state: "ok", says: `${kind}${at} answers${rows > 0 ? ` (${rows} rows)` : ""}` };
      } catch (error) {
        if (signal.aborted)
          return {
            check,
            state: "failed",
            says: `${kind}${at} did not answer within ${sourceTimeoutMs / 1000} s`,
          };
        const hint = error instanceof CityScaleError ? ` (${error.code})` : "";
        return { check, state: "failed", says: `${kind}${at}: ${messageOf(error)}${hint}` };
      }
    }),
  );
}
