import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

/** A real process that runs a piece of source, to be killed the hard way. */
export interface Child {
  readonly pid: number;
  /** Resolves when it prints a line that begins so, with that line; rejects with its errors when it ends first. */
  line(start: string): Promise<string>;
  /** SIGKILL: nothing in it gets to clean up. Resolves when the process is gone. */
  kill(): Promise<void>;
}

export function spawnSource(source: string): Child {
  const folder = mkdtempSync(join(tmpdir(), "child-"));
  const path = join(folder, "child.ts");
  writeFileSync(path, source);
  const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "pipe"] });
  const gone = new Promise<void>((resolve) => {
    child.once("close", () => {
      rmSync(folder, { recursive: true });
      resolve();
    });
  });
  let errors = "";
  child.stderr.on("data", (data) => {
    errors += data;
  });
  const lines = createInterface(child.stdout);
  const seen: string[] = [];
  lines.on("line", (text) => seen.push(text));
  return {
    pid: child.pid!,
    line: (start) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = seen.find((text) => text.startsWith(start));
          if (found !== undefined) resolve(found);
        };
        lines.on("line", look);
        look();
        gone.then(() => reject(new Error(`the process ended without saying "${start}": ${errors}`)));
      }),
    kill: async () => {
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** The public face of a room as a quoted specifier for an import in the child's source. */
spawnSource.room = (name: string): string =>
  JSON.stringify(pathToFileURL(join(import.meta.dirname, "../../src", name, "index.ts")).href);
