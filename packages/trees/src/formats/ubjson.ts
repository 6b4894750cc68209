import { check, TreesError } from "../errors.ts";

/**
 * UBJSON, draft 12 (https://ubjson.org), as XGBoost keeps models in it: JSON's values, each behind a marker byte,
 * numbers big-endian, arrays of one number type without a marker for each ("typed").
 */

/** What can be written in UBJSON and in JSON alike. Numbers are whole; floats come in typed arrays. */
export type Encodable =
  | string
  | number
  | Float32Array
  | Int32Array
  | Uint8Array
  | BigInt64Array
  | readonly Encodable[]
  | { readonly [key: string]: Encodable };

/** A document nests about eight deep, and has some thirty containers for each tree. */
const maxDepth = 100;
const maxContainers = 2 ** 22;

/** Bytes of a number behind its marker. */
const numberSizes: Readonly<Record<string, number>> = { i: 1, U: 1, I: 2, l: 4, L: 8, d: 4, D: 8 };

/** Whether the bytes begin as an object in UBJSON does; one in JSON goes on with a quote or white space. */
export function looksLikeUbjson(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7b && "iUIlL#$".includes(String.fromCharCode(bytes[1] ?? 0));
}

/**
 * The value that the bytes say, as `JSON.parse` would give it (objects have no prototype).
 * @throws TreesError on anything but one whole value, on whole numbers beyond 2^53 and on too deep nesting
 */
export function readUbjson(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #text = new TextDecoder("utf-8", { fatal: true });
  #at = 0;
  #containers = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): unknown {
    const marker = this.#marker();
    if (marker in numberSizes) return this.#number(marker);
    switch (marker) {
      case "Z":
        return null;
      case "T":
        return true;
      case "F":
        return false;
      case "C":
        return this.#string(1);
      case "S":
        return this.#string(this.#length());
      case "[":
        return this.#array(depth + 1);
      case "{":
        return this.#object(depth + 1);
      default:
        return this.#fail(`marker ${JSON.stringify(marker)} begins no value`);
    }
  }

  end(): void {
    if (this.#at < this.#bytes.length) this.#fail("there are bytes behind its end");
  }

  #array(depth: number): unknown[] {
    const { type, count } = this.#header(depth);
    const out: unknown[] = [];
    if (type !== undefined) for (let i = 0; i < count!; i++) out.push(this.#number(type));
    else if (count !== undefined) for (let i = 0; i < count; i++) out.push(this.value(depth));
    else {
      while (this.#peek() !== "]") out.push(this.value(depth));
      this.#at++;
    }
    return out;
  }

  #object(depth: number): unknown {
    const { type, count } = this.#header(depth);
    const out: Record<string, unknown> = Object.create(null);
    const entry = (): void => {
      const key = this.#string(this.#length());
      out[key] = type === undefined ? this.value(depth) : this.#number(type);
    };
    if (count !== undefined) for (let i = 0; i < count; i++) entry();
    else {
      while (this.#peek() !== "}") entry();
      this.#at++;
    }
    return out;
  }

  /** A container's number type and count, where it says them. Every value takes a byte, which bounds the count. */
  #header(depth: number): { type: string | undefined; count: number | undefined } {
    if (depth > maxDepth) this.#fail(`it nests deeper than ${maxDepth}`);
    if (++this.#containers > maxContainers)
      this.#fail(`it has more than ${maxContainers} arrays and objects`);
    let type: string | undefined;
    if (this.#peek() === "$") {
      this.#at++;
      type = this.#marker();
      if (!(type in numberSizes)) this.#fail(`a container of type ${JSON.stringify(type)} is not supported`);
      if (this.#peek() !== "#") this.#fail("a typed container has no count");
    }
    if (this.#peek() !== "#") return { type, count: undefined };
    this.#at++;
    const count = this.#length();
    this.#need(count * (type === undefined ? 1 : numberSizes[type]!));
    return { type, count };
  }

  #number(type: string): number {
    const at = this.#at;
    const size = numberSizes[type]!;
    this.#need(size);
    this.#at += size;
    switch (type) {
      case "i":
        return this.#view.getInt8(at);
      case "U":
        return this.#view.getUint8(at);
      case "I":
        return this.#view.getInt16(at);
      case "l":
        return this.#view.getInt32(at);
      case "d":
        return this.#view.getFloat32(at);
      case "D":
        return this.#view.getFloat64(at);
      default: {
        const value = Number(this.#view.getBigInt64(at));
        if (!Number.isSafeInteger(value)) this.#fail(`the whole number ${value} is out of range`);
        return value;
      }
    }
  }

  /** A length: a whole number of any type, not negative. */
  #length(): number {
    const type = this.#marker();
    if (!"iUIlL".includes(type)) this.#fail(`${JSON.stringify(type)} is no type of a length`);
    const length = this.#number(type);
    if (length < 0) this.#fail(`the length ${length} is negative`);
    return length;
  }

  #string(length: number): string {
    this.#need(length);
    const from = this.#at;
    this.#at += length;
    try {
      return this.#text.decode(this.#bytes.subarray(from, this.#at));
    } catch (cause) {
      return this.#fail("a string is not UTF-8", cause);
    }
  }

  #peek(): string {
    this.#need(1);
    return String.fromCharCode(this.#bytes[this.#at]!);
  }

  #marker(): string {
    const marker = this.#peek();
    this.#at++;
    return marker;
  }

  #need(size: number): void {
    if (size > this.#bytes.length - this.#at) this.#fail("the bytes end too early");
  }

  #fail(why: string, cause?: unknown): never {
    throw new TreesError(`not UBJSON that can be read: ${why} (byte ${this.#at})`, { cause });
  }
}

/** The value as XGBoost's own writer says it: lengths as int64, typed arrays where they are given. */
export function writeUbjson(value: Encodable): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes();
}

class Writer {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }

  value(value: Encodable): void {
    if (typeof value === "string") {
      this.#marker("S");
      this.#string(value);
    } else if (typeof value === "number") this.#whole(value);
    else if (value instanceof Float32Array)
      this.#typed("d", 4, value, (at, v) => this.#view.setFloat32(at, v));
    else if (value instanceof Int32Array) this.#typed("l", 4, value, (at, v) => this.#view.setInt32(at, v));
    else if (value instanceof Uint8Array) this.#typed("U", 1, value, (at, v) => this.#view.setUint8(at, v));
    else if (value instanceof BigInt64Array)
      this.#typed("L", 8, value, (at, v) => this.#view.setBigInt64(at, v));
    else if (isList(value)) {
      this.#marker("[#");
      this.#length(value.length);
      for (const item of value) this.value(item);
    } else {
      this.#marker("{");
      for (const [key, item] of Object.entries(value)) {
        this.#string(key);
        this.value(item);
      }
      this.#marker("}");
    }
  }

  #whole(value: number): void {
    check(Number.isInteger(value) && Math.abs(value) < 2 ** 31, `${value} is no whole number of 32 bits`);
    const size = Math.abs(value) < 128 ? 1 : Math.abs(value) < 32_768 ? 2 : 4;
    this.#marker(size === 1 ? "i" : size === 2 ? "I" : "l");
    const at = this.#grow(size);
    if (size === 1) this.#view.setInt8(at, value);
    else if (size === 2) this.#view.setInt16(at, value);
    else this.#view.setInt32(at, value);
  }

  #typed<T>(
    type: string,
    size: number,
    values: Iterable<T> & { length: number },
    put: (at: number, v: T) => void,
  ) {
    this.#marker(`[$${type}#`);
    this.#length(values.length);
    let at = this.#grow(values.length * size);
    for (const v of values) {
      put(at, v);
      at += size;
    }
  }

  #string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.#length(bytes.length);
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  #length(length: number): void {
    this.#marker("L");
    const at = this.#grow(8);
    this.#view.setBigInt64(at, BigInt(length));
  }

  #marker(marker: string): void {
    const at = this.#grow(marker.length);
    for (let i = 0; i < marker.length; i++) this.#bytes[at + i] = marker.charCodeAt(i);
  }

  /** Makes room and returns where it begins. */
  #grow(size: number): number {
    const at = this.#at;
    this.#at += size;
    if (this.#at > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#at, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Array.isArray does not narrow readonly arrays. */
const isList = (value: object): value is readonly Encodable[] => Array.isArray(value);
