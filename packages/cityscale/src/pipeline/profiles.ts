import { formatLocal } from "../domain/index.ts";
import type { CityParts, Progress } from "./parts.ts";

/** Whether what stations usually do can be made already for a week to come, and is not kept yet. */
export const profilesDue = async ({ risk }: Pick<CityParts, "risk">): Promise<boolean> =>
  (await risk?.profilesDue()) ?? false;

/** Makes it, so that no batch has to. Returns the instant of whose knowledge it is; null where there is none to make. */
export async function profiles(
  { city, risk }: CityParts,
  progress: Progress,
): Promise<{ asOf: number | null }> {
  const asOf = (await risk?.keepProfiles(progress.signal)) ?? null;
  progress.heartbeat(
    1,
    asOf === null
      ? "there are no profiles to come"
      : `profiles of what was known at ${formatLocal(city.timeZone, asOf)} are kept`,
  );
  return { asOf };
}
