import { constants, setPriority } from "node:os";
import { CityScaleError, messageOf } from "../core/index.ts";
import { defineCity } from "../domain/index.ts";
import { openVersion } from "../lake/index.ts";
import { trainCandidate } from "./candidate.ts";
import { trainStockOutCandidate } from "./stock-outs/index.ts";
import type { TrainerMessage, TrainOrder } from "./trainer.ts";

// Entry of the training process; see trainer.ts.

const send = (message: TrainerMessage) =>
  new Promise<void>((resolve, reject) =>
    process.send!(message, undefined, undefined, (error) => (error ? reject(error) : resolve())),
  );

async function work(order: TrainOrder): Promise<void> {
  const city = defineCity(order.declaration);
  const target = city.targets[order.target]!;
  const version = await openVersion(order.dataset, {
    memoryMb: order.memoryMb,
    threads: order.threads,
    temporary: order.temporary,
  });
  let told = 0;
  const train = target.kind === "binary" ? trainStockOutCandidate : trainCandidate;
  const { candidate, model } = await train(version.connection, {
    city,
    target,
    lagMs: order.lagMs,
    knownAt: version.knownAt,
    threads: order.threads,
    ...(order.champion ? { champion: order.champion } : {}),
    onProgress: (message, share) => {
      if (share < 1 && performance.now() - told < 200) return;
      told = performance.now();
      void send({ type: "progress", message, share });
    },
  });
  version.close();
  const bytes = model.toBytes();
  await send({
    type: "done",
    candidate,
    model: bytes,
    peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
  });
}

// The server's answers come first; where priorities cannot be set, training merely competes.
try {
  setPriority(constants.priority.PRIORITY_LOW);
} catch {
  // Not permitted here.
}
process.on("disconnect", () => process.exit(1));
process.once("message", (order: TrainOrder) => {
  work(order).then(
    () => process.exit(0),
    async (error: unknown) => {
      await send({
        type: "failed",
        code: error instanceof CityScaleError ? error.code : "TRAINING_FAILED",
        message: messageOf(error),
      });
      process.exit(1);
    },
  );
});
