import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const folder = new URL("..", import.meta.url);
const readme = readFileSync(new URL("README.md", folder), "utf8");
const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```\s*```text\n([\s\S]*?)```/g)].map(
  ([, code, output], k) => [k + 1, code!, output!] as const,
);

test("every example of the README says what it prints", () => {
  expect(examples.length).toBe(readme.match(/```ts\n/g)!.length);
});

test.each(examples)("the README's example %i prints what it says", (_, code, output) => {
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "--eval", code], {
    cwd: folder,
    encoding: "utf8",
    timeout: 20_000,
  });
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe(output);
});
