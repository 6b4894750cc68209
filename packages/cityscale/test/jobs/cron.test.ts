import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatLocal, offsetMs } from "../../src/domain/index.ts";
import { latestTime, nextTime, timesBetween } from "../../src/jobs/index.ts";

const at = (text: string) => Date.parse(text);
const local = (timeZone: string, times: number[]) => times.map((time) => formatLocal(timeZone, time));
const next = (cron: string, timeZone: string, after: string) =>
  formatLocal(timeZone, nextTime(cron, timeZone, at(after)));

describe("cron on local time", () => {
  test("a schedule keeps its local time through both clock changes of Paris", () => {
    expect(
      local(
        "Europe/Paris",
        timesBetween("0 4 * * *", "Europe/Paris", at("2021-03-26T12:00Z"), at("2021-03-29T12:00Z")),
      ),
    ).toEqual(["2021-03-27T04:00:00+01:00", "2021-03-28T04:00:00+02:00", "2021-03-29T04:00:00+02:00"]);
  });

  test.each([
    ["Europe/Paris", "30 2 * * *", "2021-03-27T12:00Z", "2021-03-28T03:00:00+02:00"],
    ["Australia/Sydney", "30 2 * * *", "2021-10-02T12:00Z", "2021-10-03T03:00:00+11:00"],
    ["Australia/Lord_Howe", "15 2 * * *", "2021-10-02T12:00Z", "2021-10-03T02:30:00+11:00"],
  ])(
    "in %s a time that does not exist (%s) runs at the next valid instant",
    (timeZone, cron, after, expected) => {
      expect(next(cron, timeZone, after)).toBe(expected);
    },
  );

  test.each([
    ["Europe/Paris", "30 2 * * *", "2021-10-30T12:00Z", "2021-10-31T02:30:00+02:00"],
    ["Australia/Sydney", "30 2 * * *", "2021-04-03T12:00Z", "2021-04-04T02:30:00+11:00"],
    ["Australia/Lord_Howe", "45 1 * * *", "2021-04-03T12:00Z", "2021-04-04T01:45:00+11:00"],
  ])("in %s a repeated time (%s) runs once, at its first", (timeZone, cron, after, expected) => {
    expect(next(cron, timeZone, after)).toBe(expected);
    const times = timesBetween(cron, timeZone, at(after), at(after) + 86_400_000);
    expect(local(timeZone, times)).toEqual([expected]);
    const second = nextTime(cron, timeZone, at(after) + 86_400_000);
    expect(nextTime(cron, timeZone, times[0]!)).toBe(second);
  });

  test("several times within the hour that does not exist run once between them", () => {
    const times = timesBetween(
      "*/10 2 * * *",
      "Europe/Paris",
      at("2021-03-27T12:00Z"),
      at("2021-03-28T12:00Z"),
    );
    expect(local("Europe/Paris", times)).toEqual(["2021-03-28T03:00:00+02:00"]);
  });

  test.each([
    ["Europe/Paris", "2021-10-31", 25],
    ["Europe/Paris", "2021-03-28", 23],
    ["Europe/Paris", "2021-06-01", 24],
  ])("a schedule for every hour follows the hours that pass: %s on %s has %i", (timeZone, day, hours) => {
    const start = at(`${day}T00:00Z`) - offsetMs(timeZone, at(`${day}T00:00Z`) - 7_200_000);
    const times = timesBetween("5 * * * *", timeZone, start, start + hours * 3_600_000);
    expect(times).toEqual(Array.from({ length: hours }, (_, hour) => start + hour * 3_600_000 + 300_000));
  });

  test("walking from one time to the next finds what a look at the whole range finds", () => {
    const instant = fc.integer({ min: at("2021-01-01T00:00Z"), max: at("2021-12-31T00:00Z") });
    const zone = fc.constantFrom(
      "Europe/Paris",
      "Australia/Sydney",
      "Australia/Lord_Howe",
      "America/New_York",
      "UTC",
    );
    const cron = fc.constantFrom(
      "*/10 * * * *",
      "5 * * * *",
      "30 2 * * *",
      "*/15 1-3 * * *",
      "0 3 * * 0",
      "45 1 1 * *",
    );
    fc.assert(
      fc.property(zone, cron, instant, fc.integer({ min: 1, max: 3 }), (timeZone, expression, from, days) => {
        const to = from + days * 86_400_000;
        const walked: number[] = [];
        for (
          let time = nextTime(expression, timeZone, from);
          time <= to;
          time = nextTime(expression, timeZone, time)
        ) {
          walked.push(time);
        }
        expect(walked).toEqual(timesBetween(expression, timeZone, from, to));
        expect(latestTime(expression, timeZone, from, to)).toBe(walked.at(-1) ?? null);
      }),
      {
        numRuns: 30,
        examples: [
          ["Australia/Lord_Howe", "*/10 * * * *", at("2021-04-03T12:00Z"), 1],
          ["Australia/Lord_Howe", "*/15 1-3 * * *", at("2021-10-02T12:00Z"), 1],
          ["Europe/Paris", "*/10 * * * *", at("2021-10-30T22:00Z"), 1],
          ["Europe/Paris", "*/15 1-3 * * *", at("2021-10-30T22:00Z"), 1],
        ],
      },
    );
  });

  test("on days without a clock change every run shows its local time", () => {
    const times = timesBetween(
      "17 5,21 * * 1-5",
      "Australia/Lord_Howe",
      at("2021-06-01T00:00Z"),
      at("2021-06-08T00:00Z"),
    );
    expect(times.length).toBe(10);
    for (const time of times)
      expect(formatLocal("Australia/Lord_Howe", time)).toMatch(/T(05|21):17:00\+10:30$/);
  });

  test("what is no cron expression, or never due, is refused with the reason", () => {
    for (const wrong of ["", "* * * *", "0 0 * * * *", "61 * * * *", "a b c d e", "0 0 31 2 *"]) {
      expect(() => nextTime(wrong, "UTC", 0), wrong).toThrow(
        expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(`"${wrong}"`) }),
      );
    }
  });
});
