import type { Command } from "commander";
import { print, withOwner } from "../ask.ts";
import { UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, type CityFlags, configOfWorld, wholeNumber, withCity, withWorld } from "../options.ts";
import { clip, percent, table } from "../table.ts";
import type { JobAnswer } from "./assets.ts";

interface ListFlags extends CityFlags {
  readonly state?: string;
  readonly limit?: number;
}

interface RunAnswer {
  readonly id: string;
  readonly city: string;
  readonly target: string;
  readonly kind: string;
  readonly state: string;
  readonly actor: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly error: { readonly message: string } | null;
  readonly scores: { readonly table?: { readonly gain: number | null } } | null;
}

export function addLists(program: Command, add: Add, io: Io): void {
  const limited = (command: Command) => command.option("--limit <n>", "rows wanted", wholeNumber("--limit"));
  add(
    limited(
      withCity(
        program
          .command("runs")
          .description("training runs, newest first; one with all it has by its id")
          .argument("[id]"),
      ).option("--state <state>", "running, succeeded or failed"),
    ),
    ["cityscale runs --city paris-bikes", "cityscale runs --state failed --json"],
    ([id], flags: ListFlags) =>
      oneOrList<{ runs: RunAnswer[] }>(io, flags, { path: "/v1/runs", id }, ({ runs }) =>
        table(runs, [
          { title: "run", value: (run) => run.id },
          { title: "city", value: (run) => run.city },
          { title: "target", value: (run) => run.target },
          { title: "kind", value: (run) => run.kind },
          { title: "state", value: (run) => run.state },
          { title: "gain", align: "right", value: (run) => percent(run.scores?.table?.gain) },
          { title: "by", value: (run) => run.actor },
          { title: "started", value: (run) => run.startedAt },
          { title: "error", value: (run) => clip(run.error?.message ?? "", 60) },
        ]),
      ),
  );
  add(
    limited(
      withWorld(
        program
          .command("jobs")
          .description("jobs of the engine, newest first; one with all it has by its id")
          .argument("[id]"),
      ).option("--state <state>", "queued, running, succeeded, failed or cancelled"),
    ),
    ["cityscale jobs", "cityscale jobs --state failed --limit 5"],
    ([id], flags: ListFlags) =>
      oneOrList<{ jobs: JobAnswer[] }>(io, flags, { path: "/v1/jobs", id }, ({ jobs }) =>
        table(jobs, [
          { title: "job", value: (job) => job.id },
          { title: "asset", value: (job) => job.kind },
          { title: "state", value: (job) => job.state },
          { title: "attempt", align: "right", value: (job) => `${job.attempt}/${job.maxAttempts}` },
          { title: "by", value: (job) => job.actor },
          { title: "made at", value: (job) => job.createdAt },
          { title: "says", value: (job) => clip(job.error?.message ?? job.message ?? "", 70) },
        ]),
      ),
  );
  add(
    program
      .command("cities")
      .description("the cities that can be run: built in, and those of the data folder")
      .option("--home <dir>", "the data folder (default: ./.cityscale)")
      .option("--json", "write the answer as JSON"),
    ["cityscale cities", "cityscale cities --json"],
    async (_args, flags: CityFlags) => {
      const { home } = configOfWorld(io, flags);
      const { cityIds, loadCity } = await import("../../app/index.ts");
      const cities = await Promise.all(
        cityIds(home).map(async (id) => {
          const city = await loadCity(id, home);
          return {
            id,
            name: city.name,
            timeZone: city.timeZone,
            step: city.step,
            targets: Object.keys(city.targets),
          };
        }),
      );
      if (cities.length === 0) throw new UsageError("there are no cities");
      print(io, flags.json, { cities }, () =>
        table(cities, [
          { title: "city", value: (city) => city.id },
          { title: "name", value: (city) => city.name },
          { title: "time zone", value: (city) => city.timeZone },
          { title: "step", value: (city) => city.step },
          { title: "targets", value: (city) => city.targets.join(", ") },
        ]),
      );
      return undefined;
    },
  );
}

/** Prints a table of what the flags ask for, or, by its id, all there is of one. */
function oneOrList<Answer>(
  io: Io,
  flags: ListFlags,
  { path, id }: { path: string; id: string | undefined },
  render: (answer: Answer) => string,
): Promise<undefined> {
  return withOwner(io, flags, {}, async (client) => {
    if (id !== undefined) {
      print(io, true, await client.request("GET", `${path}/${encodeURIComponent(id)}`), String);
      return undefined;
    }
    const { queryOf } = await import("../owner-client.ts");
    const { city, target, state, limit } = flags;
    const answer = await client.request<Answer>("GET", `${path}${queryOf({ city, target, state, limit })}`);
    print(io, flags.json, answer, render);
    return undefined;
  });
}
