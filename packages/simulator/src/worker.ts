import { parentPort, workerData } from "node:worker_threads";
import type { Fault } from "./fault.ts";
import type { SimulatorOptions } from "./options.ts";
import { startSimulator } from "./simulator.ts";
import type { WorkerAnswer, WorkerAsk } from "./simulator-worker.ts";

// The thread's side of startSimulatorWorker.
const port = parentPort!;
const tell = (answer: WorkerAnswer) => port.postMessage(answer);

try {
  const simulator = await startSimulator(workerData as SimulatorOptions);
  port.on("message", async (question: WorkerAsk) => {
    const { id } = question;
    try {
      if (question.ask === "faults") await simulator.faults(question.list as Fault[]);
      else if (question.ask === "close") await simulator.close();
      tell({ id, value: question.ask === "requests" ? await simulator.requests() : undefined });
    } catch (error) {
      tell({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
  tell({ ready: simulator.sources });
} catch (error) {
  tell({ failed: error instanceof Error ? error.message : String(error) });
}
