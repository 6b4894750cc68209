import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createGunzip, createGzip } from "node:zlib";
import { CityScaleError } from "../core/index.ts";

/** A file of an archive: its path inside, and where it lies or what it holds. */
export type Member = { readonly name: string } & ({ readonly path: string } | { readonly data: Uint8Array });

/** What an archive says of its members; its last one. */
const manifestName = "MANIFEST.json";
const block = 512;

interface Manifest {
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

/** Writes files as `.tar.gz` (ustar, readable by any tar) with their checksums as the last member. */
export async function writeArchive(
  path: string,
  members: Iterable<Member>,
): Promise<{ files: number; bytes: number }> {
  const files: Record<string, { bytes: number; sha256: string }> = {};
  async function* tar(): AsyncGenerator<Uint8Array> {
    for (const member of members) {
      const hash = createHash("sha256");
      const bytes = "data" in member ? member.data.length : (await stat(member.path)).size;
      yield header(member.name, bytes);
      let written = 0;
      for await (const chunk of "data" in member ? [member.data] : createReadStream(member.path)) {
        const part = chunk as Uint8Array;
        written += part.length;
        hash.update(part);
        yield part;
      }
      if (written !== bytes)
        throw new CityScaleError("CONFLICT", `${member.name} changed while it was copied`);
      yield padding(bytes);
      files[member.name] = { bytes, sha256: hash.digest("hex") };
    }
    const manifest = Buffer.from(`${JSON.stringify({ files } satisfies Manifest, null, 2)}\n`);
    yield header(manifestName, manifest.length);
    yield manifest;
    yield padding(manifest.length);
    yield new Uint8Array(2 * block);
  }
  // Databases and models barely compress further at higher levels, which cost several times as long.
  await pipeline(
    Readable.from(tar(), { objectMode: false }),
    createGzip({ level: constants.Z_BEST_SPEED }),
    createWriteStream(path, { flags: "wx", mode: 0o600 }),
  );
  return { files: Object.keys(files).length, bytes: (await stat(path)).size };
}

/**
 * Unpacks an archive of `writeArchive` into a folder and holds every file to its checksum.
 * Throws ARTIFACT_DAMAGED for anything that is cut short, changed, or no such archive.
 */
export async function readArchive(path: string, folder: string): Promise<{ files: number }> {
  const seen: Record<string, { bytes: number; sha256: string }> = {};
  let manifest: Manifest | null = null;
  try {
    const reader = blocks(createReadStream(path).pipe(createGunzip()));
    for (;;) {
      const head = await reader.take(block);
      if (head.every((byte) => byte === 0)) break;
      const { name, bytes } = parseHeader(head);
      const hash = createHash("sha256");
      const isManifest = name === manifestName;
      const parts: Uint8Array[] = [];
      const body = reader.body(bytes, (part) => {
        hash.update(part);
        if (isManifest) parts.push(part);
      });
      if (isManifest) {
        for await (const _ of body);
        manifest = JSON.parse(Buffer.concat(parts).toString("utf8")) as Manifest;
      } else {
        const target = join(folder, ...safeParts(name));
        await mkdir(dirname(target), { recursive: true });
        await pipeline(
          Readable.from(body, { objectMode: false }),
          createWriteStream(target, { flags: "wx" }),
        );
        seen[name] = { bytes, sha256: hash.digest("hex") };
      }
    }
  } catch (error) {
    if (error instanceof CityScaleError) throw error;
    throw new CityScaleError("ARTIFACT_DAMAGED", `${path} is no whole backup`, { cause: error });
  }
  if (manifest === null)
    throw new CityScaleError("ARTIFACT_DAMAGED", `${path} is no whole backup: it has no list of checksums`);
  const names = new Set([...Object.keys(manifest.files), ...Object.keys(seen)]);
  const wrong = [...names].filter(
    (name) =>
      manifest.files[name]?.sha256 === undefined || seen[name]?.sha256 !== manifest.files[name].sha256,
  );
  if (wrong.length > 0) {
    throw new CityScaleError(
      "ARTIFACT_DAMAGED",
      `${path}: ${wrong.slice(0, 5).join(", ")} fails its checksum`,
      { details: { files: wrong } },
    );
  }
  return { files: Object.keys(seen).length };
}

/** POSIX.1-1988 ustar header of a plain file. */
function header(name: string, bytes: number): Uint8Array {
  const out = Buffer.alloc(block);
  const [prefix, rest] = splitName(name);
  out.write(rest, 0, 100, "utf8");
  out.write("0000600\0", 100);
  out.write("0000000\0", 108);
  out.write("0000000\0", 116);
  writeSize(out, bytes);
  out.write("00000000000\0", 136);
  out.write("        ", 148);
  out.write("0", 156);
  out.write("ustar\x0000", 257);
  out.write(prefix, 345, 155, "utf8");
  const sum = out.reduce((total, byte) => total + byte, 0);
  out.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return out;
}

/** Eleven octal digits, or base 256 for files of 8 GiB and more, as GNU tar writes and every tar reads. */
function writeSize(out: Buffer, bytes: number): void {
  if (bytes < 8 ** 11) {
    out.write(`${bytes.toString(8).padStart(11, "0")}\0`, 124);
    return;
  }
  out[124] = 0x80;
  out.writeBigUInt64BE(BigInt(bytes), 128);
}

function splitName(name: string): [prefix: string, rest: string] {
  if (Buffer.byteLength(name) <= 100) return ["", name];
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) {
    const [prefix, rest] = [name.slice(0, at), name.slice(at + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(rest) <= 100) return [prefix, rest];
  }
  throw new RangeError(`${name} is too long a path for an archive`);
}

function parseHeader(head: Uint8Array): { name: string; bytes: number } {
  const buffer = Buffer.from(head);
  const text = (from: number, length: number) =>
    buffer.toString("utf8", from, from + length).replace(/\0.*$/s, "");
  const sum = Number.parseInt(text(148, 8).trim(), 8);
  const actual = buffer.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  if (sum !== actual) throw new RangeError("a header fails its checksum");
  if (text(156, 1) !== "0" && text(156, 1) !== "") throw new RangeError("it holds more than plain files");
  const prefix = text(345, 155);
  const bytes =
    buffer[124] === 0x80 ? Number(buffer.readBigUInt64BE(128)) : Number.parseInt(text(124, 12).trim(), 8);
  return { name: prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`, bytes };
}

const padding = (bytes: number) => new Uint8Array((block - (bytes % block)) % block);

/** Parts of a member's path; one that leads out of the folder is refused. */
function safeParts(name: string): string[] {
  const parts = name.split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".." || /[\\:\0]/.test(part))) {
    throw new RangeError(`the path ${JSON.stringify(name)} leads elsewhere`);
  }
  return parts;
}

/** Reads a stream in pieces of given lengths. Throws RangeError when it ends too early. */
function blocks(stream: AsyncIterable<unknown>) {
  const iterator = stream[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  async function part(most: number): Promise<Uint8Array> {
    while (rest.length === 0) {
      const next = await iterator.next();
      if (next.done) throw new RangeError("it ends too early");
      rest = next.value as Uint8Array;
    }
    const out = rest.subarray(0, most);
    rest = rest.subarray(out.length);
    return out;
  }
  async function take(bytes: number): Promise<Uint8Array> {
    const out = new Uint8Array(bytes);
    for (let at = 0; at < bytes; ) {
      const got = await part(bytes - at);
      out.set(got, at);
      at += got.length;
    }
    return out;
  }
  return {
    take,
    /** A member's bytes; what pads it to whole blocks is passed over. */
    async *body(bytes: number, onPart: (part: Uint8Array) => void): AsyncGenerator<Uint8Array> {
      for (let left = bytes; left > 0; ) {
        const got = await part(left);
        left -= got.length;
        onPart(got);
        yield got;
      }
      await take(padding(bytes).length);
    },
  };
}
