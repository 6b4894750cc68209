import { expect, it } from "vitest";
import { createGate } from "../../src/http/gate.ts";

it("a gate lets so many work at once, keeps so many waiting in turn, and turns the rest away", async () => {
  const gate = createGate("questions", { running: 2, waiting: 1 });
  const first = await gate.enter();
  const second = await gate.enter();
  let third: (() => void) | undefined;
  const waiting = gate.enter().then((leave) => {
    third = leave;
  });
  await expect(gate.enter()).rejects.toMatchObject({
    code: "RATE_LIMITED",
    message: "too many questions are under way",
  });
  expect(third).toBeUndefined();
  first();
  // A place is given back once, however often its holder says so.
  first();
  await waiting;
  await expect(
    Promise.race([gate.enter().then(() => "let in"), Promise.resolve().then(() => "waits")]),
  ).resolves.toBe("waits");
  second();
  third!();
});

it("a place is free again after work that failed", async () => {
  const gate = createGate("questions", { running: 1, waiting: 0 });
  await expect(gate.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await gate.run(async () => 7)).toBe(7);
});
