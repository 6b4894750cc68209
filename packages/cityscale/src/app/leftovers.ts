import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Removes what a killed process was in the middle of writing or removing: spilled queries, scratch databases of
 * trainings, profiles, dataset versions and backups. Only for the owner of the folder, before it opens anything in it.
 */
export function removeLeftovers(home: string): void {
  rmSync(join(home, "lakes", "tmp"), { recursive: true, force: true });
  const halves = {
    backups: /^\.[^/\\]+$/,
    datasets: /(?:^|[/\\])\.(?:writing|removing)-[^/\\]*$/,
    // An earlier version kept one file for each city.
    profiles: /\.tmp$|^[^/\\]+\.bin$/,
  };
  for (const [name, half] of Object.entries(halves)) {
    const folder = join(home, name);
    if (!existsSync(folder)) continue;
    for (const path of readdirSync(folder, { recursive: true, encoding: "utf8" }))
      if (half.test(path)) rmSync(join(folder, path), { recursive: true, force: true });
  }
}
