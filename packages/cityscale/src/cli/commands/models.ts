import type { Command } from "commander";
import { print, withCityOf } from "../ask.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, type CityFlags, wholeNumber, withCity } from "../options.ts";
import { percent, table } from "../table.ts";

interface ModelsFlags extends CityFlags {
  readonly history?: boolean;
  readonly at?: string;
}

interface VersionAnswer {
  readonly target: string;
  readonly version: number;
  readonly kind: string;
  readonly aliases: readonly string[];
  readonly datasetVersion: string | null;
  readonly createdAt: string;
  readonly calibratedAt: string | null;
  readonly scores: {
    readonly gain?: number | null;
    readonly wape?: number | null;
    readonly models?: readonly { readonly name: string; readonly wape: number | null }[];
  };
}

interface PromotionAnswer {
  readonly at: string;
  readonly target: string;
  readonly action: string;
  readonly version: number | null;
  readonly fromVersion: number | null;
  readonly actor: string;
  readonly reason: string;
}

export function addModels(program: Command, add: Add, io: Io): void {
  add(
    withCity(
      program
        .command("models")
        .description(
          "model versions with their scores; the champion, now or at an instant; the log of promotions",
        )
        .option("--history", "the log of promotions and rollbacks")
        .option("--at <instant|date>", "which version was champion then"),
    ),
    [
      "cityscale models",
      "cityscale models --city paris-bikes --history",
      "cityscale models --at 2026-01-26T09:00:00Z",
    ],
    (_args, flags: ModelsFlags) => showModels(io, flags),
  );
  add(
    withCity(
      program
        .command("promote")
        .description("make a model version champion")
        .argument("<version>", "its number; 0 is the naive forecast", wholeNumber("version"))
        .requiredOption("--reason <text>", "why; it is kept in the log"),
    ),
    ['cityscale promote 3 --reason "better on the holidays"'],
    (args, flags: CityFlags & { reason: string }) =>
      withCityOf(io, flags, {}, async (client, city) => {
        const { queryOf } = await import("../owner-client.ts");
        const version = Number(args[0]);
        const target = flags.target === undefined ? {} : { target: flags.target };
        const now = await client.request<{ version: number | null }>(
          "GET",
          `/v1/models/champion${queryOf({ city, ...target })}`,
        );
        if (now.version === version) {
          io.err(`version ${version} is the champion already\n`);
          return exitCodes.refused;
        }
        const line = await client.request<PromotionAnswer>("POST", "/v1/models/promote", {
          city,
          ...target,
          version,
          reason: flags.reason,
        });
        print(io, flags.json, line, promotionText);
        return exitCodes.done;
      }),
  );
  add(
    withCity(
      program
        .command("rollback")
        .description("make the champion before this one champion again")
        .requiredOption("--reason <text>", "why; it is kept in the log"),
    ),
    ['cityscale rollback --city paris-bikes --reason "misses the evening peak"'],
    (_args, flags: CityFlags & { reason: string }) =>
      withCityOf(io, flags, {}, async (client, city) => {
        const target = flags.target === undefined ? {} : { target: flags.target };
        const line = await client.request<PromotionAnswer>("POST", "/v1/models/rollback", {
          city,
          ...target,
          reason: flags.reason,
        });
        print(io, flags.json, line, promotionText);
        return exitCodes.done;
      }),
  );
}

const promotionText = (line: PromotionAnswer) =>
  `${line.target}: version ${line.version} is champion${line.fromVersion === null ? "" : `, before it was version ${line.fromVersion}`}\n`;

function showModels(io: Io, flags: ModelsFlags): Promise<number> {
  return withCityOf(io, flags, {}, async (client, city) => {
    const { queryOf } = await import("../owner-client.ts");
    const query = queryOf({ city, target: flags.target });
    if (flags.at !== undefined) {
      const path = `/v1/models/champion${queryOf({ city, target: flags.target, at: flags.at })}`;
      const answer = await client.request<{ target: string; at: string; version: number | null }>(
        "GET",
        path,
      );
      print(
        io,
        flags.json,
        answer,
        ({ target, at, version }) =>
          `${target}: ${version === null ? "no champion" : `version ${version} was champion`} at ${at}\n`,
      );
      return exitCodes.done;
    }
    if (flags.history) {
      const answer = await client.request<{ promotions: PromotionAnswer[] }>(
        "GET",
        `/v1/models/history${query}`,
      );
      print(io, flags.json, answer, ({ promotions }) =>
        table(promotions, [
          { title: "at", value: (line) => line.at },
          { title: "target", value: (line) => line.target },
          { title: "what", value: (line) => line.action },
          {
            title: "version",
            align: "right",
            value: (line) => `${line.fromVersion ?? "-"} -> ${line.version ?? "-"}`,
          },
          { title: "by", value: (line) => line.actor },
          { title: "why", value: (line) => line.reason },
        ]),
      );
      return exitCodes.done;
    }
    const answer = await client.request<{ models: VersionAnswer[] }>("GET", `/v1/models${query}`);
    print(io, flags.json, answer, ({ models }) =>
      models.length === 0
        ? "there are no model versions yet\n"
        : table(models, [
            { title: "version", align: "right", value: (model) => String(model.version) },
            { title: "target", value: (model) => model.target },
            { title: "kind", value: (model) => model.kind },
            { title: "alias", value: (model) => model.aliases.join(", ") },
            { title: "WAPE", align: "right", value: (model) => percent(wapeOf(model), 2) },
            { title: "gain", align: "right", value: (model) => percent(model.scores.gain) },
            { title: "dataset", value: (model) => model.datasetVersion?.slice(0, 12) ?? "-" },
            { title: "made at", value: (model) => model.createdAt },
            ...(models.some(({ calibratedAt }) => calibratedAt !== null)
              ? [{ title: "calibrated at", value: (model: VersionAnswer) => model.calibratedAt ?? "" }]
              : []),
          ]),
    );
    return exitCodes.done;
  });
}

/** Of the model itself: version 0 keeps its own row, a trained one the table it was judged in. */
const wapeOf = ({ kind, scores }: VersionAnswer) =>
  scores.models?.find((model) => model.name === kind)?.wape ?? scores.wape ?? null;
