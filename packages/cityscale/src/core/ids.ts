import { randomBytes } from "node:crypto";

/** A new id such as `job_9f2c...`: 80 random bits, safe in addresses and file names. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(10).toString("hex")}`;
}
