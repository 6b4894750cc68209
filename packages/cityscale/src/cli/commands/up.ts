import { resolve } from "node:path";
import type { Command } from "commander";
import type { Io } from "../io.ts";
import { type Add, collect, configOf, quietly, sourcesOf, wholeNumber } from "../options.ts";

interface UpFlags {
  readonly city?: string[];
  readonly recordings?: string;
  readonly once?: boolean;
  readonly source?: string[];
  readonly clock?: string;
  readonly speed?: string;
  readonly home?: string;
  readonly seed?: number;
  readonly host?: string;
  readonly port?: string;
  readonly basePath?: string;
  readonly logLevel?: string;
  readonly json?: boolean;
}

export function addUp(program: Command, add: Add, io: Io): void {
  add(
    program
      .command("up")
      .description(
        "run cities: read, train, judge, forecast and serve, first at once and then on their schedules",
      )
      .option(
        "--city <id|file>",
        "a city to run; repeatable (default: sydney-pedestrians, simulated)",
        collect,
      )
      .option(
        "--recordings <root>",
        "serve the recordings under this folder in place of the publishers, on a virtual clock",
      )
      .option("--once", "stop after the first whole loop")
      .option(
        "--source <name=address>",
        "read a source from this http(s) address or folder; repeatable",
        collect,
      )
      .option("--clock <instant>", "run on a virtual clock from here on, e.g. 2021-08-09T03:00:00Z")
      .option("--speed <factor>", "virtual seconds per second; needs --clock")
      .option("--home <dir>", "the data folder (default: ./.cityscale)")
      .option("--seed <n>", "seed of a simulated city", wholeNumber("--seed"))
      .option("--host <address>", "address to listen on (default: 127.0.0.1)")
      .option(
        "--port <n>",
        "port to listen on; 0 takes a free one (default: 8080, or a free one where it is taken)",
      )
      .option("--base-path <path>", "path under which a reverse proxy serves everything, e.g. /forecasts")
      .option("--log-level <level>", "least level of the JSON log on standard error (default: warn)")
      .option("--json", "write events as lines of JSON to standard output"),
    [
      "cityscale up",
      "cityscale up --city paris-bikes --recordings ../shared/data --once",
      "cityscale up --source counts=http://127.0.0.1:9000 --home /var/lib/cityscale --port 8080",
    ],
    async (_args, flags: UpFlags) => {
      const config = configOf(io, {
        cities: flags.city,
        home: flags.home,
        host: flags.host,
        port: flags.port,
        basePath: flags.basePath,
        logLevel: flags.logLevel ?? quietly(io),
        clockStart: flags.clock,
        clockSpeed: flags.speed,
        sources: sourcesOf(flags.source),
      });
      const { up } = await import("../up.ts");
      return await up(
        {
          config,
          ...(flags.recordings === undefined ? {} : { recordings: resolve(flags.recordings) }),
          ...(flags.seed === undefined ? {} : { seed: flags.seed }),
          once: flags.once === true,
          json: flags.json === true,
          portAsked: flags.port !== undefined || Boolean(io.env["CITYSCALE_PORT"]),
        },
        io,
      );
    },
  );
}
