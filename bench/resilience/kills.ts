import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type KilledCity,
  shareTown,
  smallTown,
} from "../../packages/cityscale/test/resilience/killed-cities.ts";
import { type Aim, Killing } from "../../packages/cityscale/test/resilience/killing.ts";

const HELP = `Kills the platform again and again on one data folder, then checks everything in it.

  node bench/resilience/kills.ts [--city counters|bikes] [--kills 100] [--seed 1] [--keep]

Every stage of the loop is aimed at in turn, for counters the training process alone too; each fourth kill comes at any
moment. Of bikes nothing is trained; profiles are kept and forecasts removed.
--keep leaves the folder for a look. Exit code 1 when something is not as it must be.
`;

const { values } = parseArgs({
  options: {
    city: { type: "string", default: "counters" },
    kills: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else {
  const city = { counters: smallTown, bikes: shareTown }[values.city];
  if (!city) throw new Error(`--city ${values.city}: write counters or bikes`);
  process.exitCode = await run(city, Number(values.kills), Number(values.seed), values.keep);
}

async function run(city: KilledCity, kills: number, seed: number, keep: boolean): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "kills-"));
  const began = performance.now();
  const killing = await Killing.open(folder, city, seed);
  const hits = new Map<string, number>();
  try {
    const aims: Aim[] = [...city.stages, ...(city === smallTown ? (["trainer"] as const) : [])];
    for (let i = 0, turn = 0; i < kills; i++) {
      const aim = i % 4 === 3 ? "anywhere" : aims[turn++ % aims.length]!;
      const { struck, plannedMs, said } = await killing.kill(aim);
      const where = struck.length === 0 ? "between stages" : struck.join(" in ");
      for (const stage of struck.length === 0 ? ["between stages"] : struck)
        hits.set(stage, (hits.get(stage) ?? 0) + 1);
      if (aim === "trainer") hits.set("trainer alone", (hits.get("trainer alone") ?? 0) + 1);
      const failed = said.filter(
        (line) => !line.includes("the process ended while this job ran") && !line.startsWith("loop whole"),
      );
      console.log(
        `${String(i + 1).padStart(4)}  aimed at ${aim.padEnd(10)} ${plannedMs.toFixed(1).padStart(7)} ms  struck ${where}${failed.map((line) => `\n        ${line.slice(0, 200)}`).join("")}`,
      );
    }
    await killing.finish();
    const orphans = await killing.orphans();
    const { violations: found, seen } = await city.check(killing.home, killing.address, killing.now);
    const violations = [...found];
    if (orphans.length > 0) violations.push(`processes outlived their parent: ${orphans.join(", ")}`);
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(
      `\n${kills} kills in ${seconds} s; struck: ${[...hits].map(([stage, n]) => `${stage} ${n}`).join(", ")}`,
    );
    console.log(
      `looked at: ${Object.entries(seen)
        .map(([what, n]) => `${what} ${n}`)
        .join(", ")}`,
    );
    console.log(violations.length === 0 ? "nothing lost, doubled or half-written" : violations.join("\n"));
    return violations.length === 0 ? 0 : 1;
  } finally {
    await killing.close();
    if (keep) console.log(`kept ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
}
