import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createManualClock, type ManualClock, silentLog } from "../../src/core/index.ts";
import { createGrid, type Page, type ReadRequest, type Source } from "../../src/domain/index.ts";
import { createHttpClient, type SourceContext } from "../../src/sources/index.ts";

export const hour = 3_600_000;
export const day = 24 * hour;

export interface TestServer extends AsyncDisposable {
  readonly base: string;
  /** Path and query of each request, in order. */
  readonly requests: string[];
}

export type Handler = (url: URL, response: ServerResponse, request: IncomingMessage) => void;

/** A server on a free port of this machine. */
export async function serve(handler: Handler): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    handler(new URL(request.url ?? "/", "http://local"), response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** A client that waits in no time; `waits` holds what it would have waited, in ms. */
export function impatientHttp(options: Parameters<typeof createHttpClient>[0] = {}) {
  const waits: number[] = [];
  let now = Date.UTC(2026, 0, 1);
  const http = createHttpClient({
    now: () => now,
    sleep: async (ms) => {
      waits.push(ms);
      now += ms;
    },
    random: () => 0.5,
    perSecond: 1000,
    ...options,
  });
  return { http, waits };
}

export interface TestContext extends SourceContext {
  readonly clock: ManualClock;
}

export function contextAt(
  now: number,
  given: Partial<SourceContext> & { timeZone?: string } = {},
): TestContext {
  const timeZone = given.timeZone ?? "Australia/Sydney";
  return {
    timeZone,
    grid: createGrid(timeZone, hour),
    location: { lat: -33.87, lon: 151.21 },
    entity: "sensor",
    measureOf: ["pedestrians"],
    http: impatientHttp().http,
    log: silentLog,
    ...given,
    clock: createManualClock(now),
  };
}

export function requestOf(given: Partial<ReadRequest> & { to: number }): ReadRequest {
  return { cursor: null, from: 0, mode: "incremental", signal: new AbortController().signal, ...given };
}

export async function readAll(source: Source, request: ReadRequest): Promise<Page[]> {
  const pages: Page[] = [];
  // A cursor is kept as JSON between two reads.
  for await (const page of source.read(request)) pages.push({ ...page, cursor: jsonOf(page.cursor) });
  return pages;
}

export function jsonOf<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** All observations of some pages as `entity time value` rows. */
export function observationsOf(
  pages: readonly Page[],
): { entity: string; at: number; value: number; measure: string }[] {
  return pages.flatMap((page) =>
    page.parts.flatMap((part) =>
      part.stream === "observations"
        ? part.entity.map((entity, i) => ({
            entity,
            at: part.validAt[i]!,
            value: part.value[i]!,
            measure: part.measure,
          }))
        : [],
    ),
  );
}
