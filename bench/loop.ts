import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The whole first loop of the default city (60 counters, two years of hours): seconds, and the most memory that the
 * program and its training process held at one moment. The simulator, which stands in for other people's servers, is
 * told apart. Pages that processes share count once. Ends with 1 where a limit is missed. Memory is read from /proc, so on Linux only.
 *
 *   npm run -s bench:loop
 */
const limits = { seconds: 60, residentMb: 1000 };
const program = fileURLToPath(new URL("../packages/cityscale/bin/cityscale.ts", import.meta.url));

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly simulator: boolean;
}

const field = (text: string, name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);

async function processes(): Promise<Process[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid): Promise<Process | null> => {
      try {
        const parent = field(await readFile(`/proc/${pid}/status`, "utf8"), "PPid");
        const command = await readFile(`/proc/${pid}/cmdline`, "utf8");
        return { pid: Number(pid), parent, simulator: command.includes("/simulator/") };
      } catch {
        return null; // It ended in between.
      }
    }),
  );
  return found.filter((process) => process !== null);
}

/** Megabytes resident in a process and all that it started, with the simulator apart. */
async function residentMb(root: number): Promise<{ program: number; simulator: number }> {
  const all = await processes();
  const sum = { program: 0, simulator: 0 };
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    const own = all.find((process) => process.pid === pid);
    // Pages that two processes share (the runtime itself) count once.
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    if (own) sum[own.simulator ? "simulator" : "program"] += field(rollup, "Pss") / 1024;
    queue.push(...all.filter((process) => process.parent === pid).map((process) => process.pid));
  }
  return sum;
}

const home = await mkdtemp(join(tmpdir(), "cityscale-bench-"));
const began = performance.now();
const child = spawn(process.execPath, [program, "up", "--once", "--home", home, "--port", "0"], {
  stdio: ["ignore", "inherit", "inherit"],
});
const peak = { program: 0, simulator: 0 };
const sampler = setInterval(async () => {
  const now = await residentMb(child.pid!);
  peak.program = Math.max(peak.program, now.program);
  peak.simulator = Math.max(peak.simulator, now.simulator);
}, 400);
const code = await new Promise<number | null>((resolve) => child.on("exit", resolve));
clearInterval(sampler);
const seconds = (performance.now() - began) / 1000;
await rm(home, { recursive: true, force: true });

const line = (name: string, value: number, unit: string, limit: number) =>
  console.log(
    `${name.padEnd(28)} ${value.toFixed(1).padStart(8)} ${unit}   limit ${limit} ${unit}   ${value <= limit ? "ok" : "MISSED"}`,
  );
console.log("");
console.log(`simulator, beside             ${peak.simulator.toFixed(1).padStart(8)} MB`);
line("loop", seconds, "s", limits.seconds);
line("resident, with training", peak.program, "MB", limits.residentMb);
process.exitCode = code === 0 && seconds <= limits.seconds && peak.program <= limits.residentMb ? 0 : 1;
