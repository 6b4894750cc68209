/**
 * Suggested moves replayed over Bay Wheels' April 2023, every hour, against what happened when nothing was moved: of
 * the ten stations named, how many ran out within two hours; and how many of the partners would have run short for
 * having helped. Rival: naming the ten with the lowest counts.
 *
 *   npm run -s bench:stock-out-moves -- [--from 2023-04-01] [--to 2023-04-30]
 *
 * Needs CITYSCALE_DATA. Six models are trained on the 60 days before, and calibrated every day. Exit code 1 where more
 * than 10 % of the partners ran short.
 */
import { parseArgs } from "node:util";
import { dayOfDate, startOfLocalDay } from "../../packages/cityscale/src/domain/index.ts";
import { LevelHistory, publicHolidays, readLevels } from "../../packages/cityscale/src/features/index.ts";
import {
  calibratedForecasts,
  fitStockOuts,
  forecastStockOuts,
  levelTargetOf,
  outlooksOf,
  type StockOutForecasts,
  suggestMoves,
} from "../../packages/cityscale/src/models/index.ts";
import { openRecorded, threads } from "./city.ts";

const { values: options } = parseArgs({
  options: { from: { type: "string", default: "2023-04-01" }, to: { type: "string", default: "2023-04-30" } },
});
const top = 10;
const below = 3;
const leads = ["30", "60", "120"] as const;
const dayMs = 86_400_000;

/** A line for whoever waits, at each tenth of a step, with the seconds since the start. */
const began = performance.now();
let told = "";
const progress = (step: string, share: number) => {
  const text = `${step}: ${10 * Math.floor(10 * share)} %`;
  if (text === told) return;
  told = text;
  console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}`);
};

progress("reading the recordings", 0);
const { city, scratch } = await openRecorded("bay-wheels");
const begin = startOfLocalDay(city.timeZone, dayOfDate(options.from));
const end = startOfLocalDay(city.timeZone, dayOfDate(options.to) + 1);
using connection = await scratch.lake.connect();
progress("reading snapshots", 0);
const levels = await readLevels(connection, { knownBy: end });
const history = new LevelHistory(levels, city.timeZone, await publicHolidays(connection));
await scratch.close();
const origins = Float64Array.from(
  { length: Math.floor((end - begin) / 3_600_000) },
  (_, i) => begin + i * 3_600_000,
);

const forecasts: Record<"bikes" | "docks", StockOutForecasts[]> = { bikes: [], docks: [] };
for (const measure of ["bikes", "docks"] as const) {
  for (const lead of leads) {
    const target = levelTargetOf(city.targets[`${measure}-out-${lead}`]!);
    const name = `${measure} ${lead} min`;
    const { model, heldOut } = await fitStockOuts(history, target, {
      ...{ from: begin - 60 * dayMs, until: begin, calibrateFrom: begin - 28 * dayMs, seed: 1, threads },
      onProgress: (_, share) => progress(`${name}, training`, share),
    });
    const own = await forecastStockOuts(history, target, model.uncalibrated(), origins, (share) =>
      progress(`${name}, forecasting`, share),
    );
    const daily = { begin, end, every: dayMs };
    forecasts[measure].push(calibratedForecasts(own, model, heldOut, daily).forecasts);
  }
}

const width = levels.stations.length;
const places = new Map(levels.stations.map(({ entity }, s) => [entity, s]));
const outcomes = {
  bikes: history.outcomes(forecasts.bikes[2]!.target, origins),
  docks: history.outcomes(forecasts.docks[2]!.target, origins),
};
/** The lowest count of the next two hours; -1 where it is not known. */
const lowest = (measure: "bikes" | "docks", i: number, s: number) => outcomes[measure].lowest[i * width + s]!;

const named = { n: 0, hits: 0 };
const naive = { n: 0, hits: 0 };
const moves = { n: 0, bikes: 0 };
const partners = { n: 0, short: 0, anyway: 0 };
for (let i = 0; i < origins.length; i++) {
  progress("replaying moves", i / origins.length);
  const outlooks = outlooksOf(history, forecasts, i);
  for (const move of suggestMoves(outlooks, { top, below })) {
    const came = lowest(move.measure, i, places.get(move.station)!);
    if (came >= 0) {
      named.n++;
      if (came < below) named.hits++;
    }
    if (move.partner === null) continue;
    moves.n++;
    moves.bikes += Math.abs(move.bikes);
    const left = lowest(move.measure, i, places.get(move.partner)!);
    if (left < 0) continue;
    partners.n++;
    if (left - Math.abs(move.bikes) < below) partners.short++;
    if (left < below) partners.anyway++;
  }
  const lowestNow = (["bikes", "docks"] as const)
    .flatMap((measure) =>
      levels.stations.map((_, s) => ({ measure, s, count: forecasts[measure][2]!.count[i * width + s]! })),
    )
    .filter(({ count }) => count >= below)
    .sort((a, b) => a.count - b.count)
    .slice(0, top);
  for (const { measure, s } of lowestNow) {
    const came = lowest(measure, i, s);
    if (came < 0) continue;
    naive.n++;
    if (came < below) naive.hits++;
  }
}
const share = (hits: number, n: number) => `${((100 * hits) / n).toFixed(1)} %`;
console.log(
  `${origins.length} hours from ${options.from} to ${options.to}, the ${top} stations named in each, none short yet`,
);
console.log(`ran out within two hours, by urgency      ${share(named.hits, named.n)} of ${named.n}`);
console.log(`ran out within two hours, by lowest count ${share(naive.hits, naive.n)} of ${naive.n}`);
console.log(
  `with a partner near                       ${moves.n}, ${(moves.bikes / moves.n).toFixed(1)} bikes each`,
);
console.log(
  `partners short within two hours           ${share(partners.short, partners.n)} of ${partners.n} (${share(partners.anyway, partners.n)} without having helped; limit 10 %)`,
);
process.exitCode = partners.short > 0.1 * partners.n ? 1 : 0;
