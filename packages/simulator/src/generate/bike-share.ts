import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBDataChunk, INTEGER } from "@duckdb/node-api";
import { uniform } from "../random.ts";
import { withDuck } from "../recorded/duck.ts";
import type { Alert, BikeShare, Station, StationState } from "../serve/bike-share.ts";
import type { Zone } from "../zone.ts";
import type { BikeShareParameters } from "./bike-share-parameters.ts";
import { type Dock, drawSpells, drawStations, within } from "./bike-share-stations.ts";
import { Trips, ticksPerDay } from "./bike-share-trips.ts";
import type { GeneratedWeather } from "./weather.ts";

const TICK_MS = 600_000;
const DAY_MS = 86_400_000;
/** Spells are drawn for so long from the beginning of the history on. */
const years = 10;

/** A generated bike share: a snapshot about every ten minutes, in an archive as long as its history. */
export function generateBikeShare(
  seed: number,
  city: BikeShareParameters,
  zone: Zone,
  weather: GeneratedWeather,
): BikeShare {
  const ticks = city.days * ticksPerDay;
  const places = drawStations(seed, city, ticks);
  const startTick = Math.ceil(city.startMs / TICK_MS);
  const standstills = drawSpells(seed, 320, 0, years * 365 * ticksPerDay, city.standstillsPerYear, [2, 15]);
  const trips = new Trips(
    seed,
    city,
    places,
    (tick) => {
      const ms = (startTick + tick) * TICK_MS;
      const local = ms + zone.offsetMs(ms);
      const day = Math.floor(local / DAY_MS);
      return { hour: (local % DAY_MS) / 3_600_000, weekday: (day + 3) % 7, day };
    },
    (tick) => weather.observed(Math.floor(((startTick + tick) * TICK_MS) / 3_600_000))?.precipitation ?? 0,
  );
  /** When the snapshot of a tick was taken, POSIX seconds: some seconds into it. */
  const takenAt = (tick: number) => (startTick + tick) * 600 + Math.floor(90 * uniform(seed, 321, tick, 0));
  /** The newest tick whose snapshot is out at an instant; ticks in which the feed stands still have none. */
  const newest = (nowMs: number): number => {
    let tick = Math.floor(nowMs / TICK_MS) - startTick;
    if (takenAt(tick) * 1000 > nowMs) tick--;
    while (tick > 0 && within(standstills, tick)) tick--;
    return Math.max(0, tick);
  };
  const idOf = (place: Dock, tick: number) => (tick >= place.renamedAt ? place.newId : place.id);
  const stateOf = (s: number, tick: number): StationState => {
    const place = places[s]!;
    const at = tick * places.length + s;
    const { history } = trips;
    const capacity = tick >= place.changedAt ? place.newCapacity : place.capacity;
    const [bikes, broken, dead] = [
      history.bikes[at]!,
      history.bikesDisabled[at]!,
      history.docksDisabled[at]!,
    ];
    const works = !within(place.outages, tick);
    const id = idOf(place, tick);
    return {
      id,
      legacyId: id,
      bikes,
      ebikes: history.ebikes[at]!,
      docks: Math.max(0, capacity - bikes - broken - dead),
      bikesDisabled: broken,
      docksDisabled: dead,
      installed: true,
      renting: works,
      returning: works,
      reported: takenAt(tick) - Math.min(3600, history.quiet[at]! * 600) - (s % 60),
    };
  };
  const present = (tick: number): number[] => {
    trips.ensure(tick);
    return places.flatMap((place, s) => (within(place.absences, tick) ? [] : [s]));
  };
  return {
    name: city.name,
    timeZone: city.timeZone,
    stations: async (nowMs) => {
      const tick = newest(nowMs);
      const rows = places.map((place): Station => {
        const id = idOf(place, tick);
        const capacity = tick >= place.changedAt ? place.newCapacity : place.capacity;
        const { name, shortName, lat, lon, region } = place;
        return { id, legacyId: id, shortName, name, lat, lon, capacity, region };
      });
      return { updated: takenAt(tick), rows };
    },
    status: async (nowMs) => {
      const tick = newest(nowMs);
      return { updated: takenAt(tick), rows: present(tick).map((s) => stateOf(s, tick)) };
    },
    alerts: async (nowMs) => {
      const tick = newest(nowMs);
      const rows = places.flatMap((place, s) =>
        place.outages.flatMap(({ from, to }): Alert[] => {
          if (tick < from || tick >= to || to - from < 72) return [];
          const id = `${s}-${from}`;
          const summary = `${place.name} is closed`;
          return [
            {
              id,
              type: "STATION_CLOSURE",
              start: takenAt(from),
              end: takenAt(to),
              stations: [idOf(place, tick)],
              summary,
            },
          ];
        }),
      );
      return { updated: takenAt(tick), rows };
    },
    archive: async (month, nowMs) => {
      const [year, number] = month.split("-").map(Number) as [number, number];
      const [monthStart, monthEnd] = [Date.UTC(year, number - 1, 1), Date.UTC(year, number, 1)];
      const from = Math.max(0, Math.ceil(monthStart / TICK_MS) - startTick);
      const until = Math.min(monthEnd, Math.floor(nowMs / DAY_MS) * DAY_MS) / TICK_MS - startTick;
      if (until <= from) return null;
      return { version: `${month}-${until}`, bytes: () => parquet(from, until) };
    },
  };

  /** Snapshots of [from, until) in the columns of the recordings. */
  async function parquet(from: number, until: number): Promise<Uint8Array> {
    trips.ensure(until - 1);
    const folder = await mkdtemp(join(tmpdir(), "simulator-"));
    const names = places.flatMap((place) => [place.id, place.newId]);
    try {
      const file = join(folder, "month.parquet");
      await withDuck(async (connection) => {
        await connection.run("CREATE TABLE names (k INTEGER, station_id VARCHAR)");
        await connection.run(
          `INSERT INTO names VALUES ${names.map((name, k) => `(${k}, '${name}')`).join(", ")}`,
        );
        await connection.run(
          "CREATE TABLE rows (second INTEGER, k INTEGER, bikes INTEGER, ebikes INTEGER, docks INTEGER, broken INTEGER, dead INTEGER, works INTEGER, reported INTEGER)",
        );
        const appender = await connection.createAppender("rows");
        const types = Array.from({ length: 9 }, () => INTEGER);
        for (let tick = from; tick < until; tick++) {
          if (within(standstills, tick)) continue;
          const shown = present(tick);
          const chunk = DuckDBDataChunk.create(types, shown.length);
          const columns = types.map(
            (_, c) => chunk.getColumnVector(c) as unknown as { items: Int32Array; flush(): void },
          );
          const second = takenAt(tick);
          for (const [i, s] of shown.entries()) {
            const state = stateOf(s, tick);
            const k = 2 * s + Number(tick >= places[s]!.renamedAt);
            const values = [
              second,
              k,
              state.bikes,
              state.ebikes,
              state.docks,
              state.bikesDisabled,
              state.docksDisabled,
              Number(state.renting),
              state.reported,
            ];
            for (let c = 0; c < values.length; c++) columns[c]!.items[i] = values[c]!;
          }
          for (const column of columns) column.flush();
          appender.appendDataChunk(chunk);
        }
        appender.closeSync();
        await connection.run(
          `COPY (
             SELECT make_timestamp(CAST(second AS BIGINT) * 1000000) AS ts, station_id, CAST(bikes AS SMALLINT) AS bikes,
               CAST(ebikes AS SMALLINT) AS ebikes, CAST(docks AS SMALLINT) AS docks, CAST(broken AS SMALLINT) AS bikes_disabled,
               CAST(dead AS SMALLINT) AS docks_disabled, CAST(1 AS UTINYINT) AS is_installed, CAST(works AS UTINYINT) AS is_renting,
               CAST(works AS UTINYINT) AS is_returning, CAST(reported AS BIGINT) AS last_reported
             FROM rows JOIN names USING (k)
           ) TO '${file}' (FORMAT parquet)`,
        );
      });
      return await readFile(file);
    } finally {
      await rm(folder, { recursive: true });
    }
  }
}
