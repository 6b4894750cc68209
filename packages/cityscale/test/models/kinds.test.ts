import { describe, expect, test } from "vitest";
import { createView } from "../../src/features/index.ts";
import { learnable } from "../../src/models/forecaster.ts";
import { declaredModel, fullEffort, membersOf } from "../../src/models/kinds.ts";
import { firstTrainingDay } from "../../src/models/origins.ts";
import { smallCity } from "../lake/support.ts";

const features = [{ name: "letter", block: "static" as const, sql: "SELECT e, 1 AS letter FROM entities" }];
const viewOf = (step: string, target: object) => {
  const city = smallCity({ step, targets: { walkers: { features, ...target } } });
  return { target: city.targets["walkers"]!, view: createView(city, city.targets["walkers"]!, 0) };
};

const dayOf = (date: string) => Date.parse(`${date}T00:00:00Z`) / 86_400_000;

describe("days to learn from", () => {
  test("begin when eight weeks are there to expect from, and far beyond the newest counts at once", () => {
    const first = Date.parse("2020-09-01T01:00:00Z");
    const city = smallCity({ timeZone: "Europe/Paris" });
    const from = (horizon: string) => firstTrainingDay(city, viewOf("1h", { horizon }).view, first);
    expect(from("24h")).toBe(dayOf("2020-10-28"));
    expect(from("31d")).toBe(dayOf("2020-09-02"));
  });
});

describe("a history under 550 days", () => {
  const lost = (horizon: string, days: number) => {
    const { view } = viewOf("1h", { horizon });
    const { columns, timeless, smooth } = learnable(view, Float64Array.of(0, days * 86_400_000));
    const names = view.columns.filter((name) => !columns.includes(name));
    for (const name of names)
      expect([...timeless, ...smooth.names, ...smooth.categorical]).not.toContain(name);
    return names.sort();
  };

  test("does without the place in the year", () => {
    expect(lost("24h", 549)).toEqual(["day_of_year", "year_cos", "year_sin"]);
    expect(lost("24h", 550)).toEqual([]);
  });

  test("far ahead also without what tells which week it was", () => {
    const far = lost("31d", 300);
    expect(far).toEqual(expect.arrayContaining(["day_of_year", "school_holiday_share", "holiday_name"]));
    for (const name of ["holiday", "school_holiday", "bridge", "sun", "wx_heat"])
      expect(far).not.toContain(name);
    expect(lost("31d", 550)).toEqual([]);
  });
});

describe("a blend", () => {
  test("of days goes from ridge regressions tomorrow to trees and a level in two weeks, of columns that the view has", () => {
    const { target, view } = viewOf("1d", { horizon: "14d" });
    const members = membersOf("blend", target, view, fullEffort);
    const shares = (lead: number) =>
      members.map(({ kind, weight }) => [kind, (weight as number[])[lead - 1]!] as const);
    expect(shares(1)).toEqual([
      ["trees", 0.25],
      ["ridge", 0.75],
      ["level", 0],
    ]);
    expect(shares(14)).toEqual([
      ["trees", 0.45],
      ["ridge", 0.45],
      ["level", 0.1],
    ]);
    for (let lead = 1; lead <= 14; lead++)
      expect(shares(lead).reduce((sum, [, share]) => sum + share, 0)).toBeCloseTo(1);
    const level = members.find((member) => member.kind === "level")!;
    expect(view.columns).toContain(level.column);
    const ridge = members.find((member) => member.kind === "ridge")!;
    expect(ridge.columns!.names.filter((name) => !view.columns.includes(name))).toEqual([]);
    expect(ridge.columns!.names).toContain("x_letter");
    expect(ridge.columns!.names).toEqual(expect.arrayContaining([...ridge.bends!.columns]));
    expect(view.expectation).toBe("mean-4");
  });

  test("of hours knows nothing of the columns of days", () => {
    const { target, view } = viewOf("1h", { horizon: "24h" });
    expect(membersOf("blend", target, view, fullEffort).some(({ kind }) => kind === "ridge")).toBe(false);
    const days = viewOf("1d", { horizon: "14d" }).view.columns;
    const own = days.filter((name) => !view.columns.includes(name));
    expect(own).toEqual(
      expect.arrayContaining(["fading_50", "year_change", "temperature_base_cos", "heating"]),
    );
    expect(view.expectation).toBe("median-8");
  });

  test("of hours leans on trees until the history has seen every season twice", () => {
    const { target, view } = viewOf("1h", { horizon: "24h" });
    const sharesAfter = (days: number) => {
      const known = learnable(view, Float64Array.of(0, days * 86_400_000));
      const members = membersOf("blend", target, known, fullEffort);
      const share = (kind: string) =>
        members.reduce((sum, member) => sum + (member.kind === kind ? (member.weight as number) : 0), 0);
      return { trees: share("trees"), network: share("network") };
    };
    expect(sharesAfter(549).network).toBeCloseTo(0.2);
    expect(sharesAfter(549).trees).toBeCloseTo(0.8);
    expect(sharesAfter(550).network).toBeCloseTo(0.55);
  });

  test("far beyond the newest counts reads what says the same of a target from whatever origin", () => {
    const { target, view } = viewOf("1h", { horizon: "31d" });
    const members = membersOf("blend", target, view, fullEffort);
    expect([...new Set(members.map(({ kind }) => kind))]).toEqual(["trees", "network", "effects"]);
    for (const member of members) {
      expect(member.halfLifeDays).toBeGreaterThan(0);
      if (member.kind !== "network") continue;
      expect(member.columns!.names.filter((name) => !view.timeless.includes(name))).toEqual([]);
    }
    const effects = members.find(({ kind }) => kind === "effects")!.effects!;
    const read = effects.flatMap(({ cross, times }) => [...cross, ...(times === undefined ? [] : [times])]);
    expect(read.filter((name) => !view.timeless.includes(name))).toEqual([]);
    expect(view.timeless).toContain("wxday_temperature");
    for (const change of ["wxdep", "wxchange", "wxdaychange"])
      expect(view.timeless).not.toContain(`${change}_temperature`);
    expect(read).toEqual(expect.arrayContaining(["wx_heat", "wxnear_rain_root", "twilight", "x_letter"]));
  });

  test("of days has the weights that are declared at every lead, and no level", () => {
    const training = { blend: { ridge: 3, trees: 1 } };
    const { target, view } = viewOf("1d", { horizon: "14d", training });
    const members = membersOf("blend", target, view, fullEffort);
    expect(members.map(({ kind, weight }) => [kind, weight])).toEqual([
      ["trees", 1],
      ["ridge", 3],
    ]);
  });

  test("near and far are declared apart", () => {
    const training = { blend: { trees: 1 }, far: { kind: "blend" as const, blend: { effects: 2 } } };
    const kindsOf = (horizon: string) => {
      const { target, view } = viewOf("1h", { horizon, training });
      const kinds = membersOf("blend", target, view, fullEffort).map(({ kind }) => kind);
      return { kinds, kind: declaredModel(target, view).kind };
    };
    expect(kindsOf("24h")).toEqual({ kinds: ["trees"], kind: undefined });
    expect(kindsOf("31d")).toEqual({ kinds: ["effects"], kind: "blend" });
  });

  test("departs from what the target declares", () => {
    expect(viewOf("1d", { expectation: "median-8" }).view.expectation).toBe("median-8");
    expect(viewOf("1h", { errors: "relative" }).view.expectation).toBe("geometric-mean-8");
  });
});
