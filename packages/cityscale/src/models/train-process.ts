import { BinaryForecaster } from "@cityscale/forecast";
import { CityScaleError, messageOf, serveOrder } from "../core/index.ts";
import { defineCity } from "../domain/index.ts";
import { openVersion } from "../lake/index.ts";
import { trainCandidate } from "./candidate.ts";
import { newestCalibrations, trainStockOutCandidate } from "./stock-outs/index.ts";
import type { Recalibrated, RecalibrateOrder, Trained, TrainOrder, WorkMessage } from "./trainer.ts";

// Entry of the process that trains, and of the one that recalibrates; see trainer.ts.

const send = (message: WorkMessage) =>
  new Promise<void>((resolve, reject) =>
    process.send!(message, undefined, undefined, (error) => (error ? reject(error) : resolve())),
  );

let told = 0;
function onProgress(message: string, share: number): void {
  if (share < 1 && performance.now() - told < 200) return;
  told = performance.now();
  void send({ type: "progress", message, share });
}

type Opened = Awaited<ReturnType<typeof openVersion>>;

async function train(order: TrainOrder, version: Opened): Promise<Trained> {
  const city = defineCity(order.declaration);
  const target = city.targets[order.target]!;
  const options = {
    city,
    target,
    lagMs: order.lagMs,
    knownAt: version.knownAt,
    threads: order.threads,
    ...(order.champion ? { champion: order.champion } : {}),
    onProgress,
  };
  const { candidate, model } =
    target.kind === "binary"
      ? await trainStockOutCandidate(version.connection, options)
      : await trainCandidate(version.connection, options);
  return {
    candidate,
    model: model.toBytes(),
    peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

async function recalibrate(order: RecalibrateOrder, version: Opened): Promise<Recalibrated> {
  const models = Object.entries(order.models).map(
    ([target, { bytes, learnedUntil }]) =>
      [target, { model: BinaryForecaster.fromBytes(bytes), learnedUntil }] as const,
  );
  return await newestCalibrations(version.connection, {
    city: defineCity(order.declaration),
    knownAt: version.knownAt,
    models: new Map(models),
    onProgress,
  });
}

serveOrder<TrainOrder | RecalibrateOrder>(async (order) => {
  try {
    const version = await openVersion(order.dataset, {
      memoryMb: order.memoryMb,
      threads: order.threads,
      temporary: order.temporary,
    });
    const made = "models" in order ? await recalibrate(order, version) : await train(order, version);
    version.close();
    await send({ type: "done", made });
  } catch (error) {
    const code = error instanceof CityScaleError ? error.code : "TRAINING_FAILED";
    await send({ type: "failed", code, message: messageOf(error) });
  }
});
