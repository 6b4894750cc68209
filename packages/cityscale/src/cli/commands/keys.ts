import type { Command } from "commander";
import { print, withOwner } from "../ask.ts";
import type { Io } from "../io.ts";
import { type Add, type WorldFlags, withWorld } from "../options.ts";
import { table } from "../table.ts";

interface KeyAnswer {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly createdAt: string;
  readonly revokedAt: string | null;
  readonly lastUsedAt: string | null;
}

export function addKeys(program: Command, add: Add, io: Io): void {
  const keys = program
    .command("keys")
    .description("API keys of a data folder")
    .addHelpText("after", "\nExample:\n  cityscale keys create dashboard --role viewer\n");
  add(
    withWorld(
      keys
        .command("create")
        .description("make an API key; it is shown once")
        .argument("<name>", "whose it is, for the logs")
        .option("--role <role>", "viewer, operator or admin", "viewer"),
    ),
    ["cityscale keys create dashboard --role viewer"],
    ([name], flags: WorldFlags & { role: string }) =>
      withOwner(io, flags, {}, async (client) => {
        const answer = await client.request<{ id: string; name: string; role: string; key: string }>(
          "POST",
          "/v1/keys",
          { name, role: flags.role },
        );
        print(
          io,
          flags.json,
          answer,
          ({ key, id, role }) => `${key}\n${role}'s key ${id}; it is shown only now\n`,
        );
        return undefined;
      }),
  );
  add(
    withWorld(keys.command("list").description("all API keys, without their secrets")),
    ["cityscale keys list --json"],
    (_args, flags: WorldFlags) =>
      withOwner(io, flags, {}, async (client) => {
        const answer = await client.request<{ keys: KeyAnswer[] }>("GET", "/v1/keys");
        print(io, flags.json, answer, (all) =>
          table(all.keys, [
            { title: "id", value: (key) => key.id },
            { title: "name", value: (key) => key.name },
            { title: "role", value: (key) => key.role },
            { title: "made at", value: (key) => key.createdAt },
            { title: "last used", value: (key) => key.lastUsedAt ?? "never" },
            { title: "revoked", value: (key) => key.revokedAt ?? "" },
          ]),
        );
        return undefined;
      }),
  );
  add(
    withWorld(
      keys
        .command("revoke")
        .description("take an API key's power away at once")
        .argument("<id>", "as `keys list` shows it"),
    ),
    ["cityscale keys revoke 1f2e3d4c5b6a"],
    ([id], flags: WorldFlags) =>
      withOwner(io, flags, {}, async (client) => {
        const answer = await client.request<{ id: string; revoked: true }>(
          "DELETE",
          `/v1/keys/${encodeURIComponent(id!)}`,
        );
        print(io, flags.json, answer, () => `key ${id} is revoked\n`);
        return undefined;
      }),
  );
}
