import type { ClockSpec } from "./clock.ts";
import type { Fault } from "./fault.ts";
import type { GenerativeBikeShare } from "./generate/bike-share-parameters.ts";
import type { GenerativeCity } from "./generate/parameters.ts";
import type { HalfLoadedDay } from "./recorded/requests.ts";

/** Real recordings to serve. */
export interface RecordedCity {
  /** Folder that holds the city's folder. */
  recordings: string;
  city: "paris-bikes" | "melbourne-pedestrians" | "nyc-311" | "bay-wheels" | "paris-velib" | (string & {});
  /**
   * How long after the end of its hour a count appears, for New York after the end of its day. Without it as Paris
   * publishes: yesterday's hours, together, at 02:00 local time; New York's at 02:30.
   */
  publicationDelayMs?: number;
  /** Days of New York that were loaded in two parts. */
  halfLoaded?: readonly HalfLoadedDay[];
}

export interface SimulatorOptions {
  clock: ClockSpec;
  /** 0 (any free port) without it. */
  port?: number;
  /** 127.0.0.1 without it. */
  host?: string;
  /** Seeds everything drawn; 1 without it. */
  seed?: number;
  city: GenerativeCity | GenerativeBikeShare | RecordedCity;
  faults?: Fault[];
  /** First hour of a generated history; overrides the city's own. */
  startMs?: number;
}

/** One answered request. */
export interface RequestEntry {
  atMs: number;
  method: string;
  url: string;
  source: string;
  status: number;
  bytes: number;
  /** The fault's kind, where one was injected. */
  fault: string | null;
  tookMs: number;
}

export interface RequestLog {
  total: number;
  /** Requests and injected faults by source. */
  bySource: Record<string, { requests: number; faults: number }>;
  /** The newest thousand, oldest first. */
  latest: RequestEntry[];
}

export interface Simulator {
  /** Base address by source: scheme and host; the paths are the real services'. */
  readonly sources: Record<string, string>;
  /** Replaces the faults in force. */
  faults(list: Fault[]): Promise<void>;
  requests(): Promise<RequestLog>;
  close(): Promise<void>;
}
