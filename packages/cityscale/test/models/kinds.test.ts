import { describe, expect, test } from "vitest";
import { createView } from "../../src/features/index.ts";
import { fullEffort, membersOf } from "../../src/models/kinds.ts";
import { smallCity } from "../lake/support.ts";

const features = [{ name: "letter", block: "static" as const, sql: "SELECT e, 1 AS letter FROM entities" }];
const viewOf = (step: string, target: object) => {
  const city = smallCity({ step, targets: { walkers: { features, ...target } } });
  return { target: city.targets["walkers"]!, view: createView(city, city.targets["walkers"]!, 0) };
};

describe("a blend", () => {
  test("of days is mostly ridge regressions, of columns that the view has", () => {
    const { target, view } = viewOf("1d", { horizon: "14d" });
    const members = membersOf("blend", target, view, fullEffort);
    expect(members.map(({ kind, weight }) => [kind, weight])).toEqual([
      ["trees", 0.35],
      ["ridge", 0.65],
    ]);
    const ridge = members.find((member) => member.kind === "ridge")!;
    expect(ridge.columns!.names.filter((name) => !view.columns.includes(name))).toEqual([]);
    expect(ridge.columns!.names).toContain("x_letter");
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

  test("departs from what the target declares", () => {
    expect(viewOf("1d", { expectation: "median-8" }).view.expectation).toBe("median-8");
    expect(viewOf("1h", { errors: "relative" }).view.expectation).toBe("geometric-mean-8");
  });
});
