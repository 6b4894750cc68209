import { resolve } from "node:path";
import type { Config } from "../core/index.ts";
import type { Io } from "./io.ts";
import { type CityFlags, configOfWorld } from "./options.ts";
import type { OwnerClient } from "./owner-client.ts";

/** Opens the way to the data folder's owner for the length of `work`. */
export async function withOwner<Result>(
  io: Io,
  flags: CityFlags,
  options: { readonly work?: boolean; readonly create?: boolean },
  work: (client: OwnerClient, config: Config) => Promise<Result>,
): Promise<Result> {
  const config = configOfWorld(io, flags);
  // Loaded only now: it brings the whole program with it, which `--help` does not need.
  const { connectOwner } = await import("./owner-client.ts");
  const client = await connectOwner({
    config,
    recordings: flags.recordings === undefined ? undefined : resolve(flags.recordings),
    seed: flags.seed,
    ...options,
  });
  try {
    return await work(client, config);
  } finally {
    await client.close();
  }
}

/** Asks about one city. */
export async function withCityOf<Result>(
  io: Io,
  flags: CityFlags,
  options: { readonly work?: boolean; readonly create?: boolean },
  work: (client: OwnerClient, city: string) => Promise<Result>,
): Promise<Result> {
  const { cityIdOf } = await import("./owner-client.ts");
  return await withOwner(io, flags, options, async (client, config) =>
    work(client, await cityIdOf(client, config, flags.city)),
  );
}

/** The answer as JSON, or as `text` makes it for people. */
export function print<Answer>(
  io: Io,
  json: boolean | undefined,
  answer: Answer,
  text: (answer: Answer) => string,
): void {
  io.out(json ? `${JSON.stringify(answer, null, 2)}\n` : text(answer));
}
