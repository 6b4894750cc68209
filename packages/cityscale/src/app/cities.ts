import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { CityScaleError, nearestOf } from "../core/index.ts";
import { type City, type CityDeclaration, CityError, defineCity } from "../domain/index.ts";

/** City files that come with the program, beside the packages. */
export const builtInCities = fileURLToPath(new URL("../../../../cities/", import.meta.url));

/** Ids of the built-in cities and of those in the data folder. */
export function cityIds(home: string): string[] {
  const ids = [builtInCities, join(home, "cities")].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder).flatMap((file) => /^([a-z0-9-]+)\.(?:ts|json)$/.exec(file)?.[1] ?? [])
      : [],
  );
  return [...new Set(ids)].filter((id) => id !== "package").sort();
}

/**
 * Loads a city by id (the data folder's own first, then the built-in ones) or from a `.ts` or `.json` file.
 * Throws CITY_UNKNOWN with the nearest name, CITY_INVALID with every wrong field.
 */
export async function loadCity(name: string, home: string): Promise<City> {
  const path = /[./\\]/.test(name)
    ? resolve(name)
    : [join(home, "cities"), builtInCities]
        .flatMap((folder) => [join(folder, `${name}.ts`), join(folder, `${name}.json`)])
        .find((file) => existsSync(file));
  if (path === undefined || !existsSync(path)) {
    const ids = cityIds(home);
    throw new CityScaleError(
      "CITY_UNKNOWN",
      `there is no city "${name}"; there are ${ids.join(", ")}. Did you mean ${nearestOf(name, ids)}?`,
    );
  }
  try {
    if (path.endsWith(".json"))
      return defineCity(JSON.parse(await readFile(path, "utf8")) as CityDeclaration);
    const module = (await import(pathToFileURL(path).href)) as { default?: unknown };
    const city = module.default as City | CityDeclaration | undefined;
    if (city === undefined || city === null || typeof city !== "object") {
      throw new CityError(name, ["the file must `export default defineCity({ ... })`"]);
    }
    return "declaration" in city ? (city as City) : defineCity(city as CityDeclaration);
  } catch (error) {
    if (error instanceof CityScaleError) throw error;
    if (error instanceof CityError)
      throw new CityScaleError("CITY_INVALID", error.message, {
        cause: error,
        details: { problems: error.problems },
      });
    throw new CityScaleError("CITY_INVALID", `${path} cannot be loaded`, { cause: error });
  }
}
