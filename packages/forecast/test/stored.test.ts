import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fields, pack, unpack } from "../src/container.ts";
import { ForecastError } from "../src/errors.ts";
import { applyMap, chooseMap, fitIsotonic, fitPlatt, readMap } from "../src/probability-map.ts";

const sections = [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(9)];
const saved = pack("kind", { name: "x", list: [1, 2] }, sections);

/** The bytes with a header of our own and a checksum that fits. */
function forged(header: string, body: Uint8Array = new Uint8Array(0), headerLength?: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array([...saved.subarray(0, 16), ...text, ...body]);
  new DataView(bytes.buffer).setUint32(12, headerLength ?? text.length, true);
  return new Uint8Array([...bytes, ...createHash("sha256").update(bytes).digest()]);
}

function failure(bytes: Uint8Array): ForecastError {
  try {
    unpack(bytes, "kind");
  } catch (error) {
    if (error instanceof ForecastError) return error;
    throw error;
  }
  throw new Error("the bytes were accepted");
}

describe("the saved container", () => {
  test("gives back what was packed, from any place in a larger buffer", () => {
    const larger = new Uint8Array(saved.length + 7);
    larger.set(saved, 7);
    const read = unpack(larger.subarray(7), "kind");
    expect(read.sections).toEqual(sections);
    expect(read.fields.string("name")).toBe("x");
    expect(read.fields.numbers("list")).toEqual([1, 2]);
  });

  test("any altered, missing or added byte is refused", () => {
    fc.assert(
      fc.property(fc.nat(saved.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = saved.slice();
        altered[at]! ^= change;
        expect(failure(altered).code).toBe("bytes");
        expect(failure(saved.subarray(0, at)).code).toBe("bytes");
      }),
    );
    expect(failure(new Uint8Array([...saved, 0])).code).toBe("bytes");
  });

  test("lies in the header are refused although the checksum fits", () => {
    expect(failure(forged("{", undefined)).message).toMatch(/not JSON/);
    expect(failure(forged("[]")).message).toMatch(/not an object/);
    expect(failure(forged("{}", undefined, 4_000_000_000)).message).toMatch(/header is longer/);
    expect(failure(forged("{}")).message).toMatch(/"kind" is not a string/);
    expect(failure(forged('{"kind":"other"}')).message).toMatch(/this is a "other", expected a "kind"/);
    const header = (lengths: string) => `{"kind":"kind","sections":${lengths},"fields":{}}`;
    for (const lengths of ["[9]", "[-1]", "[0.5]", "[1e300]"]) {
      expect(failure(forged(header(lengths), Uint8Array.of(1))).message).toMatch(/does not fit/);
    }
    expect(failure(forged(header("[]"), Uint8Array.of(1))).message).toMatch(/belong to no section/);
    expect(failure(forged(header('["1"]'), Uint8Array.of(1))).message).toMatch(/finite numbers/);
  });

  test("a layout from the future is named", () => {
    const later = saved.slice();
    later[8] = 2;
    expect(failure(later).message).toMatch(/layout 2, this version reads layout 1/);
  });
});

describe("the probability map", () => {
  /** Rows whose true probability is `truth(p)`, spread evenly; a fixed sequence in place of chance. */
  function labelled(truth: (p: number) => number, n = 4000) {
    const p = Float64Array.from({ length: n }, (_, i) => ((i * 0.6180339887498949) % 1) * 0.98 + 0.01);
    const y = p.map((value, i) => Number((i * 0.7548776662466927) % 1 < truth(value)));
    return { y, p, weight: new Float64Array(n).fill(1) };
  }

  test("leaves calibrated probabilities as they are", () => {
    const rows = labelled((p) => p);
    const corrected = applyMap(chooseMap(rows), rows.p.slice());
    corrected.forEach((value, i) => {
      expect(Math.abs(value - rows.p[i]!)).toBeLessThan(0.05);
    });
  });

  test("Platt finds a shift of the log-odds", () => {
    const map = fitPlatt(labelled((p) => 1 / (1 + Math.exp(-(1.5 * Math.log(p / (1 - p)) - 1)))));
    if (map.kind !== "platt") throw new Error(map.kind);
    expect(map.slope).toBeCloseTo(1.5, 1);
    expect(map.intercept).toBeCloseTo(-1, 1);
  });

  test("isotonic is chosen for a step, and rises", () => {
    const step = (p: number) => (p < 0.3 ? 0.05 : p < 0.6 ? 0.5 : 0.55);
    const map = chooseMap(labelled(step));
    expect(map.kind).toBe("isotonic");
    const at = applyMap(map, Float64Array.of(0, 0.15, 0.45, 0.8, 1));
    expect(at[1]).toBeCloseTo(0.05, 1);
    expect(at[2]).toBeCloseTo(0.5, 1);
    for (let i = 1; i < at.length; i++) expect(at[i]).toBeGreaterThanOrEqual(at[i - 1]!);
  });

  test("isotonic is the closest increasing fit: no shift of a pool is better", () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 9 })), {
      minLength: 2,
      maxLength: 25,
    });
    fc.assert(
      fc.property(rows, (list) => {
        const y = Float64Array.from(list, (row) => row[0]);
        const p = Float64Array.from(list, (row) => row[1] / 10);
        const map = fitIsotonic({ y, p, weight: new Float64Array(y.length).fill(1) }, 1000);
        if (map.kind !== "isotonic") throw new Error(map.kind);
        // The min-max formula of isotonic regression, at each distinct p.
        const levels = [...new Set(p)].sort((a, b) => a - b);
        const mean = (from: number, to: number) => {
          const inside = list.filter((row) => row[1] / 10 >= from && row[1] / 10 <= to);
          return inside.reduce((sum, row) => sum + row[0], 0) / inside.length;
        };
        const want = levels.map((at) =>
          Math.max(
            ...levels
              .filter((from) => from <= at)
              .map((from) => Math.min(...levels.filter((to) => to >= at).map((to) => mean(from, to)))),
          ),
        );
        const margin = 1 / (y.length + 2);
        const pooled = [...new Set(want.map((v) => Math.min(1 - margin, Math.max(margin, v)).toFixed(9)))];
        expect([...new Set(map.y.map((v) => v.toFixed(9)))]).toEqual(pooled);
      }),
    );
  });

  test("few or one-sided rows never turn the ranking round or give certainty", () => {
    const upsideDown = {
      y: Float64Array.of(1, 0),
      p: Float64Array.of(0.1, 0.9),
      weight: Float64Array.of(1, 1),
    };
    const allPositive = {
      y: Float64Array.of(1, 1),
      p: Float64Array.of(0.2, 0.9),
      weight: Float64Array.of(1, 1),
    };
    for (const rows of [upsideDown, allPositive]) {
      const [low, high] = applyMap(chooseMap(rows), Float64Array.of(0.1, 0.9));
      expect(low).toBeLessThanOrEqual(high!);
      expect(low).toBeGreaterThan(0);
      expect(high).toBeLessThan(1);
    }
    expect(fitPlatt(upsideDown).kind).toBe("identity");
  });

  test("saved maps that would not rise are refused", () => {
    const isotonic = { kind: "isotonic", x: [0.1, 0.5], y: [0.2, 0.4] };
    expect(readMap(new Fields(isotonic))).toEqual(isotonic);
    for (const bad of [
      { ...isotonic, y: [0.4, 0.2] },
      { ...isotonic, x: [0.5, 0.5] },
      { ...isotonic, y: [0.2, 1.4] },
      { ...isotonic, y: [0.2] },
      { ...isotonic, x: [], y: [] },
      { kind: "platt", slope: -1, intercept: 0 },
      { kind: "spline" },
    ]) {
      expect(() => readMap(new Fields(bad))).toThrow(ForecastError);
    }
  });
});
