import type { CityEvent, Entity, Holiday, WeatherVariable } from "./vocabulary.ts";

/** Counts as columns; all arrays have the same length. */
export interface ObservationPage {
  readonly stream: "observations";
  readonly measure: string;
  readonly entity: readonly string[];
  /** Start of the step, ms UTC. */
  readonly validAt: Float64Array;
  /** NaN where the publisher sent null. */
  readonly value: Float64Array;
  /** The publisher's own stamp, ms UTC; NaN or absent where there is none. */
  readonly publishedAt?: Float64Array;
}

/** Single records as columns; the lake counts them by entity and step. */
export interface LogPage {
  readonly stream: "log";
  readonly measure: string;
  /** The publisher's id of each record: a record that comes again replaces its earlier self. No line breaks. */
  readonly key: readonly string[];
  readonly entity: readonly string[];
  /** When it happened, ms UTC; anywhere within its step. */
  readonly at: Float64Array;
}

/**
 * Says that a source has delivered all there is of some entities and the steps in [from, to): a step without a row had
 * nothing to count. The counts of the range must be in the same page, the records of its log in this page or before it.
 */
export interface CompletePage {
  readonly stream: "complete";
  readonly measure: string;
  /** Starts of steps, ms UTC; `to` is exclusive. */
  readonly from: number;
  readonly to: number;
  /** Ids of the entities it speaks of: those that the source still reads. */
  readonly entities: readonly string[];
  /**
   * Every record of the range has been delivered since this instant of the city's clock: others are gone. Null when
   * only changed ones were.
   */
  readonly wholeSince: number | null;
}

/** Snapshots of stations as columns; all arrays have the same length, NaN = not given. */
export interface LevelPage {
  readonly stream: "levels";
  readonly entity: readonly string[];
  /** When the publisher took the snapshot, ms UTC; not every snapshot has every station. */
  readonly at: Float64Array;
  /** Bikes that can be taken, electric ones included. */
  readonly bikes: Float64Array;
  readonly ebikes: Float64Array;
  readonly docks: Float64Array;
  readonly bikesDisabled: Float64Array;
  readonly docksDisabled: Float64Array;
  /** 1 = installed and renting. */
  readonly renting: Uint8Array;
  /** 1 = installed and taking bikes back. */
  readonly returning: Uint8Array;
  /** When the station itself last reported, ms UTC. */
  readonly reportedAt: Float64Array;
  /** True for snapshots out of an archive, which were published when they were taken. */
  readonly archived: boolean;
}

/** Hourly weather as columns in the units of `weatherVariables`; NaN = not given. */
export interface WeatherPage {
  readonly stream: "weather";
  /** When the forecast was issued, ms UTC; null = observed (analysis). */
  readonly issuedAt: number | null;
  /** When an archived forecast could first be read, ms UTC; `issuedAt` when left out. */
  readonly publishedAt?: number;
  readonly validAt: Float64Array;
  readonly values: Partial<Record<WeatherVariable, Float64Array>>;
}

export interface EntityPage {
  readonly stream: "entities";
  readonly rows: readonly Entity[];
}

export interface HolidayPage {
  readonly stream: "holidays";
  readonly rows: readonly Holiday[];
}

export interface EventPage {
  readonly stream: "events";
  readonly rows: readonly CityEvent[];
}

export type StreamPage =
  | ObservationPage
  | LogPage
  | CompletePage
  | LevelPage
  | WeatherPage
  | EntityPage
  | HolidayPage
  | EventPage;

/** A row that could not be read, kept as received so that nothing is dropped in silence. */
export interface RejectedRow {
  readonly stream: StreamPage["stream"];
  /** Stable reason code, e.g. `missing-field`, `bad-number`, `bad-date`. */
  readonly reason: string;
  /** What was expected, what came, which field. */
  readonly detail: string;
  /** The row as received, JSON or text, cut to 2,000 characters. */
  readonly received: string;
}

/** What a source yields: rows, what it could not read, and where to go on from once they are stored. */
export interface Page {
  readonly parts: readonly StreamPage[];
  readonly rejected: readonly RejectedRow[];
  /** JSON value; passed back as `ReadRequest.cursor` after the page is committed. */
  readonly cursor: unknown;
  /** Fields seen in the response that are new or gone since the cursor was written, e.g. `+sum_v2`, `-name`. */
  readonly schemaChanges: readonly string[];
  /** Rough share of the read that is done (0..1), for progress; null when unknown. */
  readonly progress: number | null;
}

export interface ReadRequest {
  /** null at the very first read. */
  readonly cursor: unknown;
  /** Range of `validAt` wanted, ms UTC: the whole history at first, or the range of a backfill. */
  readonly from: number;
  /** Exclusive end; nothing is published after the city's clock. */
  readonly to: number;
  /** `incremental` goes on from the cursor; `range` reads [from, to) again and leaves the cursor alone. */
  readonly mode: "incremental" | "range";
  readonly signal: AbortSignal;
}

/** The seam of the sources room: reads one public protocol, knows nothing of storage. */
export interface Source {
  readonly kind: string;
  /** Addresses it reads, for `doctor`, logs and attribution. */
  readonly address: string;
  read(request: ReadRequest): AsyncIterable<Page>;
}
