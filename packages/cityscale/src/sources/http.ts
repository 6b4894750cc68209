import { CityScaleError, type ErrorCode, type Log, messageOf, silentLog } from "../core/index.ts";
import { createHostGate, type HostGate } from "./host-gate.ts";

export interface HttpClientOptions {
  /** Longest silence of the other side, before the headers or within the body. */
  readonly timeoutMs?: number;
  /** Requests sent for one call, the first included. */
  readonly attempts?: number;
  /** Longest time of one call, with all its attempts and waits. */
  readonly totalMs?: number;
  /** Largest decoded body. */
  readonly maxBodyBytes?: number;
  /** First back-off; it doubles with each attempt, and a random share of it is waited (full jitter). */
  readonly backoffMs?: number;
  /** A `Retry-After` longer than this is not waited for. */
  readonly maxRetryAfterMs?: number;
  /** Requests to one host at the same time. */
  readonly concurrency?: number;
  /** Requests to one host per second, after a burst of twice as many; 10, and no limit on this machine itself. */
  readonly perSecond?: number;
  readonly log?: Log;
  /** Wall time, waiting and chance; the network is real even where the city's clock is not. */
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly random?: () => number;
}

export interface HttpRequest {
  readonly signal?: AbortSignal;
  /** Sent beside the client's own; they are in no message. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For services that put errors into answers with status 200: the status they mean and their words. */
  readonly errorIn?: (body: unknown) => { status: number; message: string } | null;
}

/** What a server said of the version of a body; sent back, it asks for a newer one only. */
export interface Validators {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** All of them throw CityScaleError SOURCE_UNREACHABLE, SOURCE_REFUSED, SOURCE_MALFORMED or ABORTED. */
export interface HttpClient {
  json(url: string, request?: HttpRequest): Promise<unknown>;
  text(url: string, request?: HttpRequest): Promise<string>;
  /**
   * Streams a body into `consume`, which is called anew for each attempt and so must keep its state inside.
   * It may throw `tornBody(..)` to have the request repeated.
   */
  stream<T>(
    url: string,
    request: HttpRequest,
    consume: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<T>;
  /** The same for a body that may not have changed since `validators` were given: null when it has not. */
  newer<T>(
    url: string,
    validators: Validators | null,
    request: HttpRequest,
    consume: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<{ readonly value: T; readonly validators: Validators } | null>;
}

class Failure extends Error {
  readonly code: ErrorCode;
  readonly retry: boolean;
  readonly httpStatus: number | null;
  readonly retryAfterMs: number | null;
  constructor(
    code: ErrorCode,
    message: string,
    options: { retry: boolean; status?: number | undefined; retryAfterMs?: number | null; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry;
    this.httpStatus = options.status ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** What a consumer throws when a body with status 200 is not whole; the request is repeated. */
export function tornBody(message: string): Error {
  return new Failure("SOURCE_MALFORMED", message, { retry: true, status: 200 });
}

const transient = (status: number) => status === 408 || status === 425 || status === 429 || status >= 500;

/** A polite client on the global fetch: bounded retries, one gate per host, errors that say where and what. */
export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const attempts = options.attempts ?? 5;
  const totalMs = options.totalMs ?? 300_000;
  const maxBodyBytes = options.maxBodyBytes ?? 256 * 1024 * 1024;
  const backoffMs = options.backoffMs ?? 500;
  const maxRetryAfterMs = options.maxRetryAfterMs ?? 120_000;
  const log = options.log ?? silentLog;
  const now = options.now ?? Date.now;
  const sleep = options.sleep ?? sleepFor;
  const random = options.random ?? Math.random;
  const gates = new Map<string, HostGate>();

  function gateOf(host: string): HostGate {
    let gate = gates.get(host);
    if (!gate) {
      gate = createHostGate({
        concurrency: options.concurrency ?? 2,
        perSecond: options.perSecond ?? (isLoopback(host) ? Number.POSITIVE_INFINITY : 10),
        now,
        sleep,
      });
      gates.set(host, gate);
    }
    return gate;
  }

  /** `onAnswer` sees the headers of each answer with a body, and of 304 where the request was conditional. */
  async function stream<T>(
    url: string,
    request: HttpRequest,
    consume: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
    onAnswer?: (response: Response) => void,
  ): Promise<T> {
    const { signal } = request;
    const gate = gateOf(new URL(url).host);
    const deadline = now() + totalMs;
    for (let attempt = 1; ; attempt++) {
      let failure: Failure;
      try {
        const leave = await gate.enter(signal);
        try {
          return await once(url, request, deadline, consume, onAnswer);
        } finally {
          leave();
        }
      } catch (error) {
        if (signal?.aborted) {
          throw new CityScaleError("ABORTED", `reading ${shown(url)} was cancelled`, { cause: error });
        }
        failure = asFailure(error);
      }
      const jitter = random() * backoffMs * 2 ** (attempt - 1);
      const wait = Math.max(jitter, failure.retryAfterMs ?? 0);
      const tooLong = (failure.retryAfterMs ?? 0) > maxRetryAfterMs || now() + wait > deadline;
      if (!failure.retry || attempt >= attempts || tooLong) throw publicError(url, failure, attempt);
      log.warn(
        { url: shown(url), attempt, waitMs: Math.round(wait), status: failure.httpStatus },
        failure.message,
      );
      if (failure.retryAfterMs !== null) gate.pauseUntil(now() + wait);
      await sleep(wait, signal).catch((error: unknown) => {
        throw new CityScaleError("ABORTED", `reading ${shown(url)} was cancelled`, { cause: error });
      });
    }
  }

  async function once<T>(
    url: string,
    { signal, headers }: HttpRequest,
    deadline: number,
    consume: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
    onAnswer: ((response: Response) => void) | undefined,
  ): Promise<T> {
    const controller = new AbortController();
    const abort = () => controller.abort(signal?.reason);
    let timer: NodeJS.Timeout | undefined;
    const listen = () => {
      clearTimeout(timer);
      const left = Math.max(1, Math.min(timeoutMs, deadline - now()));
      timer = setTimeout(
        () => controller.abort(new Error(`nothing came for ${Math.round(left)} ms`)),
        Math.ceil(left),
      );
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      listen();
      const response = await fetch(url, {
        signal: controller.signal,
        headers: { "user-agent": "CityScale/0.1", accept: "*/*", ...headers },
      });
      listen();
      const body = chunksOf(response, listen);
      if (response.ok || response.status === 304) onAnswer?.(response);
      // 202: the answer is still being made, and the same request gets it later.
      if (!response.ok || response.status === 202) {
        throw new Failure("SOURCE_REFUSED", wordsOf(await textOf(body, 16_384)), {
          retry: response.status === 202 || transient(response.status),
          status: response.status,
          retryAfterMs: retryAfterOf(response, now()),
        });
      }
      return await consume(body);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      // Frees the socket when the body was not read to its end.
      controller.abort();
    }
  }

  async function* chunksOf(response: Response, listen: () => void): AsyncGenerator<Uint8Array> {
    if (!response.body) return;
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      listen();
      bytes += chunk.byteLength;
      if (bytes > maxBodyBytes) {
        throw new Failure("SOURCE_MALFORMED", `the answer is larger than ${maxBodyBytes} bytes`, {
          retry: false,
          status: response.status,
        });
      }
      yield chunk;
    }
  }

  async function newer<T>(
    url: string,
    validators: Validators | null,
    request: HttpRequest,
    consume: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<{ value: T; validators: Validators } | null> {
    const headers: Record<string, string> = { ...request.headers };
    if (validators?.etag != null) headers["if-none-match"] = validators.etag;
    if (validators?.lastModified != null) headers["if-modified-since"] = validators.lastModified;
    let answer: Response | undefined;
    try {
      const value = await stream(url, { ...request, headers }, consume, (response) => {
        answer = response;
      });
      return {
        value,
        validators: {
          etag: answer?.headers.get("etag") ?? null,
          lastModified: answer?.headers.get("last-modified") ?? null,
        },
      };
    } catch (error) {
      const asked = validators?.etag != null || validators?.lastModified != null;
      if (asked && answer?.status === 304) return null;
      throw error;
    }
  }

  return {
    stream: (url, request, consume) => stream(url, request, consume),
    newer,
    text: (url, request = {}) => stream(url, request, (chunks) => textOf(chunks)),
    json: (url, request = {}) => stream(url, request, (chunks) => jsonOf(chunks, request.errorIn)),
  };
}

/** The JSON of a body, for `stream` and `newer`; `parse` throws SyntaxError for a text that is none. */
export async function jsonOf(
  chunks: AsyncIterable<Uint8Array>,
  errorIn?: HttpRequest["errorIn"],
  parse: (text: string) => unknown = JSON.parse,
): Promise<unknown> {
  const body = parseJson(await textOf(chunks), parse);
  const problem = errorIn?.(body);
  if (problem) {
    throw new Failure("SOURCE_REFUSED", problem.message, {
      retry: transient(problem.status),
      status: problem.status,
    });
  }
  return body;
}

function parseJson(text: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(text);
  } catch (cause) {
    const what = /^\s*</.test(text) ? "HTML" : /^\s*[[{]/.test(text) ? "broken JSON" : "text";
    throw new Failure("SOURCE_MALFORMED", `expected JSON, received ${what}: ${start(text, 120)}`, {
      // A gateway's page or a cut answer passes; the next attempt tells.
      retry: true,
      status: 200,
      cause,
    });
  }
}

async function textOf(chunks: AsyncIterable<Uint8Array>, limit = Number.POSITIVE_INFINITY): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= limit) break;
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

/** The publisher's own words in an error body, whatever envelope it uses. */
function wordsOf(text: string): string {
  try {
    const body = JSON.parse(text) as Record<string, unknown>;
    const inner = (typeof body["error"] === "object" ? body["error"] : body) as Record<string, unknown>;
    for (const key of ["message", "reason", "error_description", "error", "detail"]) {
      if (typeof inner[key] === "string") return start(inner[key], 300);
    }
  } catch {
    // Not JSON: the text itself is what the publisher said.
  }
  return start(text, 120) || "(no words)";
}

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure("SOURCE_UNREACHABLE", messageOf(error), { retry: isNetwork(error), cause: error });
}

/** fetch reports every network fault as TypeError; our own timer's error comes as the abort's reason. */
function isNetwork(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error instanceof TypeError || error.message.startsWith("nothing came for") || "code" in error;
}

function publicError(url: string, failure: Failure, attempts: number): CityScaleError {
  const status = failure.httpStatus === null ? "" : ` answered ${failure.httpStatus}`;
  const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  return new CityScaleError(failure.code, `${shown(url)}${status} (${tries}): ${failure.message}`, {
    cause: failure.cause,
    details: { url: shown(url), status: failure.httpStatus, attempts },
  });
}

function isLoopback(host: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/.test(host);
}

/** The address without secrets, for messages. */
function shown(url: string): string {
  return url.replace(/([?&](?:apikey|api_key|token|key)=)[^&]*/gi, "$1...");
}

function start(text: string, length: number): string {
  return text.trim().replace(/\s+/g, " ").slice(0, length);
}

/** Seconds or an HTTP date; the date is read against the server's own clock where it sends one. */
function retryAfterOf(response: Response, now: number): number | null {
  const header = response.headers.get("retry-after");
  if (header === null) return null;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  if (Number.isNaN(at)) return null;
  const sent = Date.parse(response.headers.get("date") ?? "");
  return Math.max(0, at - (Number.isNaN(sent) ? now : sent));
}

function sleepFor(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
