import { DatabaseSync } from "node:sqlite";
import { CityScaleError } from "../core/index.ts";
import type { FeatureSet } from "./build.ts";
import type { FeatureView } from "./view.ts";

/** Feature vectors of the newest origin of a view, as the serving room reads them. */
export interface OnlineVectors {
  readonly viewId: string;
  readonly originAt: number;
  readonly set: FeatureSet;
  /** First row and number of rows of each entity; an entity's rows lie together in the order of leads. */
  readonly rowsOf: ReadonlyMap<number, { readonly first: number; readonly count: number }>;
}

export interface OnlineStore {
  /** Replaces the vectors of a target at once: readers see the old ones or the new ones. */
  swap(target: string, originAt: number, set: FeatureSet): OnlineVectors;
  /** The newest vectors of a view; null when there are none, or they belong to another view. */
  newest(target: string, view: FeatureView): OnlineVectors | null;
  close(): void;
}

/** Vectors in a SQLite file, the newest of each target also in memory. */
export function openOnlineStore(path: string): OnlineStore {
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;
    CREATE TABLE IF NOT EXISTS online_vectors (
      target TEXT PRIMARY KEY, view_id TEXT NOT NULL, origin_at INTEGER NOT NULL, rows INTEGER NOT NULL, data BLOB NOT NULL
    ) STRICT`);
  const write = database.prepare(
    "INSERT OR REPLACE INTO online_vectors (target, view_id, origin_at, rows, data) VALUES (?, ?, ?, ?, ?)",
  );
  const read = database.prepare("SELECT view_id, origin_at, rows, data FROM online_vectors WHERE target = ?");
  const cache = new Map<string, OnlineVectors>();
  return {
    swap(target, originAt, set) {
      const vectors = index(set, originAt);
      write.run(target, set.view.id, Math.round(originAt), set.rows, pack(set));
      cache.set(target, vectors);
      return vectors;
    },
    newest(target, view) {
      const cached = cache.get(target);
      if (cached) return cached.viewId === view.id ? cached : null;
      const row = read.get(target) as
        | { view_id: string; origin_at: number; rows: number; data: Uint8Array }
        | undefined;
      if (!row || row.view_id !== view.id) return null;
      const vectors = index(unpack(row.data, row.rows, view), row.origin_at);
      cache.set(target, vectors);
      return vectors;
    },
    close: () => database.close(),
  };
}

function index(set: FeatureSet, originAt: number): OnlineVectors {
  const rowsOf = new Map<number, { first: number; count: number }>();
  for (let i = 0; i < set.rows; i++) {
    const span = rowsOf.get(set.entity[i]!);
    if (span) span.count++;
    else rowsOf.set(set.entity[i]!, { first: i, count: 1 });
  }
  return { viewId: set.view.id, originAt, set, rowsOf };
}

const doubles = (set: FeatureSet): Float64Array[] => [
  Float64Array.from(set.entity),
  Float64Array.from(set.lead),
  Float64Array.from(set.step),
  set.expectation,
  ...Object.values(set.naive),
  set.naiveLow,
  set.naiveHigh,
  Float64Array.from(set.weatherIssued),
  set.weatherIssuedAt,
];

function pack(set: FeatureSet): Uint8Array {
  const parts = [...doubles(set), ...set.columns];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return out;
}

function unpack(data: Uint8Array, rows: number, view: FeatureView): FeatureSet {
  const facts = 4 + 3 + 2 + 2;
  if (data.byteLength !== rows * (facts * 8 + view.columns.length * 4)) {
    throw new CityScaleError("ARTIFACT_DAMAGED", "stored feature vectors have the wrong size");
  }
  const buffer = data.slice().buffer;
  let at = 0;
  const next = () => {
    const column = new Float64Array(buffer, at, rows);
    at += rows * 8;
    return column;
  };
  const entity = Int32Array.from(next());
  const lead = Int32Array.from(next());
  const step = Int32Array.from(next());
  const expectation = next();
  const naive = { "last-week": next(), "mean-4-weeks": next(), "median-8-weeks": next() };
  const naiveLow = next();
  const naiveHigh = next();
  const weatherIssued = Float32Array.from(next());
  const weatherIssuedAt = next();
  const columns = view.columns.map(() => {
    const column = new Float32Array(buffer, at, rows);
    at += rows * 4;
    return column;
  });
  return {
    view,
    rows,
    columns,
    entity,
    origin: new Int32Array(rows),
    lead,
    step,
    target: new Float64Array(rows).fill(Number.NaN),
    dead: new Uint8Array(rows),
    expectation,
    naive,
    naiveLow,
    naiveHigh,
    weatherIssued,
    weatherIssuedAt,
  };
}
