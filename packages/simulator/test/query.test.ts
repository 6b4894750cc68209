import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Cell, type Expression, QueryError } from "../src/query/expression.ts";
import { parseCondition } from "../src/query/parse.ts";
import { viewOfRows } from "../src/query/rows.ts";
import { lookup, selectAll, selectPage, type View } from "../src/query/view.ts";
import { Zone } from "../src/zone.ts";

const FIELDS = [
  { name: "n", type: "integer" },
  { name: "t", type: "text" },
] as const;

function view(rows: readonly Record<string, Cell>[]): View {
  return viewOfRows(FIELDS, rows, "1");
}

function matching(
  where: string,
  rows: readonly Record<string, Cell>[],
  dialect: "sql92" | "odsql" = "sql92",
): number[] {
  const table = view(rows);
  return selectAll(table, lookup(table, Date.parse), parseCondition(where, dialect), []);
}

describe("conditions", () => {
  const rows = [
    { n: 1, t: "it's" },
    { n: 5, t: null },
    { n: null, t: "b" },
    { n: 7, t: "B_b" },
  ];

  it.each([
    ["n > 1", [1, 3]],
    ["n > 1 OR t = 'b'", [1, 2, 3]],
    ["n > 1 OR n = 1 AND t = 'x'", [1, 3]],
    ["(n > 1 OR n = 1) AND t IS NOT NULL", [0, 3]],
    ["t = 'it''s'", [0]],
    ["t LIKE 'B%'", [3]],
    ["t LIKE '_'", [2]],
    ["t NOT IN ('b', 'B_b')", [0]],
    ["NOT n > 1", [0]],
    ["n BETWEEN 1 AND 5", [0, 1]],
    ["N <> 5", [0, 3]],
    ["n IS NULL", [2]],
    ["n = -1", []],
  ])("%s keeps rows %j: unknown is not true, nor is its negation", (where, expected) => {
    expect(matching(where, rows)).toEqual(expected);
  });

  it("read double quotes as text in ODSQL and as a name in SQL", () => {
    expect(matching('t = "b"', rows, "odsql")).toEqual([2]);
    expect(matching('"n" = 5', rows)).toEqual([1]);
    expect(() => matching('t = "b"', rows)).toThrow(QueryError);
  });

  it("refuse what they do not know, and never anything but a QueryError", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."nt ()=<>!'\"15,ANDORi".split("")) }), (text) => {
        try {
          matching(text, rows);
        } catch (error) {
          expect(error).toBeInstanceOf(QueryError);
        }
      }),
    );
  });

  it("page as slicing everything would, whatever pages came before", () => {
    const condition: Expression = { op: "compare", field: "n", comparison: ">", value: { number: 20 } };
    fc.assert(
      fc.property(
        fc.array(fc.nat(99), { maxLength: 60 }),
        fc.array(fc.tuple(fc.nat(50), fc.nat(9)), { maxLength: 8 }),
        (numbers, pages) => {
          const table = view(numbers.map((n) => ({ n, t: null })));
          const fields = lookup(table, Date.parse);
          const all = selectAll(table, fields, condition, []);
          const owner = {};
          for (const [offset, limit] of pages) {
            const page = selectPage(owner, table, fields, condition, [], offset, limit);
            expect(page.positions).toEqual(all.slice(offset, offset + limit));
            expect(page.more).toBe(all.length > offset + limit);
          }
        },
      ),
    );
  });
});

describe("a time zone", () => {
  it.each(["Europe/Paris", "Australia/Sydney", "America/New_York", "Australia/Lord_Howe", "UTC"])(
    "agrees with Intl at any instant: %s",
    (name) => {
      const zone = new Zone(name);
      const format = new Intl.DateTimeFormat("sv-SE", {
        timeZone: name,
        dateStyle: "short",
        timeStyle: "medium",
      });
      fc.assert(
        fc.property(
          fc.date({ min: new Date("2000-01-01"), max: new Date("2035-01-01"), noInvalidDate: true }),
          (date) => {
            const ms = Math.floor(date.getTime() / 1000) * 1000;
            const local = ms + zone.offsetMs(ms);
            expect(new Date(local).toISOString().slice(0, 19).replace("T", " ")).toBe(format.format(ms));
            // There and back, but for the second passage of a repeated hour.
            const back = zone.toUtcMs(local);
            expect([0, 3_600_000, 1_800_000]).toContain(ms - back);
            expect(back + zone.offsetMs(back)).toBe(local);
          },
        ),
        { numRuns: 50 },
      );
    },
  );

  it("takes the first passage of a repeated time and moves on from one that does not exist", () => {
    const paris = new Zone("Europe/Paris");
    expect(paris.toUtcMs(Date.parse("2020-10-25T02:30:00Z"))).toBe(Date.parse("2020-10-25T00:30:00Z"));
    expect(paris.toUtcMs(Date.parse("2021-03-28T02:30:00Z"))).toBe(Date.parse("2021-03-28T01:30:00Z"));
  });
});
