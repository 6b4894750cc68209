import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { guessTime } from "../../src/cli/city-new/time-guess.ts";
import { inProcess, madeCounts, run, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
afterAll(() => folder.remove());
const file = (name: string, text: string) => {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
};

describe("the format of times", () => {
  test.each([
    [["2021-07-01T00:00:00Z", "2021-07-13 05:00:00+02:00"], { format: undefined, hasOffset: true }],
    [["2021-07-01 00:00", "2021-07-13 05:00"], { format: undefined, hasOffset: false }],
    [["01/07/2021 00:00", "13/07/2021 05:00"], { format: "%d/%m/%Y %H:%M", hasOffset: false }],
    [["07/01/2021 12:00 AM", "07/13/2021 05:00 PM"], { format: "%m/%d/%Y %I:%M %p", hasOffset: false }],
    [["1.7.2021 0:00:00", "13.7.2021 5:00:00"], { format: "%d.%m.%Y %H:%M:%S", hasOffset: false }],
    [["2021/07/01 00:00", "2021/07/13 05:00"], { format: "%Y/%m/%d %H:%M", hasOffset: false }],
    [["1 Jul 2021 00:00", "13 Aug 2021 05:00"], { format: "%d %b %Y %H:%M", hasOffset: false }],
    [["July 01, 2021 12:00:00 AM"], { format: "%b %d, %Y %I:%M:%S %p", hasOffset: false }],
    [["01/07/2021 00:00 +0200", "31/07/2021 00:00 +0200"], { format: "%d/%m/%Y %H:%M %z", hasOffset: true }],
    [["01/07/2021 00:00", "02/07/2021 05:00"], "ambiguous"],
    [["13/07/2021 00:00", "07/13/2021 00:00"], null],
    [["14", "15"], null],
    [["Main Street", "2021-07-01"], null],
  ])("%j", (texts, answer) => {
    expect(guessTime(texts)).toEqual(answer);
  });
});

describe("a city from a CSV", () => {
  const zoned = (at: number) => {
    const parts = new Intl.DateTimeFormat("en-GB", {
      timeZone: "Europe/Berlin",
      dateStyle: "short",
      timeStyle: "short",
    }).formatToParts(at);
    const part = (type: string) => parts.find((one) => one.type === type)!.value;
    return `${part("day")}/${part("month")}/${part("year")} ${part("hour")}:${part("minute")}`;
  };
  // Ends on a day on which the clocks do not change.
  const counts = [...madeCounts(3, Date.UTC(2024, 0, 1), 24 * 150)];
  const csv = () =>
    file(
      "zählung.csv",
      `\ufeffStraße;Beginn;Passanten;Temperatur\r\n${counts.map(({ counter, at, count }) => `"Weg; ${counter}";${zoned(at)};${count};12.5\r\n`).join("")}kaputt;31/02/2024 25:00;x;1\r\n`,
    );

  test("odd column names, semicolons and day-first dates reach judged forecasts in two commands", async () => {
    const home = join(folder.path, "home");
    const flags = [
      "--time-zone",
      "Europe/Berlin",
      "--lat",
      "52.5",
      "--lon",
      "-13.4",
      "--country",
      "DE",
      "--no-weather",
      "--home",
      home,
      "--json",
    ];
    const declared = await inProcess(
      "city",
      "new",
      "my-city",
      "--csv",
      csv(),
      "--time-column",
      "Beginn",
      "--time-format",
      "%d/%m/%Y %H:%M",
      ...flags,
    );
    expect(declared.err).toBe("");
    const report = JSON.parse(declared.out) as { clock: string; next: string; file: string };
    expect(report).toMatchObject({
      found: {
        delimiter: ";",
        time: "Beginn",
        timeFormat: "%d/%m/%Y %H:%M",
        timeIs: "local",
        entity: "Straße",
        value: "Passanten",
        step: "1h",
      },
      read: {
        entities: 3,
        from: "2024-01-01T00:00:00.000Z",
        to: "2024-05-30T00:00:00.000Z",
        rejected: [
          { reason: "bad-date", rows: 1 },
          { reason: "bad-number", rows: 1 },
        ],
      },
      clock: "2024-05-30T00:00:00Z",
    });
    // Small and quick: what is tested is the way, not the accuracy.
    const declaration = JSON.parse(readFileSync(report.file, "utf8")) as { targets: { counts: object } };
    declaration.targets.counts = {
      horizon: "3h",
      training: { trees: 10, maxRows: 3000, testWindow: "14d", calibrationWindow: "14d" },
      gates: { wape: { max: 1 } },
    };
    writeFileSync(report.file, JSON.stringify(declaration));

    expect(report.next).toBe(`cityscale up --city my-city --once --clock ${report.clock} --home ${home}`);
    const up = await run(...report.next.split(" ").slice(1), "--port", "0", "--json");
    expect(up.code, up.err).toBe(0);
    const summary = JSON.parse(up.out.trim().split("\n").at(-1)!) as {
      targets: { champion: number; batch: { rows: number } }[];
    };
    expect(summary.targets[0]).toMatchObject({ champion: 1, batch: { rows: 12, entities: 3 } });

    const again = await inProcess("city", "new", "my-city", "--csv", csv(), ...flags);
    expect(again).toMatchObject({ code: 3, err: expect.stringContaining("exists already") });
  }, 60_000);

  test("names and positions come from a list of places with ids of its own names", async () => {
    const home = join(folder.path, "home-places");
    mkdirSync(home);
    const path = file(
      "counts.csv",
      `site_id,hour,total\n${counts
        .slice(0, 800)
        .map(({ counter, at, count }) => `A${counter},${new Date(at).toISOString()},${count}\n`)
        .join("")}`,
    );
    const places = file(
      "places.csv",
      "key;label;latitude;longitude\nA1;First;48.1;11.5\nA2;Second;48.3;11.7\n",
    );
    const { code, out, err } = await inProcess(
      "city",
      "new",
      "places",
      "--csv",
      path,
      "--time-zone",
      "Europe/Berlin",
      "--places",
      places,
      "--home",
      home,
      "--json",
    );
    expect(code, err).toBe(0);
    const report = JSON.parse(out) as { file: string; found: object };
    expect(report.found).toMatchObject({
      entity: "site_id",
      time: "hour",
      value: "total",
      timeIs: "with offset",
    });
    expect(JSON.parse(readFileSync(report.file, "utf8"))).toMatchObject({
      location: { lat: 48.2, lon: 11.6 },
      sources: {
        counts: {
          entities: {
            delimiter: ";",
            columns: { entity: "key", name: "label", lat: "latitude", lon: "longitude" },
          },
        },
        weather: { kind: "openMeteo" },
      },
    });
  });

  test("what the file cannot tell is asked for by the flag that answers it, and nothing is written", async () => {
    const base = [
      "--time-zone",
      "Europe/Berlin",
      "--lat",
      "1",
      "--lon",
      "1",
      "--home",
      join(folder.path, "home-none"),
    ];
    const rows = (date: (day: number) => string) =>
      Array.from({ length: 12 }, (_, i) => `a,${date(i + 1)} 00:00,${i}\n`).join("");
    const ambiguous = file(
      "ambiguous.csv",
      `id,date,count\n${rows((day) => `${String(day).padStart(2, "0")}/03/2021`)}`,
    );
    expect(await inProcess("city", "new", "x", "--csv", ambiguous, ...base)).toMatchObject({
      code: 2,
      err: expect.stringContaining("--time-format"),
    });
    const timeless = file("timeless.csv", "id,count\na,1\na,2\n");
    expect(await inProcess("city", "new", "x", "--csv", timeless, ...base)).toMatchObject({
      code: 2,
      err: expect.stringContaining("--time-column"),
    });
    const known = file(
      "known.csv",
      `id,date,count\n${rows((day) => `2021-03-${String(day).padStart(2, "0")}`)}`,
    );
    expect(
      await inProcess("city", "new", "x", "--csv", known, ...base, "--value-column", "sum"),
    ).toMatchObject({ code: 2, err: expect.stringContaining("there are id, date, count") });
    expect(
      await inProcess("city", "new", "x", "--csv", known, ...base, "--time-zone", "Berlin"),
    ).toMatchObject({ code: 2, err: expect.stringContaining("IANA") });
    expect(await inProcess("city", "new", "x", "--csv", known, ...base, "--country", "ZZ")).toMatchObject({
      code: 2,
      err: expect.stringContaining("ZZ"),
    });
    expect(await inProcess("cities", "--home", join(folder.path, "home-none"), "--json")).not.toMatchObject({
      out: expect.stringContaining('"x"'),
    });
  });
});
