import { createHash } from "node:crypto";
import { CityScaleError } from "../../core/index.ts";
import { type Page, parseDuration, type ReadRequest } from "../../domain/index.ts";
import type { Validators } from "../http.ts";
import type { SourceContext } from "../kind.ts";
import { type FieldTypes, schemaChanges } from "../schema-changes.ts";
import { textAddress } from "../text-file.ts";
import { alertsOf } from "./alerts.ts";
import { download, endOfMonth, monthOf, monthsBetween, readArchive } from "./archive.ts";
import { type Answer, type FeedState, type Feeds, feedsOf, readFeed } from "./feed.ts";
import { levelPage } from "./level-columns.ts";
import type { ArchiveOptions, GbfsOptions } from "./options.ts";
import { stationsOf } from "./stations.ts";
import { electricTypes, snapshotsOf } from "./status.ts";

export interface GbfsSource {
  readonly declared: GbfsOptions;
  readonly context: SourceContext;
  readonly address: string;
}

/** How far a month of the archive has been read. */
interface MonthState {
  readonly validators: Validators | null;
  /** Snapshots before it are stored, ms UTC. */
  readonly through: number;
  /** The file held the whole month when it was read. */
  readonly done: boolean;
}

interface Cursor {
  readonly feeds: Feeds;
  readonly discoveredAt: number;
  /** Address of the discovery that named the feeds. */
  readonly discoveredFrom: string | null;
  readonly states: Readonly<Record<string, FeedState>>;
  readonly electric: readonly string[];
  /** Of the stations last delivered. */
  readonly stations: string | null;
  readonly fields: FieldTypes;
  readonly months: Readonly<Record<string, MonthState>>;
  readonly archiveAskedAt: number | null;
  /** It was asked and has not come to an end: a process that ended meanwhile left the rest unread. */
  readonly archiveOpen?: boolean;
}

const dayMs = 86_400_000;
/** What changes seldom is asked for this often even if its `ttl` is over sooner or lasts longer. */
const slowMs = 3_600_000;
/** A month's file is taken as whole this long after the month. */
const settledMs = 3 * dayMs;
/** A publisher's clock may be this much ahead of ours. */
const aheadMs = 5 * 60_000;

/**
 * Reads what the system says now (stations where they changed, their status, alerts) and what its archive has of earlier
 * days. A range is read from the archive alone.
 */
export async function* readStations(source: GbfsSource, request: ReadRequest): AsyncGenerator<Page> {
  const { declared, context, address } = source;
  const { http } = context;
  const { signal } = request;
  const incremental = request.mode === "incremental";
  const now = context.clock.now();
  let cursor: Cursor = {
    feeds: {},
    discoveredAt: Number.NEGATIVE_INFINITY,
    discoveredFrom: null,
    states: {},
    electric: [],
    stations: null,
    fields: {},
    months: {},
    archiveAskedAt: null,
    ...(incremental ? (request.cursor as Cursor | null) : null),
  };
  let changes: string[] = [];
  const page = (parts: Page["parts"], rejected: Page["rejected"], progress: number): Page => {
    const made = {
      parts,
      rejected,
      cursor: incremental ? cursor : request.cursor,
      schemaChanges: changes,
      progress,
    };
    changes = [];
    return made;
  };

  /** What a feed has that is new; null where it has nothing, or is not there. A feed that has moved is looked up anew. */
  const news = async (name: string, maxTtlMs: number): Promise<Answer | null> => {
    const url = cursor.feeds[name];
    if (url === undefined) return null;
    const options = { now, maxTtlMs, signal };
    let answer: Answer | null;
    try {
      answer = await readFeed(http, url, cursor.states[name], options);
    } catch (error) {
      if (!isGone(error) || cursor.discoveredAt === now) throw error;
      await discover();
      const moved = cursor.feeds[name];
      if (moved === undefined || moved === url) throw error;
      answer = await readFeed(http, moved, undefined, options);
    }
    if (answer) cursor = { ...cursor, states: { ...cursor.states, [name]: answer.state } };
    return answer;
  };
  /** The same for a feed that nothing depends on: a publisher that lists it without having it is no failure. */
  const optional = async (name: string): Promise<Answer | null> => {
    try {
      return await news(name, slowMs);
    } catch (error) {
      if (!isGone(error)) throw error;
      cursor = { ...cursor, states: { ...cursor.states, [name]: { ...nothing, nextAt: now + slowMs } } };
      return null;
    }
  };
  const discover = async (): Promise<void> => {
    const answer = await readFeed(http, address, undefined, { now, maxTtlMs: 0, signal });
    const feeds = feedsOf(address, answer!.data, declared.language);
    const states = cursor.discoveredFrom === address ? cursor.states : {};
    cursor = { ...cursor, feeds, states, discoveredAt: now, discoveredFrom: address };
  };
  const seen = (kind: string, names: readonly string[]): void => {
    if (names.length === 0) return;
    const others = Object.entries(cursor.fields).filter(([name]) => !name.startsWith(`${kind}.`));
    const before = Object.fromEntries(
      Object.entries(cursor.fields).filter(([name]) => name.startsWith(`${kind}.`)),
    );
    const fields = Object.fromEntries([...names].sort().map((name) => [`${kind}.${name}`, "json"]));
    if (Object.keys(before).length > 0) changes.push(...schemaChanges(before, fields));
    cursor = { ...cursor, fields: { ...Object.fromEntries(others), ...fields } };
  };

  // Another server's feeds are elsewhere. An address from tomorrow is one of a clock that was set back.
  if (cursor.discoveredFrom !== address || now - cursor.discoveredAt >= dayMs || cursor.discoveredAt > now)
    await discover();
  const information = await news("station_information", slowMs);
  if (information) {
    const { rows, rejected, fields } = stationsOf(information.data, declared.language);
    seen("station_information", fields);
    const stations = createHash("sha256").update(JSON.stringify(rows)).digest("hex").slice(0, 16);
    const isNew = stations !== cursor.stations;
    cursor = { ...cursor, stations };
    if (isNew || rejected.length > 0) yield page(isNew ? [{ stream: "entities", rows }] : [], rejected, 0);
  }
  // The archive begins a first read, so that what both have was known when it was taken. Later it comes last: one that
  // fails does not hold up the present.
  const isFirst = incremental && request.cursor === null;
  if (isFirst) yield* past();
  if (incremental) yield* present();
  if (!isFirst) yield* past();
  yield page([], [], 1);

  async function* present(): AsyncGenerator<Page> {
    const types = await optional("vehicle_types");
    if (types) cursor = { ...cursor, electric: electricTypes(types.data) };
    const before = cursor.states["station_status"]?.updatedAt ?? null;
    const status = await news("station_status", parseDuration(declared.maxTtl));
    if (status) {
      const { updatedAt } = status.state;
      // What was written while it was asked for is not ahead.
      const came = context.clock.now();
      const at = updatedAt === null || (updatedAt > came && updatedAt <= came + aheadMs) ? came : updatedAt;
      const { rows, rejected, fields } = snapshotsOf(status.data, at, new Set(cursor.electric));
      seen("station_status", fields);
      const isNew = updatedAt === null || updatedAt !== before;
      yield page(isNew && rows.length > 0 ? [levelPage(rows, false)] : [], isNew ? rejected : [], 0);
    }
    const alerts = await optional("system_alerts");
    if (alerts) {
      const { rows, rejected } = alertsOf(alerts.data, declared.language);
      yield page(rows.length > 0 ? [{ stream: "events", rows }] : [], rejected, 0);
    }
  }

  async function* past(): AsyncGenerator<Page> {
    const { archive } = declared;
    if (!archive) return;
    const { archiveAskedAt: asked, archiveOpen } = cursor;
    const isDue = asked === null || asked > now || now - asked >= parseDuration(archive.every);
    if (!isDue && !archiveOpen) return;
    cursor = { ...cursor, archiveAskedAt: now, archiveOpen: true };
    yield page([], [], 0);
    try {
      yield* fromArchive(archive);
    } catch (error) {
      // One that fails is asked again in its time, not at each poll; a read that was stopped goes on at the next.
      if (!signal.aborted) {
        cursor = { ...cursor, archiveOpen: false };
        yield page([], [], 1);
      }
      throw error;
    }
    cursor = { ...cursor, archiveOpen: false };
  }

  async function* fromArchive(archive: ArchiveOptions): AsyncGenerator<Page> {
    const first = monthOf(request.from) > archive.from ? monthOf(request.from) : archive.from;
    const months = monthsBetween(first, monthOf(Math.min(request.to, now)));
    for (const [i, month] of months.entries()) {
      const state = cursor.months[month];
      if (state?.done) continue;
      const url = textAddress(archive.url.replaceAll("{month}", month), context.baseAddress);
      const file = await download(http, url, state?.validators ?? null, signal);
      if (!file) continue;
      await using held = file;
      const range = {
        from: Math.max(request.from, state?.through ?? 0),
        to: Math.min(request.to, now + 1),
      };
      const known = (through: number, whole: boolean): void => {
        const months = {
          ...cursor.months,
          // What was not read to its end is not the same when it is asked for again.
          [month]: {
            validators: whole ? held.validators : null,
            through,
            done: whole && now >= endOfMonth(month) + settledMs,
          },
        };
        cursor = { ...cursor, months };
      };
      let through = range.from;
      for await (const part of readArchive(held.path, url, range)) {
        through = Math.max(through, part.through);
        known(through, false);
        yield page([part.page], [], (i + part.share) / months.length);
      }
      known(through, true);
      yield page([], [], (i + 1) / months.length);
    }
  }
}

const nothing: FeedState = { validators: { etag: null, lastModified: null }, nextAt: 0, updatedAt: null };

function isGone(error: unknown): boolean {
  const status = error instanceof CityScaleError ? error.details?.["status"] : undefined;
  return status === 404 || status === 410;
}
