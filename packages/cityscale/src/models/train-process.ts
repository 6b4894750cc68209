import type { BinaryForecaster } from "@cityscale/forecast";
import { CityScaleError, messageOf, serveOrder } from "../core/index.ts";
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
  const options = {
    city,
    target,
    lagMs: order.lagMs,
    knownAt: version.knownAt,
    threads: order.threads,
    ...(order.champion ? { champion: order.champion } : {}),
    onProgress: (message: string, share: number) => {
      if (share < 1 && performance.now() - told < 200) return;
      told = performance.now();
      void send({ type: "progress", message, share });
    },
  };
  const { candidate, model, recalibrated } =
    target.kind === "binary"
      ? await trainStockOutCandidate(version.connection, options)
      : {
          ...(await trainCandidate(version.connection, options)),
          recalibrated: { candidate: null, champion: null },
        };
  version.close();
  const bytes = model.toBytes();
  await send({
    type: "done",
    candidate,
    model: bytes,
    recalibrated: { candidate: stored(recalibrated.candidate), champion: stored(recalibrated.champion) },
    peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
  });
}

const stored = (model: BinaryForecaster | null) =>
  model && { bytes: model.toBytes(), alarms: model.thresholds };

serveOrder<TrainOrder>(async (order) => {
  try {
    await work(order);
  } catch (error) {
    const code = error instanceof CityScaleError ? error.code : "TRAINING_FAILED";
    await send({ type: "failed", code, message: messageOf(error) });
  }
});
