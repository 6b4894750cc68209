/** One worker of a training (Node only); see workers.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { Booster } from "./booster.ts";
import { Aborted, Team } from "./team.ts";
import type { FromWorker, WorkerTask } from "./workers.ts";

const { plan, memory, index, size } = workerData as WorkerTask;
const first = index === 0;
const tell = (message: FromWorker): void => parentPort?.postMessage(message);

try {
  const booster = new Booster(plan, memory, new Team(index, size, memory.control));
  let more = plan.params.numIterations > 0;
  while (more) {
    more = booster.step();
    if (first) tell({ kind: "progress", iteration: booster.iteration, metric: booster.lastMetric });
  }
  if (first) tell({ kind: "done", trees: booster.trees, bestIteration: booster.bestIteration });
} catch (error) {
  // Whoever set the abort word knows why.
  if (!(error instanceof Aborted)) throw error;
}
