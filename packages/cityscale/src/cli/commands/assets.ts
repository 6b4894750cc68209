import type { Command } from "commander";
import { CityScaleError } from "../../core/index.ts";
import type { TrainReport } from "../../pipeline/index.ts";
import { print, withCityOf } from "../ask.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, type CityFlags, withCity } from "../options.ts";
import type { OwnerClient } from "../owner-client.ts";
import { Progress } from "../progress.ts";
import { listenForStop } from "../signals.ts";
import { trainedText } from "../up-summary.ts";

/** A job as the routes answer it; instants are ISO 8601. */
export interface JobAnswer {
  readonly id: string;
  readonly kind: string;
  readonly state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly actor: string;
  readonly progress: number;
  readonly message: string | null;
  readonly result: unknown;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly runAt: string;
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

interface BackfillFlags extends CityFlags {
  readonly from: string;
  readonly to: string;
}

const assetHelp = "observations, model, forecasts or outcomes";

export function addAssets(program: Command, add: Add, io: Io): void {
  add(
    withCity(
      program.command("run").description("make an asset now and wait for it").argument("<asset>", assetHelp),
    ),
    ["cityscale run model --city paris-bikes", "cityscale run observations --json"],
    ([asset], flags: CityFlags) => makeAsset(io, flags, { asset: asset! }),
  );
  add(
    withCity(
      program
        .command("train")
        .description(
          "train a model on what is known now, judge it beside the champion and the naive forecasts, and make it champion when it passes the gates",
        ),
    ),
    ["cityscale train --city paris-bikes", "cityscale train --city bay-wheels --target bikes-out-30 --json"],
    (_args, flags: CityFlags) =>
      makeAsset(io, flags, { asset: "model" }, (result) => trainedText(result as TrainReport)),
  );
  add(
    withCity(
      program
        .command("backfill")
        .description("make an asset for a past period and wait for it")
        .argument("<asset>", "observations, forecasts or outcomes")
        .requiredOption("--from <instant|date>", "start; a date is local to the city")
        .requiredOption("--to <instant|date>", "end, exclusive"),
    ),
    [
      "cityscale backfill observations --from 2026-01-01 --to 2026-01-08",
      "cityscale backfill forecasts --city paris-bikes --from 2021-07-01 --to 2021-07-08",
    ],
    ([asset], flags: BackfillFlags) =>
      makeAsset(io, flags, { asset: asset!, from: flags.from, to: flags.to }),
  );
}

/** @param more what is told of the result, beside the job's own last word */
async function makeAsset(
  io: Io,
  flags: CityFlags,
  order: { asset: string; from?: string; to?: string },
  more: (result: unknown) => string = () => "",
): Promise<number> {
  // From the very beginning: opening a data folder takes its time too, and is to end cleanly.
  using stop = listenForStop(() => io.err("Cancelling; once more to leave it.\n"));
  return await withCityOf(io, flags, { work: true, create: true }, async (client, city) => {
    stop.signal.throwIfAborted();
    const target = flags.target === undefined ? {} : { target: flags.target };
    const queued = await client.request<JobAnswer>("POST", "/v1/jobs", { ...order, city, ...target });
    const job = await follow(client, io, queued, `${order.asset} of ${city}`, stop.signal);
    print(io, flags.json, job, () =>
      job.state === "succeeded" ? `${more(job.result)}${job.kind}: ${job.message ?? "done"}\n` : "",
    );
    if (job.state === "succeeded") return exitCodes.done;
    if (job.state === "cancelled") return exitCodes.interrupted;
    io.err(`error: ${job.kind} failed: ${job.error?.message ?? job.message ?? "no reason was given"}\n`);
    return exitCodes.failed;
  });
}

/** Polls a job until it has finished, showing how far it is. Ctrl-C cancels it. */
export async function follow(
  client: OwnerClient,
  io: Io,
  queued: JobAnswer,
  label: string,
  stop: AbortSignal,
): Promise<JobAnswer> {
  const progress = new Progress(io);
  const everyMs = client.remote ? 300 : 100;
  try {
    for (
      let job = queued, cancelled = false;
      ;
      job = await client.request<JobAnswer>("GET", `/v1/jobs/${job.id}`)
    ) {
      if (job.finishedAt !== null) {
        progress.finish(job.id, label, job.state === "succeeded" ? (job.message ?? "") : job.state);
        return job;
      }
      const waits =
        job.state === "queued" && job.error
          ? `tried again at ${job.runAt}: ${job.error.message}`
          : job.message;
      progress.update(job.id, label, job.progress, waits);
      if (stop.aborted && !cancelled) {
        cancelled = true;
        await cancel(client, job.id);
      }
      await pause(everyMs, cancelled ? undefined : stop);
    }
  } finally {
    progress.close();
  }
}

async function cancel(client: OwnerClient, id: string): Promise<void> {
  try {
    await client.request("DELETE", `/v1/jobs/${id}`);
  } catch (error) {
    // It ended in this very moment.
    if (!(error instanceof CityScaleError) || error.code !== "CONFLICT") throw error;
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}
