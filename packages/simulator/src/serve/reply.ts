/** A request as the services see it. Parameters of a POSTed form are merged with the query string's. */
export interface Request {
  method: string;
  path: string;
  params: URLSearchParams;
  /** By name in lower case; one text for each. */
  headers: Readonly<Record<string, string | undefined>>;
}

/** What a service answers; long bodies come in pieces. */
export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: string | Uint8Array | Iterable<string>;
}

/** Which format a reply has: a fault must know how that API spells an error and where it keeps its rows. */
export type Api = "arcgis" | "opendatasoft" | "open-meteo" | "socrata" | "gbfs" | "csv";

/** One API under its own paths. Returns null for a path that is not its own. */
export interface Service {
  readonly api: Api;
  /** Name of the source a path belongs to, e.g. counts; null for a path of another service. */
  source(path: string): string | null;
  answer(request: Request, nowMs: number): Reply | Promise<Reply>;
}

export function json(status: number, value: unknown, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(value),
  };
}

export function text(status: number, type: string, body: string | Iterable<string>): Reply {
  return { status, headers: { "content-type": `${type}; charset=utf-8` }, body };
}
