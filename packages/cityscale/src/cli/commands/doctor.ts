import type { Command } from "commander";
import { print } from "../ask.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Add, collect, configOf, quietly, sourcesOf } from "../options.ts";
import { table } from "../table.ts";

interface DoctorFlags {
  readonly city?: string[];
  readonly source?: string[];
  readonly home?: string;
  readonly clock?: string;
  readonly json?: boolean;
}

export function addDoctor(program: Command, add: Add, io: Io): void {
  add(
    program
      .command("doctor")
      .description(
        "check everything that a start needs: program, folder, disk, time zones, settings, each source",
      )
      .option(
        "--city <id|file>",
        "a city whose sources are tried; repeatable (default: sydney-pedestrians)",
        collect,
      )
      .option("--source <name=address>", "try this address or folder for a source; repeatable", collect)
      .option("--home <dir>", "the data folder (default: ./.cityscale)")
      .option("--clock <instant>", "try the sources as of this instant")
      .option("--json", "write the answer as JSON"),
    [
      "cityscale doctor --city paris-bikes",
      "cityscale doctor --city paris-bikes --source counts=http://127.0.0.1:9000 --json",
    ],
    async (_args, flags: DoctorFlags) => {
      const config = configOf(io, {
        cities: flags.city,
        home: flags.home,
        logLevel: quietly(io),
        clockStart: flags.clock,
        sources: sourcesOf(flags.source),
      });
      const { examine } = await import("../doctor.ts");
      const findings = await examine(config);
      const ok = findings.every(({ state }) => state !== "failed");
      print(io, flags.json, { ok, findings }, () =>
        table(findings, [
          { title: "check", value: (finding) => finding.check },
          { title: "state", value: (finding) => (finding.state === "failed" ? "FAILED" : finding.state) },
          { title: "", value: (finding) => finding.says },
        ]),
      );
      return ok ? exitCodes.done : exitCodes.failed;
    },
  );
}
