import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { inProcess } from "./support.ts";

const silent = { out: () => undefined, err: () => undefined, live: false, columns: 100, env: {} };

/** Every command as it is typed. */
function namesOf(command: Command, path: string[] = []): string[][] {
  return command.commands.flatMap((child) => {
    const here = [...path, child.name()];
    return [here, ...namesOf(child, here)];
  });
}

describe("the command line", () => {
  const names = namesOf(createProgram(silent, () => undefined));

  test("has every command of the contract", () => {
    const top = names.filter((name) => name.length === 1).map(([name]) => name);
    for (const name of [
      "up",
      "run",
      "train",
      "backfill",
      "backtest",
      "compare",
      "tune",
      "predict",
      "explain",
      "models",
      "promote",
      "rollback",
      "quality",
      "runs",
      "jobs",
      "keys",
      "cities",
      "backup",
      "restore",
      "doctor",
      "city",
    ]) {
      expect(top).toContain(name);
    }
  });

  test.each(names.map((path) => [path.join(" "), path] as const))(
    "%s shows an example that it understands",
    async (_name, path) => {
      const { code, out } = await inProcess(...path, "--help");
      expect(code).toBe(0);
      expect(out).toMatch(/Examples?:\n {2}cityscale /);
      // A group's example is one of a command below it.
      if (out.includes("\nCommands:\n")) return;
      // Every option of an example exists: an example that has gone stale is worse than none.
      for (const [option] of out.slice(out.search(/Examples?:/)).matchAll(/--[a-z][a-z-]+/g))
        expect(out.split(/Examples?:/)[0]).toContain(option);
    },
  );

  test.each([
    [["nonsense"], /unknown command/],
    [["models", "--frobnicate"], /unknown option/],
    [["up", "--seed", "x"], /whole number/],
    [["up", "--source", "counts"], /name=address/],
    [["up", "--source", "counts=ftp://x"], /http\(s\) address or a folder/],
    [["up", "--recordings", "/no/such/folder"], /there is no such folder/],
    [["predict", "a", "--leads", "3-1"], /write for example 1-24/],
    [["predict", "a", "--what-if", "{"], /expected JSON/],
    [["models", "--home", "/no/such/home"], /no data folder/],
    [["restore", "/no/such/file"], /no such file/],
  ])("%j is wrong use: exit code 2 and a message", async (args, message) => {
    const { code, out, err } = await inProcess(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
  });

  test("an error is JSON where JSON was asked for", async () => {
    const { code, out, err } = await inProcess("models", "--home", "/no/such/home", "--json");
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(JSON.parse(err)).toMatchObject({
      error: { code: "USAGE", message: expect.stringContaining("no data folder") },
    });
  });
});
