import { createHash } from "node:crypto";
import { ForecastError } from "./errors.ts";

// A saved forecaster, little-endian:
//   8 bytes  magic "CITYFCST"
//   u32      version of this layout
//   u32      bytes of the header
//   header   JSON, UTF-8: { kind, sections: [bytes of each], fields }
//   sections one after the other
//   32 bytes SHA-256 of everything before
// The checksum finds damage; it is no signature: every value read is checked again for what it must be.

const MAGIC = new TextEncoder().encode("CITYFCST");
const LAYOUT = 1;
const PREFIX = MAGIC.length + 8;
const CHECKSUM = 32;

/** Kind, header fields and binary sections as one array of bytes; the same input gives the same bytes. */
export function pack(kind: string, fields: object, sections: readonly Uint8Array[]): Uint8Array {
  const lengths = sections.map((section) => section.length);
  const header = new TextEncoder().encode(JSON.stringify({ kind, sections: lengths, fields }));
  const size = lengths.reduce((sum, length) => sum + length, PREFIX + header.length + CHECKSUM);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(MAGIC.length, LAYOUT, true);
  view.setUint32(MAGIC.length + 4, header.length, true);
  bytes.set(header, PREFIX);
  let at = PREFIX + header.length;
  for (const section of sections) {
    bytes.set(section, at);
    at += section.length;
  }
  bytes.set(sha256(bytes.subarray(0, at)), at);
  return bytes;
}

/**
 * What `pack` wrote. Sections are copies: they do not keep the input alive.
 *
 * @throws ForecastError `bytes` on anything else
 */
export function unpack(bytes: Uint8Array, kind: string): { fields: Fields; sections: Uint8Array[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < PREFIX + CHECKSUM || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new ForecastError("bytes", `not a saved forecaster (${bytes.length} bytes)`);
  }
  const layout = view.getUint32(MAGIC.length, true);
  if (layout !== LAYOUT) {
    throw new ForecastError("bytes", `saved with layout ${layout}, this version reads layout ${LAYOUT}`);
  }
  const end = bytes.length - CHECKSUM;
  const checksum = sha256(bytes.subarray(0, end));
  if (checksum.some((byte, i) => bytes[end + i] !== byte)) {
    throw new ForecastError("bytes", "the checksum does not match: the bytes are truncated or altered");
  }
  const bodyAt = PREFIX + view.getUint32(MAGIC.length + 4, true);
  if (bodyAt > end) throw new ForecastError("bytes", "the header is longer than the bytes");
  const header = new Fields(parseJson(bytes.subarray(PREFIX, bodyAt)));
  const found = header.string("kind");
  if (found !== kind) throw new ForecastError("bytes", `this is a "${found}", expected a "${kind}"`);
  const sections: Uint8Array[] = [];
  let at = bodyAt;
  for (const length of header.numbers("sections")) {
    if (!Number.isInteger(length) || length < 0 || length > end - at) {
      throw new ForecastError("bytes", `a section of ${length} bytes does not fit`);
    }
    sections.push(bytes.slice(at, at + length));
    at += length;
  }
  if (at !== end) throw new ForecastError("bytes", `${end - at} bytes belong to no section`);
  return { fields: header.object("fields"), sections };
}

/** Numbers as a section, little-endian; bit for bit, so NaN and the infinities survive. */
export function sectionOf(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat64(i * 8, values[i]!, true);
  return bytes;
}

/** @throws ForecastError `bytes` where the section does not hold whole numbers of 8 bytes */
export function floatsOf(section: Uint8Array): Float64Array {
  if (section.length % 8 !== 0) {
    throw new ForecastError("bytes", `a section of ${section.length} bytes is no list of 8-byte numbers`);
  }
  const view = new DataView(section.buffer, section.byteOffset, section.byteLength);
  return Float64Array.from({ length: section.length / 8 }, (_, i) => view.getFloat64(i * 8, true));
}

/** Reads the fields of parsed JSON, each checked for its type. Every method throws ForecastError `bytes`. */
export class Fields {
  readonly #values: Record<string, unknown>;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new ForecastError("bytes", "the header is not an object");
    }
    this.#values = value as Record<string, unknown>;
  }

  string(name: string): string {
    return this.#read(name, "a string", (value) => typeof value === "string");
  }

  number(name: string): number {
    return this.#read(name, "a finite number", Number.isFinite as Check<number>);
  }

  strings(name: string): string[] {
    return this.#list(name, "a list of strings", (value) => typeof value === "string");
  }

  numbers(name: string): number[] {
    return this.#list(name, "a list of finite numbers", Number.isFinite as Check<number>);
  }

  objects(name: string): Fields[] {
    return this.#list(name, "a list", (_): _ is unknown => true).map((value) => new Fields(value));
  }

  object(name: string): Fields {
    return new Fields(this.#values[name]);
  }

  #list<T>(name: string, expected: string, check: Check<T>): T[] {
    return this.#read(name, expected, (value): value is T[] => Array.isArray(value) && value.every(check));
  }

  #read<T>(name: string, expected: string, check: Check<T>): T {
    const value = this.#values[name];
    if (!check(value)) throw new ForecastError("bytes", `header field "${name}" is not ${expected}`);
    return value;
  }
}

type Check<T> = (value: unknown) => value is T;

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ForecastError("bytes", "the header is not JSON", { cause });
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
