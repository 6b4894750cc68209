/** One worker of a network's training; see workers.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { Aborted, Team } from "@cityscale/trees/wasm";
import { Reporter } from "./reporter.ts";
import { Trainer } from "./trainer.ts";
import type { WorkerTask } from "./workers.ts";

const { plan, index, size } = workerData as WorkerTask;

try {
  const trainer = new Trainer(plan, new Team(index, size, plan.control));
  const reporter = new Reporter((progress) => parentPort?.postMessage(progress));
  let more = true;
  while (more) {
    more = trainer.step();
    if (index === 0) reporter.see(trainer);
  }
} catch (error) {
  // Whoever set the abort word knows why.
  if (!(error instanceof Aborted)) throw error;
}
