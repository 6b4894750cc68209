/**
 * The product's own forecasts beside what a user would otherwise take (mlforecast as its documentation sets it up,
 * AutoETS and MSTL of statsforecast, Prophet), on the same rows from the same data known at each origin.
 *
 *   npm run -s bench:forecast -- [--problems melbourne,paris,nyc] [--kind trees]
 *                                [--rivals mlforecast,AutoETS,MSTL,Prophet]
 *
 * Ours is of the kind that the target declares, or else a blend. Needs CITYSCALE_DATA and Python; the rivals' virtual
 * environment is made once, under .cityscale/bench-forecast (not in git), or taken from FORECAST_VENV. Ours forecasts
 * hours without weather, as the rivals do (the recorded weather is what was later observed); days with the weather as
 * issued. Rivals that fit each series at each origin would take hours: all are compared at origins 13 (Paris: 4) days
 * apart, which meet every weekday.
 * Exit code 1 where a rival's WAPE or RMSLE is not worse than ours.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { scores } from "@cityscale/forecast";
import { type ModelKindName, modelKinds, stuckSteps } from "../../packages/cityscale/src/domain/index.ts";
import type { Connection } from "../../packages/cityscale/src/lake/index.ts";
import { backtest, type JudgedRows } from "../../packages/cityscale/src/models/index.ts";
import { melbourneSensors, openRecorded, threads } from "./city.ts";
import { rivalPython, run, work } from "./python.ts";

interface Problem {
  readonly city: string;
  readonly from: string;
  readonly to: string;
  readonly every: string;
  readonly horizon: string;
  readonly weather: boolean;
  readonly entities?: readonly string[];
}

const problems: Readonly<Record<string, Problem>> = {
  melbourne: {
    city: "melbourne-pedestrians",
    from: "2016-01-01",
    to: "2016-06-30",
    every: "13d",
    horizon: "24h",
    weather: false,
    entities: melbourneSensors,
  },
  paris: {
    city: "paris-bikes",
    from: "2021-07-10",
    to: "2021-08-09",
    every: "4d",
    horizon: "24h",
    weather: false,
  },
  nyc: {
    city: "nyc-311",
    from: "2025-09-20",
    to: "2026-03-19",
    every: "13d",
    horizon: "14d",
    weather: true,
  },
};

const { values: options } = parseArgs({
  options: {
    problems: { type: "string", default: Object.keys(problems).join(",") },
    kind: { type: "string" },
    rivals: { type: "string", default: "mlforecast,AutoETS,MSTL,Prophet" },
  },
});

interface Line {
  readonly name: string;
  readonly wape: number;
  readonly rmsle: number;
  readonly seconds: number | null;
}

/** Index of the rows that are scored: those that the product's own tables are made of. */
const scoredRows = ({ set }: JudgedRows): number[] =>
  Array.from(set.target.keys()).filter(
    (i) => !Number.isNaN(set.target[i]!) && set.dead[i] !== 1 && !Number.isNaN(set.expectation[i]!),
  );

/** Every value with the time in which it was the one known, on the wall clock. */
const exportSeries = (connection: Connection, measure: string, stepMs: number, file: string) =>
  connection.run(`
    COPY (
      SELECT k.e AS unique_id, make_timestamp(s.key::BIGINT * ${stepMs} * 1000) AS ds, k.value AS y, k.known_from, k.known_to
      FROM (
        SELECT e, t, value, known_at AS known_from, 9000000000000000 AS known_to FROM observations WHERE measure = '${measure}'
        UNION ALL
        SELECT e, t, value, known_from, known_to FROM revisions WHERE measure = '${measure}'
      ) k JOIN steps s USING (t) WHERE s.fold = 0
    ) TO '${file}' (FORMAT PARQUET)`);

async function solve(
  name: string,
  problem: Problem,
  kind: ModelKindName | undefined,
  python: string,
): Promise<Line[]> {
  const { city, target, scratch } = await openRecorded(problem.city);
  const folder = join(work, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  let judged: JudgedRows | undefined;
  let seconds: number;
  try {
    using connection = await scratch.lake.connect();
    const began = performance.now();
    await backtest(connection, {
      ...problem,
      city,
      target,
      lagMs: 0,
      ...(kind ? { kind } : {}),
      threads,
      onForecasts: (rows) => {
        judged = rows;
      },
    });
    seconds = (performance.now() - began) / 1000;
    await exportSeries(connection, target.measure, city.stepMs, join(folder, "series.parquet"));
  } finally {
    await scratch.close();
  }
  const { set, forecasts } = judged!;
  const keep = scoredRows(judged!);
  const pick = (values: ArrayLike<number>) => Float64Array.from(keep, (i) => values[i]!);
  const naives = Object.keys(set.naive);
  const rows = keep.map((i) => {
    const first = set.step[i]! - set.lead[i]! + 1;
    const wall = (step: number) => new Date(city.grid.keyOf(step) * city.stepMs).toISOString().slice(0, 19);
    const key = [set.entity[i], city.grid.startOf(first), wall(first), wall(set.step[i]!), set.lead[i]];
    const values = [set.target[i], forecasts[0]!.point[i], ...naives.map((naive) => set.naive[naive]![i])];
    return [...key, ...values].join(",");
  });
  const header = ["unique_id", "origin_ms", "origin", "ds", "lead", "target", "ours", ...naives];
  writeFileSync(join(folder, "rows.csv"), `${[header.join(","), ...rows].join("\n")}\n`);
  const truth = pick(set.target);
  const line = (who: string, point: Float64Array, took: number | null): Line => ({
    name: who,
    wape: scores.wape(truth, point) ?? Number.NaN,
    rmsle: scores.rmsle(truth, point) ?? Number.NaN,
    seconds: took,
  });
  const expectation = pick(set.expectation);
  const lines = [line("ours", pick(forecasts[0]!.point), seconds)];
  for (const [naive, values] of Object.entries(set.naive)) {
    const point = pick(values).map((value, i) => (Number.isNaN(value) ? expectation[i]! : value));
    lines.push(line(naive, point, null));
  }
  const script = fileURLToPath(new URL("rivals.py", import.meta.url));
  const stuck = stuckSteps(city, target.measure);
  for (const rival of options.rivals.split(",")) {
    const args = [script, folder, rival, String(city.stepMs), String(threads), String(stuck)];
    const answer = JSON.parse(run(python, args)) as { seconds: number };
    const point = Float64Array.from(
      readFileSync(join(folder, `${rival}.csv`), "utf8")
        .trim()
        .split("\n")
        .slice(1),
      Number,
    );
    if (point.length !== keep.length || point.some(Number.isNaN))
      throw new Error(`${rival} did not answer every row`);
    lines.push(line(rival, point, answer.seconds));
  }
  console.log(`\n${name}: ${problem.city}, ${problem.from} to ${problem.to}, ${keep.length} rows`);
  console.log("                    WAPE   RMSLE  seconds");
  for (const { name: who, wape, rmsle, seconds: took } of lines.toSorted((a, b) => a.wape - b.wape)) {
    const cells = [`${(100 * wape).toFixed(2)} %`.padStart(8), rmsle.toFixed(4).padStart(7)];
    console.log(
      `  ${who.padEnd(14)} ${cells.join(" ")} ${(took === null ? "" : took.toFixed(0)).padStart(8)}`,
    );
  }
  return lines;
}

const kind = modelKinds.find((known) => known === options.kind);
if (options.kind !== undefined && kind === undefined)
  throw new Error(`--kind ${options.kind}: write one of ${modelKinds.join(", ")}`);
const python = rivalPython();
if (python === undefined) {
  console.log("there is no python3 here, so there is nothing to compare with");
  process.exit(1);
}
const behind: string[] = [];
const ratios: string[] = [];
for (const name of options.problems.split(",")) {
  const problem = problems[name];
  if (!problem) throw new Error(`--problems ${name}: write some of ${Object.keys(problems).join(",")}`);
  const [ours, ...others] = await solve(name, problem, kind, python);
  const rivals = others.filter((other) => options.rivals.split(",").includes(other.name));
  const best = (of: "wape" | "rmsle") => Math.min(...rivals.map((rival) => rival[of]));
  const ratio = (of: "wape" | "rmsle") => ours![of] / best(of);
  ratios.push(`${name} ${ratio("wape").toFixed(3)} and ${ratio("rmsle").toFixed(3)}`);
  if (!(ratio("wape") < 1 && ratio("rmsle") < 1)) behind.push(name);
}
console.log(
  `\nours over the best rival, WAPE and RMSLE: ${ratios.join("; ")} (limit 1)${behind.length > 0 ? `; MISSED: ${behind.join(", ")}` : ""}`,
);
process.exitCode = behind.length > 0 ? 1 : 0;
