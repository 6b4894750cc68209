import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const TOTAL = "TOTAL of the 14 listed types";
const BOROUGHS = ["BRONX", "BROOKLYN", "STATEN ISLAND"];

export interface NewYork {
  root: string;
  /** Recorded counts by "type date"; "All" and the total of fourteen are types, elevators are "elevator/BOROUGH". */
  counts: Map<string, number>;
  remove: () => Promise<void>;
}

/**
 * A folder of recordings in the form of New York's: 40 days from 2025-10-10 on, across the end of summer time. Heat
 * complaints are missing on 2025-10-20; 2025-10-25 has a total smaller than its types.
 */
export async function makeNewYork(): Promise<NewYork> {
  const root = await mkdtemp(join(tmpdir(), "new-york-"));
  await mkdir(join(root, "nyc311"));
  await mkdir(join(root, "nyc-weather"));
  const counts = new Map<string, number>();
  const first = Date.parse("2025-10-10T00:00:00Z");
  const totals = ["date,count"];
  const types = ["date,complaint_type,count"];
  const raw = ["unique_key,created_date,closed_date,complaint_type,status,borough"];
  for (let d = 0; d < 40; d++) {
    const date = new Date(first + d * DAY).toISOString().slice(0, 10);
    const of = (type: string, count: number) => {
      types.push(`${date},${type},${count}`);
      counts.set(`${type} ${date}`, count);
    };
    let fourteen = 90 + d;
    if (date !== "2025-10-20") {
      of("HEAT/HOT WATER", 100 + 10 * d);
      fourteen += 100 + 10 * d;
    }
    of("Illegal Parking", 300 + (d % 7));
    // A type that some days have none of.
    if (d % 5 !== 3) of("Air Quality", 1 + (d % 3));
    fourteen += 300 + (d % 7) + (d % 5 === 3 ? 0 : 1 + (d % 3));
    of(TOTAL, fourteen);
    let elevators = 0;
    for (const [b, borough] of BOROUGHS.entries()) {
      // One borough has a complaint every fourth day only.
      const count = b === 2 ? (d % 4 === 0 ? 1 : 0) : 3 + ((d + b) % 3);
      for (let i = 0; i < count; i++) {
        const closed = new Date(first + (d + 1 + ((d + i) % 9)) * DAY).toISOString().slice(0, 10);
        raw.push(
          `${70_000_000 + d * 100 + b * 20 + i},${date} ${String(6 + i).padStart(2, "0")}:15:00,${closed} 12:00:00,elevator,Closed,${borough}`,
        );
      }
      if (count > 0) counts.set(`elevator/${borough} ${date}`, count);
      elevators += count;
    }
    const all = date === "2025-10-25" ? 77 : fourteen + elevators + 500;
    totals.push(`${date},${all}`);
    counts.set(`All ${date}`, all);
  }
  await writeFile(join(root, "nyc311", "daily_total.csv"), `${totals.join("\n")}\n`);
  await writeFile(join(root, "nyc311", "daily_by_type.csv"), `${types.join("\n")}\n`);
  await writeFile(join(root, "nyc311", "raw_rows_elevator.csv"), `${raw.join("\n")}\n`);
  const columns =
    "temperature_2m,relativehumidity_2m,dewpoint_2m,apparent_temperature,precipitation_probability,rain,showers,snowfall,cloudcover,windspeed_10m,winddirection_10m,windgusts_10m";
  const weather = [`time_utc,${columns}`];
  const forecasts = [`issued_at_utc,committed_at_utc,valid_at_utc,lead_h,${columns}`];
  const iso = (ms: number) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
  for (let h = 0; h < 40 * 24; h++) {
    weather.push(`${iso(first + h * HOUR)},50,60,40,48,0,0.1,0,0,25,10,180,20`);
  }
  for (let d = 0; d < 40; d++) {
    const issued = first + d * DAY + 10 * HOUR;
    // The second day's was committed two days late.
    const committed = issued + (d === 1 ? 2 * DAY : HOUR / 2);
    for (let lead = 0; lead < 72; lead++) {
      // The temperature tells the day of issue: 32 F and two for each day.
      forecasts.push(
        `${iso(issued)},${iso(committed)},${iso(issued + lead * HOUR)},${lead},${32 + 1.8 * d},60,40,48,0,0,0,0.7,25,10,180,20`,
      );
    }
  }
  await writeFile(join(root, "nyc-weather", "weather_hourly.csv"), `${weather.join("\n")}\n`);
  await writeFile(join(root, "nyc-weather", "forecasts_daily.csv"), `${forecasts.join("\n")}\n`);
  return { root, counts, remove: () => rm(root, { recursive: true }) };
}
