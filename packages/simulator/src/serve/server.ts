import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Now } from "../clock.ts";
import type { Fault } from "../fault.ts";
import type { RequestEntry, RequestLog } from "../options.ts";
import { Faults } from "./faults.ts";
import { json, type Reply, type Request, type Service, text } from "./reply.ts";
import { send } from "./send.ts";

const MAX_FORM_BYTES = 1_000_000;
const KEPT = 1000;

export interface ServerOptions {
  services: readonly Service[];
  now: Now;
  host: string;
  port: number;
  seed: number;
  faults: Fault[];
}

export interface RunningServer {
  address: string;
  faults: Faults;
  log(): RequestLog;
  close(): Promise<void>;
}

/** Serves all services at one address, each under its own API's paths. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { services, now, host, port } = options;
  const faults = new Faults(options.seed, options.faults);
  const latest: RequestEntry[] = [];
  const bySource: RequestLog["bySource"] = {};
  let total = 0;

  const log = (): RequestLog => ({ total, bySource: structuredClone(bySource), latest: [...latest] });

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const url = new URL(incoming.url ?? "/", "http://simulator");
    const path = decodeURIComponent(url.pathname);
    const body = incoming.method === "POST" || incoming.method === "PUT" ? await readBody(incoming) : "";
    if (path.startsWith("/_simulator/")) {
      await send(response, control(incoming.method ?? "GET", path, body), null);
      return;
    }
    const params = url.searchParams;
    // ArcGIS takes long conditions as a form.
    if (body !== "") for (const [name, value] of new URLSearchParams(body)) params.append(name, value);
    const headers = Object.fromEntries(
      Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
    );
    const request: Request = { method: incoming.method ?? "GET", path, params, headers };
    const nowMs = now();
    const service = services.find((candidate) => candidate.source(path) !== null);
    const source = service?.source(path) ?? "none";
    const fault = service === undefined ? null : faults.strike(source, incoming.url ?? "/", nowMs);
    const reply: Reply =
      service === undefined ? text(404, "text/plain", "Not Found") : await service.answer(request, nowMs);
    const bytes = await send(
      response,
      reply,
      fault === null ? null : { fault, api: service!.api, nowMs, closing: faults.closing },
    );
    total++;
    bySource[source] ??= { requests: 0, faults: 0 };
    bySource[source].requests++;
    if (fault !== null) bySource[source].faults++;
    const entry: RequestEntry = {
      atMs: nowMs,
      method: request.method,
      url: incoming.url ?? "/",
      source,
      status: response.statusCode,
      bytes,
      fault: fault?.kind ?? null,
      tookMs: performance.now() - started,
    };
    latest.push(entry);
    if (latest.length > KEPT) latest.shift();
  }

  function control(method: string, path: string, body: string): Reply {
    if (path === "/_simulator/requests" && method === "GET") return json(200, log());
    if (path === "/_simulator/clock" && method === "GET") return json(200, { nowMs: now() });
    if (path === "/_simulator/faults" && method === "POST") {
      try {
        faults.set(JSON.parse(body === "" ? "[]" : body));
      } catch (error) {
        return json(400, { error: error instanceof Error ? error.message : String(error) });
      }
      return json(200, { faults: faults.list.length });
    }
    return json(404, { error: `no such control: ${method} ${path}` });
  }

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // A defect of the simulator itself: say so instead of imitating a service.
      console.error("simulator:", error);
      if (response.headersSent) response.destroy();
      else
        response.writeHead(500, { "content-type": "text/plain" }).end(`simulator defect: ${String(error)}`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
  const bound = server.address() as AddressInfo;
  return {
    address: `http://${bound.family === "IPv6" ? `[${bound.address}]` : bound.address}:${bound.port}`,
    faults,
    log,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      faults.release();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_FORM_BYTES) throw new RangeError("the request's body is too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
