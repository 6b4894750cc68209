import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { GenerativeCity } from "../src/index.ts";
import { startSimulatorProcess, startSimulatorWorker } from "../src/index.ts";

const small: GenerativeCity = { id: "sydney-pedestrians", entities: 3, years: 0.1 };

test.each([
  ["thread", startSimulatorWorker],
  ["process", startSimulatorProcess],
])(
  "a simulator in a %s of its own serves, strikes with faults, counts requests and ends",
  async (_, start) => {
    const simulator = await start({ clock: { kind: "real" }, city: small });
    const address = `${simulator.sources["events"]}/events.csv`;
    expect((await fetch(address)).status).toBe(200);
    await simulator.faults([{ kind: "status", status: 503 }]);
    expect((await fetch(address)).status).toBe(503);
    expect((await simulator.requests()).bySource["events"]).toEqual({ requests: 2, faults: 1 });
    await simulator.close();
    await expect(fetch(address)).rejects.toThrow();
  },
);

test("a process cannot follow a clock that only threads share", async () => {
  const clock = { kind: "shared" as const, buffer: new SharedArrayBuffer(8) };
  await expect(startSimulatorProcess({ clock, city: small })).rejects.toThrow(RangeError);
});

test("the simulator's process ends when its parent is killed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "cityscale-simulator-"));
  const parent = join(folder, "parent.mjs");
  const index = new URL("../src/index.ts", import.meta.url).href;
  writeFileSync(
    parent,
    `import { startSimulatorProcess } from ${JSON.stringify(index)};
     const simulator = await startSimulatorProcess({ clock: { kind: "real" }, city: ${JSON.stringify(small)} });
     process.send(simulator.sources.events);
     setInterval(() => {}, 1000);`,
  );
  const child: ChildProcess = fork(parent, { execArgv: [] });
  try {
    const [address] = (await once(child, "message")) as [string];
    expect((await fetch(`${address}/events.csv`)).status).toBe(200);
    child.kill("SIGKILL");
    await once(child, "exit");
    await expect
      .poll(
        () =>
          fetch(`${address}/events.csv`).then(
            (answer) => answer.status,
            () => "gone",
          ),
        { timeout: 10_000 },
      )
      .toBe("gone");
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true });
  }
});
