import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { CityScaleError, type ErrorCode, errorCodes, type Log, messageOf } from "../core/index.ts";

/** The body of an answer that is an error. */
export function errorBody(error: CityScaleError): unknown {
  const { code, message, hint, details } = error;
  return { error: { code, message, hint, ...(Object.keys(details).length > 0 ? { details } : {}) } };
}

/** Fastify's own refusals in our words; whatever else it calls a client's mistake is REQUEST_INVALID. */
const codeOfFastify: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "BODY_TOO_LARGE",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "MEDIA_TYPE_UNSUPPORTED",
  FST_ERR_NOT_FOUND: "ROUTE_UNKNOWN",
};

/** What is told of an error: an unexpected one is logged with its stack and tells nothing of the inside. */
export function publicError(
  error: unknown,
  log: Log,
  request: { method: string; route: string },
): CityScaleError {
  if (error instanceof CityScaleError) {
    if (error.status >= 500 && error.code !== "NOT_READY") {
      log.error(
        { ...request, code: error.code, error: messageOf(error), stack: error.stack },
        "a request failed",
      );
    }
    return error;
  }
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500) {
    return new CityScaleError(
      codeOfFastify[String(code)] ?? "REQUEST_INVALID",
      messageOf(error).slice(0, 500),
    );
  }
  log.error(
    { ...request, error: messageOf(error), stack: error instanceof Error ? error.stack : undefined },
    "a request failed unexpectedly",
  );
  return new CityScaleError("INTERNAL", "something went wrong inside CityScale");
}

function answer(reply: FastifyReply, error: CityScaleError): FastifyReply {
  if (error.code === "UNAUTHENTICATED") reply.header("www-authenticate", "Bearer");
  if (error.code === "RATE_LIMITED" || error.code === "NOT_READY") reply.header("retry-after", "2");
  return reply
    .status(error.status)
    .type("application/json; charset=utf-8")
    .send(JSON.stringify(errorBody(error)));
}

/** Every error of every route in one shape; known paths with another method answer 405. */
export function handleErrors(http: FastifyInstance, log: Log): void {
  const known: { pattern: RegExp; method: string }[] = [];
  http.addHook("onRoute", ({ url, method }) => {
    const pattern = new RegExp(
      `^${url
        .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
        .replace(/:[A-Za-z]+/g, "[^/]+")
        .replace(/\*/g, ".*")}/?$`,
    );
    for (const one of [method].flat()) known.push({ pattern, method: one });
  });
  http.setErrorHandler((error, request, reply) => answer(reply, publicError(error, log, placeOf(request))));
  http.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?", 1)[0]!;
    const methods = [
      ...new Set(known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)),
    ];
    if (methods.length === 0 || methods.includes(request.method)) {
      return answer(
        reply,
        new CityScaleError("ROUTE_UNKNOWN", `there is nothing at ${request.method} ${path.slice(0, 200)}`),
      );
    }
    reply.header("allow", methods.join(", "));
    return answer(
      reply,
      new CityScaleError(
        "METHOD_NOT_ALLOWED",
        `${path.slice(0, 200)} takes ${methods.join(", ")}, not ${request.method}`,
      ),
    );
  });
}

/** For errors that Fastify meets before a route is found, such as a path with broken escapes. */
export function frameworkError(log: Log) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    answer(reply, publicError(error, log, { method: request.method, route: "none" }));
  };
}

/** For what is no HTTP at all: the parser gave up, so the answer is written by hand. */
export function clientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const status =
    error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const what = {
    431: "the address or the headers are too long",
    408: "the request took too long to arrive",
    400: "that is not HTTP",
  };
  const body = JSON.stringify({
    error: { code: "REQUEST_INVALID", message: what[status], hint: errorCodes.REQUEST_INVALID.hint },
  });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function placeOf(request: FastifyRequest): { method: string; route: string } {
  return { method: request.method, route: request.routeOptions.url ?? "none" };
}
