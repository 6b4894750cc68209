import type { Command } from "commander";
import { print, withCityOf } from "../ask.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, type WorldFlags, withWorld } from "../options.ts";
import { listenForStop } from "../signals.ts";
import { table, whole } from "../table.ts";
import { follow, type JobAnswer } from "./assets.ts";

interface RetentionFlags extends WorldFlags {
  readonly city?: string;
  readonly apply?: boolean;
}

interface KindAnswer {
  readonly kind: string;
  readonly target: string | null;
  readonly keep: string | null;
  readonly before: string | number | null;
  readonly rows: number;
  readonly holds: string | null;
}

interface RetentionAnswer {
  readonly city: string;
  readonly kinds: readonly KindAnswer[];
  readonly jobs: { readonly keep: string; readonly before: string | number; readonly rows: number };
}

export function addRetention(program: Command, add: Add, io: Io): void {
  add(
    withWorld(
      program
        .command("retention")
        .description(
          "what is older than the city keeps it; --apply removes it, as the job of every night does",
        )
        .option("--city <id|file>", "the city; not needed where one runs")
        .option("--apply", "remove it, and wait until it is gone"),
    ),
    ["cityscale retention --city bay-wheels", "cityscale retention --city bay-wheels --apply"],
    async (_, flags: RetentionFlags) => await (flags.apply ? apply(io, flags) : plan(io, flags)),
  );
}

async function plan(io: Io, flags: RetentionFlags): Promise<undefined> {
  return await withCityOf(io, flags, {}, async (client, city) => {
    const path = `/v1/cities/${encodeURIComponent(city)}/retention`;
    const answer = await client.request<RetentionAnswer>("GET", path);
    print(
      io,
      flags.json,
      answer,
      (told) => `${reportText(told, "goes")}Nothing was removed: --apply does.\n`,
    );
    return undefined;
  });
}

async function apply(io: Io, flags: RetentionFlags): Promise<number> {
  using stop = listenForStop(() => io.err("Cancelling; once more to leave it.\n"));
  return await withCityOf(io, flags, { work: true }, async (client, city) => {
    stop.signal.throwIfAborted();
    const queued = await client.request<JobAnswer>("POST", "/v1/retention", { city });
    const job = await follow(client, io, queued, `retention of ${city}`, stop.signal);
    if (job.state === "succeeded") {
      print(io, flags.json, answerOf(job.result as RetentionAnswer), (told) => reportText(told, "went"));
      return exitCodes.done;
    }
    if (job.state === "cancelled") return exitCodes.interrupted;
    io.err(`error: retention failed: ${job.error?.message ?? job.message ?? "no reason was given"}\n`);
    return exitCodes.failed;
  });
}

/** The job's result has instants as numbers; the answer is the same either way. */
function answerOf({ city, kinds, jobs }: RetentionAnswer): RetentionAnswer {
  return {
    city,
    kinds: kinds.map((item) => ({ ...item, before: item.before === null ? null : text(item.before) })),
    jobs: { ...jobs, before: text(jobs.before) },
  };
}

const text = (instant: string | number) => new Date(instant).toISOString();

function reportText({ city, kinds, jobs }: RetentionAnswer, verb: "goes" | "went"): string {
  const rows = [...kinds, { kind: "jobs", target: null, holds: null, ...jobs }];
  return (
    `Retention of ${city}\n` +
    table(rows, [
      { title: "what", value: ({ kind, target }) => (target === null ? kind : `${kind} of ${target}`) },
      { title: "kept", value: ({ keep }) => keep ?? "for ever" },
      { title: `${verb} before`, value: ({ before }) => (before === null ? "-" : text(before).slice(0, 16)) },
      { title: verb, align: "right", value: ({ rows: count }) => whole(count) },
      { title: "held back", value: ({ holds }) => holds ?? "" },
    ])
  );
}
