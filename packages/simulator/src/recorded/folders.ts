import { stat } from "node:fs/promises";
import { join } from "node:path";

/** Folders that are not called as their city is. */
const NAMES: Record<string, { counts: string; weather: string }> = {
  "nyc-311": { counts: "nyc311", weather: "nyc-weather" },
  "paris-velib": { counts: "api-samples/gbfs-velib", weather: "api-samples/gbfs-velib" },
  "bay-wheels": { counts: "baywheels", weather: "baywheels" },
};

/**
 * The folder with a city's recordings.
 * @throws RangeError if there is none
 */
export async function recordingFolder(
  root: string,
  city: string,
  what: "counts" | "weather" = "counts",
): Promise<string> {
  const folder = join(root, NAMES[city]?.[what] ?? city);
  const found = await stat(folder).catch(() => null);
  if (found === null) throw new RangeError(`no recordings of ${city}: there is no folder ${folder}`);
  return folder;
}
