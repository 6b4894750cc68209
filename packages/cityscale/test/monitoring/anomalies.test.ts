import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHttp } from "../../src/http/index.ts";
import { type Annotation, exportVersion, listAnnotations, openVersion } from "../../src/lake/index.ts";
import { findAnomalies, judgedAnomalies, qualityReport } from "../../src/monitoring/index.ts";
import { inProcess } from "../cli/support.ts";
import { dateAt, openTown, type Town } from "./requests.ts";

/** Days after the first recorded one: a half-loaded one, its completion, one to dismiss, one of twice as many, the first of a new level. */
const [half, whole, dismissed, odd, shifted, end] = [103, 106, 108, 111, 113, 119];

let town: Town;
const root = mkdtempSync(join(tmpdir(), "cityscale-anomalies-"));
beforeAll(async () => {
  town = await openTown(root, {
    halfLoaded: [
      { day: half, share: 0.45, wholeAfter: whole },
      { day: dismissed, share: 0.3, wholeAfter: end + 20 },
    ],
    change: (type, day) =>
      type === "Illegal Parking" && day === odd ? 2 : type === "HEAT/HOT WATER" && day >= shifted ? 0.5 : 1,
  });
  for (let day = 70; day < half; day++) await town.morningAfter(day);
}, 240_000);
afterAll(async () => {
  await town.close();
  rmSync(root, { recursive: true, force: true });
});

const annotations = (filter: { kind?: Annotation["kind"]; from?: number } = {}) =>
  town.runtime.lake.read((connection) =>
    listAnnotations(connection, { target: "requests", limit: 1000, ...filter }),
  );
const dateOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);
const told = (found: readonly Annotation[]) =>
  found.map(({ entity, fromAt }) => `${entity} ${dateOf(fromAt)}`).sort();
const series = ["All", "HEAT/HOT WATER", "Illegal Parking"];
const days = (day: number) => series.map((entity) => `${entity} ${dateAt(day)}`);
/** What an origin sees of a day, by series. */
const seen = (day: number, origin: number) =>
  town.runtime.lake.read(async (connection) => {
    const rows = await connection.rows<{ value: number | null }>(
      `SELECT x.value FROM (
         SELECT e, t, value FROM observations WHERE known_at <= ${origin}
         UNION ALL SELECT e, t, value FROM revisions WHERE known_from <= ${origin} AND known_to > ${origin}
       ) x JOIN entities n USING (e) JOIN steps s USING (t)
       WHERE strftime(make_timestamp(s.start_at * 1000), '%Y-%m-%d') = '${dateAt(day)}' ORDER BY n.entity`,
    );
    return rows.map(({ value }) => value);
  });

test("on ordinary days hardly anything is annotated, and nothing is held back", async () => {
  expect(await annotations({ kind: "half-loaded" })).toEqual([]);
  expect((await annotations()).length).toBeLessThan(5);
});

test("a half-loaded day is annotated in the morning, hidden from then on, trained on by nobody", async () => {
  await town.morningAfter(half);
  const found = await annotations({ kind: "half-loaded" });
  expect(told(found)).toEqual(days(half));
  for (const { value, expected, score, knownTo, knownAt } of found) {
    expect(value! / expected!).toBeLessThan(0.6);
    expect(score).toBeLessThan(-4);
    expect([knownTo, knownAt]).toEqual([null, town.clock.now()]);
  }
  const now = town.clock.now();
  expect(await seen(half, now)).toEqual([null, null, null]);
  expect(await seen(half, now - 1)).not.toContain(null);
  const { runtime, target } = town;
  // Features read what it was judged by.
  const standIns = await runtime.lake.read((connection) =>
    connection.rows<{ entity: string; stand_in: number }>(
      "SELECT n.entity, o.stand_in FROM observations o JOIN entities n USING (e) WHERE o.stand_in IS NOT NULL ORDER BY 1",
    ),
  );
  expect(standIns).toEqual(
    found
      .toSorted((a, b) => (a.entity < b.entity ? -1 : 1))
      .map(({ entity, expected }) => ({ entity, stand_in: expected })),
  );
  expect((await qualityReport(runtime.lake, runtime.city, runtime.parts.lagMs, now)).problems).toContainEqual(
    expect.stringMatching(/3 day\(s\) of the last two weeks look half loaded/),
  );
  const version = await exportVersion(runtime.lake, join(root, "versions"), now);
  const opened = await openVersion(version.folder, {
    memoryMb: 200,
    threads: 1,
    temporary: join(root, "tmp"),
  });
  const known = await opened.connection.first<{ n: number }>(
    "SELECT count(value) AS n FROM observations WHERE t = (SELECT max(t) FROM observations)",
  );
  opened.close();
  expect(known).toEqual({ n: 0 });
  // No live score either: what was forecast was not wrong.
  const scored = await runtime.lake.read((connection) =>
    connection.rows(
      "SELECT * FROM live_scores WHERE day = (SELECT max(s.day) FROM observations o JOIN steps s USING (t))",
    ),
  );
  expect(scored).toEqual([]);
  // Judged again it is the same statement.
  expect(await findAnomalies(runtime.lake, runtime.city, target, town.clock)).toMatchObject({
    judged: 0,
    found: [],
  });
  expect(told(await annotations({ kind: "half-loaded" }))).toEqual(days(half));
});

test("when the publisher completes the day its annotation ends, and later origins see the whole", async () => {
  const hidden = town.clock.now();
  for (let day = half + 1; day < whole; day++) await town.morningAfter(day);
  expect(await seen(half, town.clock.now())).toEqual(await seen(half, hidden));
  await town.morningAfter(whole);
  const found = (await annotations({ kind: "half-loaded" })).filter(
    ({ fromAt }) => dateOf(fromAt) === dateAt(half),
  );
  expect(found.map(({ knownTo }) => knownTo)).toEqual(Array(3).fill(town.clock.now()));
  const values = await seen(half, town.clock.now());
  for (const [i, { value }] of found.toSorted((a, b) => (a.entity < b.entity ? -1 : 1)).entries())
    expect(values[i]! / value!).toBeCloseTo(1 / 0.45, 1);
  expect(await seen(half, hidden)).toEqual([null, null, null]);
});

/** Those that are held back on the day to dismiss. */
const heldBack = async () =>
  (await annotations({ kind: "half-loaded" }))
    .filter(({ fromAt, knownTo }) => dateOf(fromAt) === dateAt(dismissed) && knownTo === null)
    .map(({ entity }) => entity)
    .sort();

test("a day is dismissed over HTTP: origins from then on see it, and it is not found again", async () => {
  for (let day = whole + 1; day <= dismissed; day++) await town.morningAfter(day);
  expect(await heldBack()).toEqual(series);
  const found = town.clock.now();
  expect(await seen(dismissed, found)).toEqual([null, null, null]);
  const http = await createHttp(town.app);
  const address = await http.listen({ port: 0, host: "127.0.0.1" });
  const dismiss = async (body: Record<string, unknown>) => {
    const answer = await fetch(`${address}/v1/cities/requests/anomalies/dismiss`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${town.app.owner.record.token}`,
        "content-type": "application/json",
      },
      body: JSON.stringify(body),
    });
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  };
  const codeOf = async (body: Record<string, unknown>) => {
    const { status, json } = await dismiss(body);
    return [status, (json["error"] as { code: string }).code];
  };
  const date = dateAt(dismissed);
  const reason = "counted by hand";
  const open = async () => {
    const text = await (await fetch(`${address}/metrics`)).text();
    return /^cityscale_open_anomalies\{[^}]*kind="half-loaded"[^}]*\} (\d+)$/m.exec(text)?.[1];
  };
  try {
    expect(await open()).toBe("3");
    expect(await codeOf({ date })).toEqual([400, "REQUEST_INVALID"]);
    expect(await codeOf({ date: "2025-02-30", reason })).toEqual([400, "REQUEST_INVALID"]);
    expect(await codeOf({ date, reason, entity: "Noise" })).toEqual([404, "ENTITY_UNKNOWN"]);
    expect(await codeOf({ date: dateAt(whole), reason, entity: "Illegal Parking" })).toEqual([
      409,
      "CONFLICT",
    ]);
    const [all, heat, parking] = series;
    town.clock.set(found + 60_000);
    expect(await dismiss({ date, reason, entity: heat })).toEqual({
      status: 200,
      json: {
        city: "requests",
        target: "requests",
        date,
        entities: [heat],
        knownTo: new Date(found + 60_000).toISOString(),
      },
    });
    expect(await codeOf({ date, reason, entity: heat })).toEqual([409, "CONFLICT"]);
    expect(await heldBack()).toEqual([all, parking]);
    // At once, though no outcomes have come since.
    expect(await open()).toBe("2");
    const after = await seen(dismissed, town.clock.now());
    expect(after.map((value) => value === null)).toEqual([true, false, true]);
    expect(await seen(dismissed, found)).toEqual([null, null, null]);
  } finally {
    await http.close();
  }
  const [entry] = await town.app.audit.list({ limit: 1 });
  expect(entry).toMatchObject({
    action: "anomaly.dismiss",
    subject: `requests/requests/${date}`,
    details: { reason, entities: ["HEAT/HOT WATER"] },
  });
  const { runtime, target, clock } = town;
  expect(await findAnomalies(runtime.lake, runtime.city, target, clock)).toMatchObject({ found: [] });
  await town.morningAfter(dismissed + 1);
  expect(await heldBack()).toEqual(["All", "Illegal Parking"]);
  // It is an outcome now.
  const scored = await runtime.lake.read((connection) =>
    connection.rows(
      `SELECT * FROM live_scores WHERE day = (SELECT max(day) FROM steps WHERE strftime(make_timestamp(start_at * 1000), '%Y-%m-%d') = '${date}')`,
    ),
  );
  expect(scored).not.toEqual([]);
});

test("a single odd day is an anomaly, a lasting change a level shift whose days are held back no more", async () => {
  for (let day = dismissed + 2; day <= end; day++) await town.morningAfter(day);
  const from = Date.parse(dateAt(odd));
  const singles = told(
    (await annotations({ kind: "anomaly", from })).filter(({ entity }) => entity !== "All"),
  );
  expect(singles).toContain(`Illegal Parking ${dateAt(odd)}`);
  const shifts = (await annotations({ kind: "level-shift", from })).filter(({ entity }) => entity !== "All");
  expect(shifts.map(({ entity }) => entity)).toEqual(["HEAT/HOT WATER"]);
  // An ordinary day before it may lie on the same side by chance.
  expect([dateAt(shifted - 1), dateAt(shifted)]).toContain(dateOf(shifts[0]!.fromAt));
  expect(shifts[0]).toMatchObject({ untilAt: null, knownTo: null });
  expect(shifts[0]!.score).toBeCloseTo(Math.log(0.5), 0);
  // Until it was clear, its days were held back; since then they are how it is.
  const held = (await annotations({ kind: "half-loaded", from })).filter(({ entity }) => entity !== "All");
  expect(held.length).toBeGreaterThan(2);
  expect(new Set(held.map(({ knownTo }) => knownTo))).toEqual(new Set([shifts[0]!.knownAt]));
  for (let day = shifted; day <= end; day++) expect((await seen(day, town.clock.now()))[1]).not.toBeNull();
  expect(await seen(shifted, shifts[0]!.knownAt - 1)).toContain(null);
});

test("every declared detector judges the same days anew, and stores nothing", async () => {
  const before = (await annotations()).length;
  const { runtime, target, clock } = town;
  for (const [detector, threshold] of [
    ["residual", 3.2],
    ["weekday-mad", 3.2],
    ["z-score", 3],
    ["interval", 1],
  ] as const) {
    const rule = { detector, threshold, faultThreshold: null };
    const { anomalies, days } = await runtime.lake.read((connection) =>
      judgedAnomalies(
        connection,
        runtime.city,
        { ...target, anomalies: rule },
        {
          fromDay: Math.floor(Date.parse(dateAt(odd)) / 86_400_000),
          toDay: Math.floor(Date.parse(dateAt(odd)) / 86_400_000),
          now: clock.now(),
        },
      ),
    );
    expect(days).toBe(3);
    expect(told(anomalies)).toContain(`Illegal Parking ${dateAt(odd)}`);
    expect(anomalies.every(({ author }) => author === detector)).toBe(true);
  }
  expect((await annotations()).length).toBe(before);
});

test("are answered over HTTP, by kind, entity and period, and judged anew by a detector", async () => {
  const http = await createHttp(town.app);
  const get = async (query: string) => {
    const response = await http.inject({
      method: "GET",
      url: `/v1/cities/requests/anomalies?${query}`,
      headers: { authorization: `Bearer ${town.app.owner.record.token}` },
    });
    return response.json<{ detector: string; anomalies: Record<string, unknown>[] }>();
  };
  const { anomalies } = await get(`kind=half-loaded&entity=All&from=${dateAt(half)}&to=${dateAt(half)}`);
  expect(anomalies).toMatchObject([
    { kind: "half-loaded", entity: "All", fromDate: dateAt(half), toDate: dateAt(half), author: "residual" },
  ]);
  const anew = await get(
    `detector=weekday-mad&entity=Illegal%20Parking&from=${dateAt(odd)}&to=${dateAt(odd)}`,
  );
  expect(anew).toMatchObject({
    detector: "weekday-mad",
    anomalies: [{ kind: "anomaly", fromDate: dateAt(odd) }],
  });
  expect(await get("detector=guess")).toMatchObject({ error: { code: "REQUEST_INVALID" } });
  await http.close();
});

test("are shown by `cityscale anomalies`, from the data folder alone", async () => {
  await town.app.stop();
  const shown = await inProcess("anomalies", "requests", "--home", town.home, "--from", dateAt(shifted - 1));
  expect(shown.code, shown.err).toBe(0);
  expect(shown.out).toMatch(/HEAT\/HOT WATER +level-shift/);
  const json = await inProcess(
    "anomalies",
    "--home",
    town.home,
    "--to",
    dateAt(half),
    "--from",
    dateAt(half),
    "--json",
  );
  const { anomalies } = JSON.parse(json.out) as { anomalies: { kind: string }[] };
  expect(anomalies.filter(({ kind }) => kind === "half-loaded").length).toBe(3);
  expect((await inProcess("anomalies", "requests", "--home", town.home, "--detector", "guess")).code).toBe(2);
  expect((await inProcess("anomalies", "requests", "--data", town.home)).code).toBe(2);
  const ofDay = ["--from", dateAt(dismissed), "--to", dateAt(dismissed)];
  const dismissal = ["dismiss", dateAt(dismissed), "--home", town.home];
  expect((await inProcess(...dismissal)).code).toBe(2);
  expect((await inProcess("dismiss", "2025-02-30", "--home", town.home, "--reason", "x")).code).toBe(2);
  const done = await inProcess(...dismissal, "--reason", "all of it is there", "--json");
  expect(done.code, done.err).toBe(0);
  expect(JSON.parse(done.out)).toMatchObject({ entities: ["All", "Illegal Parking"] });
  const again = await inProcess(...dismissal, "--reason", "all of it is there");
  expect(again.code).not.toBe(0);
  expect(again.err).toMatch(/no half-loaded .* is held back/);
  const listed = await inProcess("anomalies", "--home", town.home, ...ofDay, "--json");
  const stands = (JSON.parse(listed.out) as { anomalies: { kind: string; knownTo: string | null }[] })
    .anomalies;
  expect(stands.filter(({ kind, knownTo }) => kind === "half-loaded" && knownTo === null)).toEqual([]);
});
