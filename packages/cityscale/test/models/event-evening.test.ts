import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startSimulator } from "@cityscale/simulator";
import { expect, test } from "vitest";
import sydney from "../../../../cities/sydney-pedestrians.ts";
import { generateCity } from "../../../simulator/src/generate/city.ts";
import type { GenerativeCity } from "../../../simulator/src/generate/parameters.ts";
import { createSources } from "../../src/app/city-runtime.ts";
import { createManualClock, silentLog } from "../../src/core/index.ts";
import { localDay, parseDuration } from "../../src/domain/index.ts";
import { buildFeatures, createView } from "../../src/features/index.ts";
import { Lake } from "../../src/lake/index.ts";
import { explain, fitForecaster } from "../../src/models/forecaster.ts";
import { declaredEffort } from "../../src/models/kinds.ts";
import { learningSet } from "../../src/models/learning-set.ts";
import {
  calibrationStart,
  firstTrainingDay,
  leadsOf,
  originsBefore,
  scheduledOrigins,
} from "../../src/models/origins.ts";
import { pickRows } from "../../src/serving/rows.ts";
import { dayMs, hourMs } from "../lake/support.ts";

/** Generated cities with other places, levels and events; each run looks at one of them. */
const cities: readonly { readonly seed: number; readonly spec: Omit<GenerativeCity, "id"> }[] = [
  { seed: 2, spec: {} },
  { seed: 7, spec: { eventStrength: 2, eventsPerYear: { stadium: 90 } } },
  { seed: 13, spec: { eventStrength: 0.7, entities: 16 } },
  { seed: 21, spec: { entities: 16, eventsPerYear: { stadium: 0, concert: 150, festival: 0 } } },
  { seed: 34, spec: { baseLevel: 250, eventsPerYear: { stadium: 0, concert: 0, festival: 60 } } },
];
const now = Date.parse("2026-03-10T04:30:00Z");

async function openGenerated(seed: number, spec: GenerativeCity) {
  const clock = createManualClock(now);
  const simulator = await startSimulator({ clock: clock.spec, seed, city: spec });
  const [other] = Object.values(simulator.sources);
  const addresses = Object.fromEntries(
    Object.keys(sydney.sources).map((name) => [name, simulator.sources[name] ?? other!]),
  );
  const { sources, lagMs } = createSources(sydney, { clock, log: silentLog, addresses });
  const path = join(mkdtempSync(join(tmpdir(), "cityscale-events-")), "lake.duckdb");
  const options = { city: sydney, path, clock, log: silentLog, memoryMb: 700, threads: 2, lagMs };
  const lake = await Lake.open(options);
  for (const [name, source] of sources) {
    const poll = await lake.beginPoll(name);
    const request = { cursor: null, from: now - 500 * dayMs, to: now, mode: "incremental" as const };
    for await (const page of source.read({ ...request, signal: new AbortController().signal }))
      await lake.append(name, poll, page);
    await lake.endPoll(name, null);
  }
  await lake.merge();
  await lake.extendSteps(now, now + 3 * dayMs);
  await simulator.close();
  const close = async () => {
    await lake.close();
    rmSync(dirname(path), { recursive: true, force: true });
  };
  return { lake, close, lagMs: lagMs.get("counts")! };
}

const drawn = cities[Math.floor(Math.random() * cities.length)]!;

test(`the excess of an event evening is the event's (seed ${drawn.seed})`, async () => {
  const spec = {
    id: "sydney-pedestrians",
    entities: 12,
    years: 1.1,
    ...drawn.spec,
    opens: 0,
    moves: 0,
    retires: 0,
  };
  const { lake, close, lagMs } = await openGenerated(drawn.seed, spec);
  const truth = generateCity(drawn.seed, spec, now);
  const declared = sydney.targets["pedestrians"]!;
  const target = { ...declared, training: { ...declared.training, maxRows: 110_000, trees: 120 } };
  const view = createView(sydney, target, lagMs);
  try {
    using connection = await lake.connect();
    const cut = now - 45 * dayMs;
    const firstAt = truth.city.startMs;
    const all = originsBefore(scheduledOrigins(sydney, target, firstAt, now), cut);
    const first = all.at.findIndex((at) => at >= firstTrainingDay(sydney, view, firstAt) * dayMs);
    const trainable = { at: all.at.slice(first), leads: all.leads.slice(first) };
    const effort = declaredEffort(target);
    const request = { lagMs, weather: "issued-or-observed" as const, path: "fast" as const };
    const learning = { city: sydney, view, request, trainable, cut, effort };
    const { set, origins } = await learningSet(connection, learning);
    const model = await fitForecaster(set, {
      target,
      originAt: origins.at,
      kind: "trees",
      effort,
      calibrateFrom: calibrationStart(origins, cut, parseDuration(effort.calibrationWindow)),
      intervals: false,
      threads: 2,
    });
    // What each day's origin before noon says of its afternoon and evening.
    const at = Array.from(
      { length: 44 },
      (_, day) => Math.floor(cut / dayMs) * dayMs + day * dayMs + 0.3 * hourMs,
    );
    const asked = await buildFeatures(connection, sydney, view, {
      ...request,
      origins: Float64Array.from(at),
      leads: Int32Array.from(at, (origin) => leadsOf(sydney, origin, target.horizon)),
      onlyWithTarget: false,
    });
    const columns = asked.columns.filter((_, j) => view.parts[j] === "events");
    const isKnown = (i: number) => columns.some((column) => !Number.isNaN(column[i]!));
    const names = await connection.rows<{ e: number; entity: string }>("SELECT e, entity FROM entities");
    const placeOf = new Map(
      names.map(({ e, entity }) => [e, truth.places.findIndex(({ id }) => id === entity)]),
    );
    const people = new Float64Array(truth.places.length);
    /** How many of those at events are counted: what the simulator added to the count. */
    const excessOf = (i: number) => {
      const startAt = sydney.grid.startOf(asked.step[i]!);
      const day = localDay(sydney.timeZone, startAt);
      people.fill(0);
      for (const event of truth.events.between(day - 1, day))
        truth.events.addPeople(event, startAt, truth.places, people);
      return people[placeOf.get(asked.entity[i]!)!]!;
    };
    const every = Array.from({ length: asked.rows }, (_, i) => i);
    const crowded = every.filter(
      (i) => isKnown(i) && excessOf(i) >= Math.max(60, 0.4 * asked.expectation[i]!),
    );
    expect(crowded.length).toBeGreaterThan(20);
    const told = explain(model, pickRows(asked, Int32Array.from(crowded)));
    const partOf = (name: string) => told.parts.find(({ part }) => part === name)!.contribution;
    const sum = (values: Iterable<number>) => Array.from(values).reduce((total, value) => total + value, 0);
    for (const [k, point] of told.point.entries()) {
      const parts = told.parts.map(({ contribution }) => contribution[k]!);
      expect(told.start[k]! + sum(parts)).toBeCloseTo(point, 6);
    }
    const largest = crowded.filter((_, k) =>
      told.parts.every(({ contribution }) => Math.abs(contribution[k]!) <= partOf("events")[k]!),
    );
    expect(largest.length / crowded.length).toBeGreaterThan(0.8);
    const excess = sum(told.point) - sum(told.start);
    const share = sum(partOf("events")) / excess;
    expect(share).toBeGreaterThan(0.6);
    expect(share).toBeLessThan(1.3);
    // And it is forecast: the event's part is of the size of the crowd.
    expect(sum(partOf("events")) / sum(crowded.map(excessOf))).toBeGreaterThan(0.25);
    const ordinary = every.filter((i) => !isKnown(i)).slice(0, 200);
    const quiet = explain(model, pickRows(asked, Int32Array.from(ordinary)));
    const none = quiet.parts.find(({ part }) => part === "events")!.contribution;
    expect(new Set(none)).toEqual(new Set([0]));
  } finally {
    await close();
  }
}, 240_000);
