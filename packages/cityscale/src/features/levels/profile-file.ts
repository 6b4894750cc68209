import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { atomicWrite } from "../../core/index.ts";
import { type FallProfile, fallDepths, type ProfileWindows } from "./fall-profile.ts";
import type { StationProfiles } from "./profiles.ts";
import { slotCount } from "./slots.ts";

/** Arrays of a profile in the order in which they are stored, with what they hold for each station. */
const arrays = {
  fall: slotCount * fallDepths,
  falls: slotCount,
  rises: slotCount,
  short: slotCount,
  count: slotCount,
  shortShare: 1,
  fallBy3: 1,
  turnover: 1,
} as const satisfies Record<keyof FallProfile, number>;
const names = Object.keys(arrays) as (keyof FallProfile)[];
const windowsPerTarget = 3;

const digestBytes = 32;
const lengthBytes = 4;

interface Header {
  /** What the profiles were made from, and how. */
  readonly key: string;
  readonly asOf: number;
  readonly entities: readonly number[];
  readonly targets: number;
}

/**
 * Writes profiles to a file, whole or not at all: SHA-256 of the rest, length of a JSON header, the header, and the
 * arrays as they lie in memory.
 */
export async function writeProfiles(
  path: string,
  key: string,
  { asOf, entities, targets }: StationProfiles,
): Promise<void> {
  const header: Header = { key, asOf, entities, targets: targets.length };
  const text = JSON.stringify(header);
  // The arrays begin at a multiple of four.
  const told = Buffer.from(text.padEnd(Math.ceil(text.length / 4) * 4));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32LE(told.length);
  const parts: Uint8Array[] = [length, told];
  for (const windows of targets) {
    for (const window of windows) {
      for (const name of names) {
        const { buffer, byteOffset, byteLength } = window[name];
        parts.push(new Uint8Array(buffer, byteOffset, byteLength));
      }
    }
  }
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  await atomicWrite(path, [hash.digest(), ...parts]);
}

/** The profiles of a file that were stored under a key; null where there is none, another one, or a damaged one. */
export async function readProfiles(path: string, key: string): Promise<StationProfiles | null> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  const rest = bytes.subarray(digestBytes);
  if (!createHash("sha256").update(rest).digest().equals(bytes.subarray(0, digestBytes))) return null;
  const first = lengthBytes + rest.readUInt32LE();
  const header = JSON.parse(rest.toString("utf8", lengthBytes, first)) as Header;
  if (header.key !== key) return null;
  const { asOf, entities, targets } = header;
  let at = rest.byteOffset + first;
  const next = (name: keyof FallProfile) => {
    const values = new Float32Array(bytes.buffer, at, arrays[name] * (entities.length + 1));
    at += values.byteLength;
    return values;
  };
  const window = () => Object.fromEntries(names.map((name) => [name, next(name)])) as unknown as FallProfile;
  const windows = () => Array.from({ length: windowsPerTarget }, window) as unknown as ProfileWindows;
  return { asOf, entities, targets: Array.from({ length: targets }, windows) };
}
