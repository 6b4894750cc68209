import { connect } from "node:net";

/** An answer as it came. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: Json;
}

/** JSON of unknown shape, to be looked into by tests. */
export interface Json {
  readonly [name: string]: Json;
}

export type Ask = (
  method: string,
  path: string,
  options?: { body?: unknown; raw?: string | Uint8Array; headers?: Record<string, string> },
) => Promise<Answer>;

/** Speaks HTTP to a server, with a key or without one. */
export function ask(address: string, key?: string): Ask {
  return async (method, path, { body, raw, headers } = {}) => {
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await fetch(address + path, {
      method,
      redirect: "manual",
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(sent === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(sent === undefined ? {} : { body: sent as string }),
    });
    const text = await response.text();
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, json: json as Json };
  };
}

/** Sends bytes as they are and returns the status of the answer; null when the server hung up without one. */
export function sendBytes(address: string, bytes: string | Uint8Array): Promise<number | null> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = "";
    const end = () => {
      socket.destroy();
      const status = /^HTTP\/1\.1 (\d{3})/.exec(received)?.[1];
      resolve(status === undefined ? null : Number(status));
    };
    socket.setTimeout(10_000, () => reject(new Error("no answer in ten seconds")));
    socket.on("connect", () => socket.end(bytes));
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    socket.on("close", end);
    // The server may hang up while it is still being talked to.
    socket.on("error", end);
  });
}
