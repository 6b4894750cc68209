import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { type Simulator, type SimulatorOptions, startSimulator } from "../src/index.ts";

export const HOUR = 3_600_000;
export const DAY = 86_400_000;

/** Where the real recordings are, or null. */
export function dataFolder(): string | null {
  const folder = resolve(
    process.env["CITYSCALE_DATA"] ?? join(import.meta.dirname, "../../../../shared/data"),
  );
  return existsSync(join(folder, "paris-bikes")) ? folder : null;
}

/** A simulator whose clock the test moves. */
export interface Movable extends Simulator {
  at(iso: string | number): void;
  /** Text and status of a path of a source. */
  get(source: string, path: string): Promise<{ status: number; text: string; headers: Headers }>;
  json(source: string, path: string): Promise<Record<string, unknown>>;
}

export async function startMovable(
  iso: string,
  city: SimulatorOptions["city"],
  more: Partial<SimulatorOptions> = {},
): Promise<Movable> {
  const buffer = new SharedArrayBuffer(8);
  const cell = new Float64Array(buffer);
  cell[0] = Date.parse(iso);
  const simulator = await startSimulator({ clock: { kind: "shared", buffer }, city, ...more });
  const get = async (source: string, path: string) => {
    const response = await fetch(simulator.sources[source] + path);
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  return {
    ...simulator,
    at: (instant) => {
      cell[0] = typeof instant === "number" ? instant : Date.parse(instant);
    },
    get,
    json: async (source, path) => JSON.parse((await get(source, path)).text),
  };
}

/** A folder of recordings in the form of the Paris ones, removed by the returned function. */
export async function makeRecordings(): Promise<{ root: string; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "simulator-"));
  const folder = join(root, "paris-bikes");
  await mkdir(folder);
  const iso = (ms: number) => new Date(ms).toISOString().slice(0, 16).concat("Z");
  const first = Date.parse("2020-10-20T00:00Z");
  const lines = ["counter_id,ts_utc,ts_local,count"];
  for (const [c, counter] of ["100-1", "100-2", "200-1"].entries()) {
    for (let h = 0; h < 240; h++) lines.push(`${counter},${iso(first + h * HOUR)},,${c * 1000 + h}`);
  }
  await writeFile(join(folder, "counts.csv.gz"), gzipSync(`${lines.join("\n")}\n`));
  // One more monthly file of the same form.
  const more = ["counter_id,ts_utc,ts_local,count"];
  for (let h = 240; h < 264; h++) more.push(`300-9,${iso(first + h * HOUR)},,7`);
  await writeFile(join(folder, "counts-2020-11.csv"), `${more.join("\n")}\n`);
  await writeFile(
    join(folder, "counters.csv"),
    [
      "counter_id,counter_name,site_id,site_name,lat,lon,installed",
      '100-1,"Quai, A N-S",100,"Quai, A",48.85,2.34,2018-01-02',
      "100-2,Quai A S-N,100,Quai A,48.85,2.34,2018-01-02",
      "200-1,Rue B,200,Rue B,48.86,2.35,2020-10-24",
    ].join("\n"),
  );
  await writeFile(
    join(folder, "school_holidays.csv"),
    [
      "date,vacances_zone_a,vacances_zone_b,vacances_zone_c,nom_vacances",
      "2020-10-16,False,False,False,",
      "2020-10-17,True,True,True,Vacances de la Toussaint",
      "2020-10-18,True,True,True,Vacances de la Toussaint",
      "2020-10-19,False,False,False,",
    ].join("\n"),
  );
  const weather = ["ts_utc,temp_c,dewpoint_c,u,ff,dd,rafper,rr1,rr3,rr24,n,vv,pmer,ht_neige,ww"];
  for (let h = 0; h <= 264; h += 3) {
    weather.push(`${iso(first + h * HOUR)},${10 + h / 10},5,80,2,0,3,1,4,0,50,20000,101300,0,0`);
  }
  await writeFile(join(folder, "weather.csv"), weather.join("\n"));
  return { root, remove: () => rm(root, { recursive: true }) };
}
