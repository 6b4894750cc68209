import { parentPort, workerData } from "node:worker_threads";
import type { Fault } from "./fault.ts";
import type { SimulatorOptions } from "./options.ts";
import type { RemoteAnswer, RemoteAsk } from "./remote.ts";
import { startSimulator } from "./simulator.ts";

// The far side of startSimulatorWorker and startSimulatorProcess: a thread, or a process with its parent's channel.
const thread = parentPort;
const tell = (answer: RemoteAnswer) => (thread ? thread.postMessage(answer) : process.send!(answer));
const hear = (listen: (question: RemoteAsk) => void) =>
  thread ? thread.on("message", listen) : process.on("message", listen);

async function start(options: SimulatorOptions): Promise<void> {
  const simulator = await startSimulator(options);
  hear(async (question) => {
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
}

const fail = (error: unknown) => tell({ failed: error instanceof Error ? error.message : String(error) });
if (thread) start(workerData as SimulatorOptions).catch(fail);
else {
  // A parent that was killed closes the channel: nobody is left to serve.
  process.on("disconnect", () => process.exit());
  // Ctrl-C reaches the whole group; the parent decides when its simulator ends.
  process.on("SIGINT", () => undefined);
  process.once("message", (options: SimulatorOptions) => start(options).catch(fail));
}
