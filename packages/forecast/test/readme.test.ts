import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("the README's example prints what it says", () => {
  const folder = new URL("..", import.meta.url);
  const readme = readFileSync(new URL("README.md", folder), "utf8");
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme)!;
  const [, output] = /```text\n([\s\S]*?)```/.exec(readme)!;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "--eval", code!], {
    cwd: folder,
    encoding: "utf8",
    timeout: 20_000,
  });
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe(output);
});
