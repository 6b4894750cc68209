import { CityScaleError } from "../../core/index.ts";
import { type HttpClient, jsonOf, type Validators } from "../http.ts";
import { countOf, fieldOf, isLanguage, isRow, parseExact, type Row, rowsIn, timestampOf } from "./values.ts";

/** What is remembered of a feed between two reads. */
export interface FeedState {
  readonly validators: Validators;
  /** When the publisher may have something newer, ms of the city's clock. */
  readonly nextAt: number;
  /** The publisher's `last_updated`, ms UTC; null where it gave none. */
  readonly updatedAt: number | null;
}

export interface Answer {
  readonly data: Row;
  readonly state: FeedState;
}

/** Names of feeds that are read, with their addresses. */
export type Feeds = Readonly<Record<string, string>>;

/**
 * Reads a feed, unless its `ttl` is not over or the publisher says that it has not changed: null then.
 * Throws SOURCE_UNREACHABLE, SOURCE_REFUSED, SOURCE_MALFORMED or ABORTED.
 * @param maxTtlMs longest `ttl` that is believed
 */
export async function readFeed(
  http: HttpClient,
  url: string,
  before: FeedState | undefined,
  { now, maxTtlMs, signal }: { now: number; maxTtlMs: number; signal: AbortSignal },
): Promise<Answer | null> {
  if (before && now < before.nextAt) return null;
  const answer = await http.newer(url, before?.validators ?? null, { signal }, (chunks) =>
    jsonOf(chunks, errorIn, parseExact),
  );
  if (answer === null) return null;
  const body = answer.value;
  if (!isRow(body) || !isRow(body["data"])) {
    throw new CityScaleError(
      "SOURCE_MALFORMED",
      `${url}: expected a GBFS file with "data", received ${JSON.stringify(body).slice(0, 120)}`,
      { details: { url } },
    );
  }
  const stamp = timestampOf(fieldOf(body, ["last_updated", "lastUpdated", "lastUpdatedOther"]));
  const updatedAt = stamp === undefined || Number.isNaN(stamp) ? null : stamp;
  const ttl = countOf(body["ttl"]) ?? Number.NaN;
  const ttlMs = Number.isNaN(ttl) ? 0 : Math.min(maxTtlMs, Math.max(0, ttl * 1000));
  return {
    data: body["data"],
    state: { validators: answer.validators, nextAt: Math.min(updatedAt ?? now, now) + ttlMs, updatedAt },
  };
}

/** Errors in an answer with status 200: words in place of data. */
function errorIn(body: unknown): { status: number; message: string } | null {
  if (!isRow(body) || isRow(body["data"])) return null;
  const words = [body["error"], body["message"], body["errors"], body["detail"]].find(
    (value) => value !== undefined && value !== null,
  );
  if (words === undefined) return null;
  const inner = isRow(words) ? (words["message"] ?? words) : words;
  const message = typeof inner === "string" ? inner : JSON.stringify(inner);
  return { status: 500, message: message.slice(0, 300) };
}

/**
 * Addresses of the feeds in an auto-discovery file, of 3.0 or, in the wanted language, of older versions.
 * Throws SOURCE_MALFORMED when it lists none.
 */
export function feedsOf(url: string, data: Row, language: string): Feeds {
  const languages = Object.keys(data).filter((key) => isRow(data[key]) && rowsIn(data[key], "feeds"));
  const best = languages.find((key) => isLanguage(key, language)) ?? languages[0];
  const list = rowsIn(data, "feeds") ?? (best === undefined ? null : rowsIn(data[best] as Row, "feeds"));
  const feeds: Record<string, string> = {};
  for (const feed of list ?? []) {
    if (!isRow(feed) || typeof feed["name"] !== "string" || typeof feed["url"] !== "string") continue;
    if (/^https?:\/\//.test(feed["url"])) feeds[feed["name"]] ??= feed["url"];
  }
  for (const name of ["station_information", "station_status"]) {
    if (feeds[name] !== undefined) continue;
    const known = Object.keys(feeds).join(", ") || "none";
    throw new CityScaleError(
      "SOURCE_MALFORMED",
      `${url}: expected the address of ${name}; it lists ${known}`,
      { details: { url, feed: name } },
    );
  }
  return feeds;
}
