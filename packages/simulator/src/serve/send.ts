import type { ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { Fault } from "../fault.ts";
import { malform } from "./malform.ts";
import { type Api, json, type Reply, text } from "./reply.ts";

export interface Strike {
  fault: Fault;
  api: Api;
  nowMs: number;
  /** Ends a wait early. */
  closing: AbortSignal;
}

/** Sends a reply, spoilt by a fault if there is one. Returns how many characters of the body were sent. */
export async function send(response: ServerResponse, reply: Reply, strike: Strike | null): Promise<number> {
  if (strike === null) return whole(response, reply);
  const { fault, api } = strike;
  switch (fault.kind) {
    case "unreachable":
      response.destroy();
      return 0;
    case "status":
      return whole(response, refusal(fault, api, strike.nowMs));
    case "html":
      return whole(
        response,
        text(
          200,
          "text/html",
          "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>Try later</body></html>",
        ),
      );
    case "envelope":
      return whole(response, envelope(fault, api, reply));
    case "malformed": {
      const body = complete(reply);
      if (typeof body !== "string") return whole(response, reply);
      const type = reply.headers["content-type"] ?? "";
      const wrong = malform(api, type, body, fault.malformation, fault.every ?? 1);
      return whole(response, { ...reply, body: wrong });
    }
    case "truncated":
      return whole(response, { ...reply, body: half(complete(reply)) });
    case "cut": {
      const body = complete(reply);
      response.writeHead(reply.status, { ...reply.headers, "content-length": Buffer.byteLength(body) });
      const part = half(body);
      // The half is on its way before the connection goes, so the reader sees a body that stops.
      await new Promise<void>((resolve) => response.write(part, () => resolve()));
      response.destroy();
      return part.length;
    }
    case "slow":
      return slow(response, reply, fault.delayMs, fault.within === true, strike.closing);
  }
}

async function whole(response: ServerResponse, reply: Reply): Promise<number> {
  // Answers without a body have no length either.
  if (reply.status === 304) {
    response.writeHead(304, reply.headers);
    response.end();
    return 0;
  }
  if (typeof reply.body === "string" || reply.body instanceof Uint8Array) {
    response.writeHead(reply.status, { ...reply.headers, "content-length": Buffer.byteLength(reply.body) });
    response.end(reply.body);
    return reply.body.length;
  }
  response.writeHead(reply.status, reply.headers);
  let sent = 0;
  for (const piece of reply.body) {
    // The reader went away: no more pieces are made.
    if (response.destroyed) return sent;
    sent += piece.length;
    if (!response.write(piece)) await drained(response);
  }
  response.end();
  return sent;
}

/** Resolves when the reader has caught up or gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

async function slow(
  response: ServerResponse,
  reply: Reply,
  delayMs: number,
  within: boolean,
  closing: AbortSignal,
): Promise<number> {
  const pause = () =>
    wait(delayMs, undefined, { signal: closing }).catch((error: unknown) => {
      if (!closing.aborted) throw error;
    });
  if (!within) {
    await pause();
    return whole(response, reply);
  }
  const body = complete(reply);
  response.writeHead(reply.status, { ...reply.headers, "content-length": Buffer.byteLength(body) });
  const first = half(body);
  response.write(first);
  await pause();
  if (!response.destroyed) response.end(body.slice(first.length));
  return body.length;
}

function refusal(fault: Extract<Fault, { kind: "status" }>, api: Api, nowMs: number): Reply {
  const { status } = fault;
  const headers: Record<string, string> = {};
  if (status === 429) {
    const seconds = fault.retryAfterSeconds ?? 1;
    // A date is on the caller's wall clock, as HTTP dates are.
    headers["retry-after"] =
      fault.retryAfterDate === true ? new Date(Date.now() + seconds * 1000).toUTCString() : String(seconds);
  }
  const words = {
    202: "The request is still being processed",
    429: "Too many requests",
    500: "Internal error",
    503: "The service is overloaded",
  }[status];
  if (api === "socrata") {
    const code = status === 429 ? "too_many_requests" : "internal_error";
    return json(status, status === 202 ? { message: words } : { code, error: true, message: words }, headers);
  }
  if (api === "arcgis")
    return json(status, { error: { code: status, message: words, details: [] } }, headers);
  if (api === "open-meteo") {
    const reason =
      status === 429 ? "Minutely API request limit exceeded. Please try again in one minute." : words;
    return json(status, { error: true, reason }, headers);
  }
  if (api === "opendatasoft") {
    if (status !== 429) return json(status, { error_code: "InternalServerError", message: words }, headers);
    const reset = new Date(nowMs + 3_600_000).toISOString();
    headers["x-ratelimit-limit"] = "5000";
    headers["x-ratelimit-remaining"] = "0";
    headers["x-ratelimit-reset"] = reset;
    return json(
      429,
      {
        errorcode: 10002,
        reset_time: reset,
        limit_time_unit: "day",
        call_limit: 5000,
        error: "Too many requests on the domain.",
      },
      headers,
    );
  }
  return { ...text(status, "text/plain", words), headers: { "content-type": "text/plain", ...headers } };
}

/** An error under HTTP 200. An Opendatasoft export that fails midway ends its text with the reason. */
function envelope(fault: Extract<Fault, { kind: "envelope" }>, api: Api, reply: Reply): Reply {
  const code = fault.code ?? 500;
  const message = fault.message ?? "Unable to complete operation.";
  if (api === "arcgis") return json(200, { error: { code, message, details: [] } });
  if (api === "open-meteo") return json(200, { error: true, reason: message });
  if (api === "socrata") return json(200, { code: "internal_error", error: true, message });
  if (api === "gbfs") return json(200, { error: message, code });
  if (api === "opendatasoft") {
    if (typeof reply.body === "string") return json(200, { error_code: "InternalServerError", message });
    const tail = `Streaming interrupted due to the following error: ${message} (error_code: InternalServerError)`;
    return { ...reply, body: half(complete(reply)) + tail };
  }
  return { ...reply, body: `ERROR ${code}: ${message}\r\n` };
}

function complete(reply: Reply): string | Uint8Array {
  const { body } = reply;
  return typeof body === "string" || body instanceof Uint8Array ? body : [...body].join("");
}

function half<Body extends string | Uint8Array>(body: Body): Body {
  return body.slice(0, Math.floor(body.length / 2)) as Body;
}
