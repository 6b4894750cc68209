import { CityScaleError } from "../core/index.ts";

/** Field names and their publisher's types, as kept in a cursor. */
export type FieldTypes = Readonly<Record<string, string>>;

/** What is new (`+name`), gone (`-name`) or of another type (`~name integer > text`) since the cursor was written. */
export function schemaChanges(before: FieldTypes | undefined, now: FieldTypes): string[] {
  if (!before) return [];
  const changes: string[] = [];
  for (const [name, type] of Object.entries(now)) {
    const old = before[name];
    if (old === undefined) changes.push(`+${name}`);
    else if (old !== type) changes.push(`~${name} ${old} > ${type}`);
  }
  for (const name of Object.keys(before)) if (!(name in now)) changes.push(`-${name}`);
  return changes;
}

/** Throws SOURCE_SCHEMA_CHANGED when a field that the source cannot do without is not there. */
export function requireFields(address: string, required: readonly string[], now: FieldTypes): void {
  const gone = required.filter((name) => !(name in now));
  if (gone.length > 0) {
    throw new CityScaleError(
      "SOURCE_SCHEMA_CHANGED",
      `${address} has no field ${gone.join(", ")}; it has ${Object.keys(now).join(", ") || "none"}`,
      { details: { address, gone, fields: Object.keys(now) } },
    );
  }
}
