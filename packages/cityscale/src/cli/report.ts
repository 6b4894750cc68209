import { resolve } from "node:path";
import { atomicWrite } from "../core/index.ts";
import type { Io } from "./io.ts";

/** Writes a report as JSON to a file or to standard output, and as text where standard output is free for it. */
export async function writeReport<Report>(
  report: Report,
  file: string | undefined,
  io: Io,
  text: (report: Report) => string,
): Promise<void> {
  if (file === "-") {
    io.out(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  if (file !== undefined) {
    await atomicWrite(resolve(file), `${JSON.stringify(report, null, 2)}\n`);
    io.err(`written to ${file}\n`);
  }
  io.out(text(report));
}
