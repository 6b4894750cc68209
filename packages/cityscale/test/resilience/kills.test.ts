import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { withFolder } from "../core/folder.ts";
import { shareTown, smallTown } from "./killed-cities.ts";
import { type Aim, type Kill, Killing } from "./killing.ts";

/** One kill for each step of the loop, and one for the training process alone. */
const aims: Aim[] = [
  "append",
  "merge",
  "open",
  "export",
  "trainer",
  "training",
  "artifact",
  "version",
  "promotion",
  "batch",
];

test.skipIf(!existsSync("/proc/self/environ"))(
  "ten kills at every stage, and a full disk, lose nothing, double nothing and leave nothing half-written",
  () =>
    withFolder(async (folder) => {
      const killing = await Killing.open(folder, smallTown, 7);
      try {
        const kills: Kill[] = [];
        for (const aim of aims) kills.push(await killing.kill(aim));
        // On a full disk, which leaves what is there usable.
        for (const kilobytes of [100, 2000]) {
          const said = await killing.starve(kilobytes);
          expect(said.join("\n")).toMatch(/disk|too large|full|cannot be/i);
          expect(said.join("\n")).not.toMatch(/loop whole/);
        }
        await killing.finish();
        expect(await killing.orphans()).toEqual([]);
        const { violations, seen } = await smallTown.check(killing.home, killing.address, killing.now);
        expect(violations, JSON.stringify(kills)).toEqual([]);
        expect(seen["observations"]).toBeGreaterThan(8 * 24 * 100);
        expect(seen["batches"]).toBeGreaterThan(0);
        expect(seen["versions"]).toBeGreaterThan(2);
        expect(seen["runs failed"]).toBeGreaterThan(1);
        const struck = new Set(kills.flatMap((kill) => kill.struck));
        for (const stage of ["append", "merge", "training", "batch"]) expect([...struck]).toContain(stage);
        expect(kills.find((kill) => kill.aim === "trainer")?.said.join()).toMatch(
          /TRAINING_FAILED .*SIGKILL/,
        );
      } finally {
        await killing.close();
      }
    }),
  300_000,
);

/** Twice where a kill falls between two files, or between a row and the note of it. */
const shareAims: Aim[] = ["append", "profiles", "batch", "outcomes", "retention", "profiles", "retention"];

test.skipIf(!existsSync("/proc/self/environ"))(
  "of a bike share, killed while it reads, forecasts, keeps profiles and removes what is old, nothing is lost or doubled",
  () =>
    withFolder(async (folder) => {
      const killing = await Killing.open(folder, shareTown, 3);
      try {
        const kills: Kill[] = [];
        for (const aim of shareAims) kills.push(await killing.kill(aim));
        await killing.finish();
        expect(await killing.orphans()).toEqual([]);
        const { violations, seen } = await shareTown.check(killing.home, killing.address, killing.now);
        expect(violations, JSON.stringify(kills)).toEqual([]);
        expect(seen["snapshots"]).toBeGreaterThan(20 * 140 * 20);
        expect(seen["batches"]).toBeGreaterThan(2);
        expect(seen["profile files"]).toBe(1);
        const struck = new Set(kills.flatMap((kill) => kill.struck));
        for (const stage of ["append", "profiles", "batch", "retention"])
          expect([...struck]).toContain(stage);
      } finally {
        await killing.close();
      }
    }),
  200_000,
);
