import { describe, expect, test } from "vitest";
import { createClock, createManualClock } from "../../src/core/index.ts";

describe("clocks", () => {
  test("a manual clock stands until it is told, and wakes whom it has passed", async () => {
    const clock = createManualClock(1_000);
    const woken: number[] = [];
    const waiting = [1_020, 1_010, 1_000].map((at) => clock.until(at).then(() => woken.push(at)));
    await waiting[2];
    expect(woken).toEqual([1_000]);
    clock.advance(10);
    await waiting[1];
    expect(woken).toEqual([1_000, 1_010]);
    clock.set(5_000);
    await waiting[0];
    expect(clock.now()).toBe(5_000);
  });

  test("a virtual clock starts where it should and runs as fast as it should", async () => {
    const start = Date.parse("2021-06-01T00:00:00Z");
    const realStart = Date.now();
    const clock = createClock({ startMs: start, speed: 100_000 });
    await clock.until(start + 1_000_000);
    expect(clock.now()).toBeGreaterThanOrEqual(start + 1_000_000);
    expect(Date.now() - realStart).toBeGreaterThanOrEqual(9);
  });

  test("whoever waits can be called away, before or during", async () => {
    for (const clock of [createClock(), createManualClock(0)]) {
      const stop = new AbortController();
      const waiting = clock.until(clock.now() + 1e9, stop.signal);
      stop.abort(new Error("enough"));
      await expect(waiting).rejects.toThrow("enough");
      await expect(clock.until(clock.now() + 1e9, stop.signal)).rejects.toThrow("enough");
    }
  });
});
