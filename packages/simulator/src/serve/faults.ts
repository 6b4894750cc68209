import type { Fault, Malformation } from "../fault.ts";
import { uniform } from "../random.ts";

const KINDS = new Set(["status", "html", "envelope", "cut", "truncated", "slow", "unreachable", "malformed"]);
const MALFORMATIONS = new Set<Malformation>([
  "missingField",
  "wrongType",
  "nanText",
  "negative",
  "huge",
  "wrongDate",
  "unknownEntity",
  "nullEntity",
  "duplicatedRow",
  "extraColumn",
  "renamedColumn",
]);

interface Armed {
  fault: Fault;
  pattern: RegExp | null;
  matched: number;
  struck: number;
}

/** The faults in force and how often each has struck. */
export class Faults {
  readonly #seed: number;
  #armed: Armed[] = [];
  readonly #closing = new AbortController();

  constructor(seed: number, list: readonly Fault[]) {
    this.#seed = seed;
    this.set(list);
  }

  get list(): readonly Fault[] {
    return this.#armed.map(({ fault }) => fault);
  }

  /** Aborted when the server closes, so that a slow answer does not hold it. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Replaces all faults. @throws TypeError for a fault of no known kind */
  set(list: unknown): void {
    if (!Array.isArray(list)) throw new TypeError("faults must be a list");
    this.#armed = list.map((fault: unknown) => {
      check(fault);
      return {
        fault,
        pattern: fault.path === undefined ? null : new RegExp(fault.path),
        matched: 0,
        struck: 0,
      };
    });
  }

  /** The fault that strikes a request, counted; null if none does. */
  strike(source: string, url: string, nowMs: number): Fault | null {
    for (const [i, armed] of this.#armed.entries()) {
      const { fault, pattern } = armed;
      if (fault.source !== undefined && fault.source !== source) continue;
      if (pattern !== null && !pattern.test(url)) continue;
      if (fault.fromMs !== undefined && nowMs < fault.fromMs) continue;
      if (fault.toMs !== undefined && nowMs >= fault.toMs) continue;
      const nth = armed.matched++;
      if (nth < (fault.after ?? 0)) continue;
      if (fault.count !== undefined && armed.struck >= fault.count) continue;
      if (fault.probability !== undefined && uniform(this.#seed, 200, i, nth) >= fault.probability) continue;
      armed.struck++;
      return fault;
    }
    return null;
  }

  release(): void {
    this.#closing.abort();
  }
}

function check(value: unknown): asserts value is Fault {
  const fault = value as Partial<Record<string, unknown>> | null;
  const kind = fault?.["kind"];
  if (typeof kind !== "string" || !KINDS.has(kind)) {
    throw new TypeError(
      `a fault's kind must be one of ${[...KINDS].join(", ")}; got ${JSON.stringify(kind)}`,
    );
  }
  if (kind === "malformed" && !MALFORMATIONS.has(fault!["malformation"] as Malformation)) {
    throw new TypeError(`malformation must be one of ${[...MALFORMATIONS].join(", ")}`);
  }
  if (kind === "slow" && typeof fault!["delayMs"] !== "number")
    throw new TypeError("a slow fault needs delayMs");
  if (kind === "status" && ![202, 429, 500, 503].includes(fault!["status"] as number)) {
    throw new TypeError("a status fault needs status 202, 429, 500 or 503");
  }
}
