import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Removes what a killed process was in the middle of writing: spilled queries, scratch databases of trainings and
 * half-exported dataset versions. Only for the owner of the folder, before it opens anything in it.
 */
export function removeLeftovers(home: string): void {
  rmSync(join(home, "lakes", "tmp"), { recursive: true, force: true });
  const datasets = join(home, "datasets");
  if (!existsSync(datasets)) return;
  for (const path of readdirSync(datasets, { recursive: true, encoding: "utf8" })) {
    if (/(?:^|[/\\])\.writing-[^/\\]*$/.test(path))
      rmSync(join(datasets, path), { recursive: true, force: true });
  }
}
