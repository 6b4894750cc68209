/** What can be made wrong with the rows of a response. */
export type Malformation =
  | "missingField"
  | "wrongType"
  | "nanText"
  | "negative"
  | "huge"
  | "wrongDate"
  | "unknownEntity"
  | "nullEntity"
  | "duplicatedRow"
  | "extraColumn"
  | "renamedColumn";

/** What goes wrong. */
export type FaultKind =
  /** A status with that API's own body; 429 with Retry-After in seconds or as a date, 202 as if still being made. */
  | { kind: "status"; status: 202 | 429 | 500 | 503; retryAfterSeconds?: number; retryAfterDate?: boolean }
  /** A gateway's HTML page with status 200. */
  | { kind: "html" }
  /** HTTP 200 and an error in that API's envelope (a notice in the text for CSV). */
  | { kind: "envelope"; code?: number; message?: string }
  /** The connection ends in the middle of the body. */
  | { kind: "cut" }
  /** A complete response whose text stops half-way. */
  | { kind: "truncated" }
  /** Waits before the headers, or between the halves of the body. */
  | { kind: "slow"; delayMs: number; within?: boolean }
  /** The socket is destroyed before anything is sent. */
  | { kind: "unreachable" }
  /** Every n-th row is wrong, from the first: every row without it. */
  | { kind: "malformed"; malformation: Malformation; every?: number };

/** A fault and when it strikes. Of several that match a request the first one in the list does. */
export type Fault = FaultKind & {
  /** Name of a source, e.g. counts; every source without it. */
  source?: string;
  /** A regular expression on path and query. */
  path?: string;
  /** Strikes this many matching requests, then no more. */
  count?: number;
  /** Lets this many matching requests pass first. */
  after?: number;
  /** Strikes within these instants of the virtual clock. */
  fromMs?: number;
  toMs?: number;
  /** Strikes each matching request with this chance, drawn by seed and request. */
  probability?: number;
};
