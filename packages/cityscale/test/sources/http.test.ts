import { describe, expect, test } from "vitest";
import { isAbort } from "../../src/core/index.ts";
import { createHttpClient } from "../../src/sources/index.ts";
import { impatientHttp, sendJson, serve } from "./support.ts";

describe("the HTTP client", () => {
  test("says who asks", async () => {
    await using server = await serve((_, response, request) =>
      sendJson(response, { agent: request.headers["user-agent"] }),
    );
    expect(await impatientHttp().http.json(`${server.base}/a`)).toEqual({ agent: "CityScale/0.1" });
  });

  test("waits as long as Retry-After says, in seconds or as a date", async () => {
    let calls = 0;
    await using server = await serve((_, response) => {
      calls += 1;
      if (calls === 1) return void response.writeHead(429, { "retry-after": "7" }).end("slow down");
      if (calls === 2) {
        const date = Date.UTC(2026, 0, 1);
        return void response
          .writeHead(503, {
            date: new Date(date).toUTCString(),
            "retry-after": new Date(date + 11_000).toUTCString(),
          })
          .end();
      }
      sendJson(response, { ok: true });
    });
    const { http, waits } = impatientHttp();
    expect(await http.json(`${server.base}/a`)).toEqual({ ok: true });
    expect(waits).toEqual([7000, 11_000]);
  });

  test("does not wait for a Retry-After of hours", async () => {
    await using server = await serve((_, response) => {
      response
        .writeHead(429, { "retry-after": "7200" })
        .end(JSON.stringify({ error: true, reason: "Daily limit" }));
    });
    const { http, waits } = impatientHttp();
    await expect(http.json(`${server.base}/a`)).rejects.toMatchObject({
      code: "SOURCE_REFUSED",
      details: { status: 429, attempts: 1 },
    });
    expect(waits).toEqual([]);
  });

  test("backs off twice as long each time, and gives up after its attempts", async () => {
    await using server = await serve((_, response) => void response.writeHead(500).end("Internal trouble"));
    const { http, waits } = impatientHttp({ attempts: 4, backoffMs: 100 });
    const failed = http.json(`${server.base}/a?apikey=secret&b=1`);
    await expect(failed).rejects.toThrow(
      /\/a\?apikey=\.\.\.&b=1 answered 500 \(4 attempts\): Internal trouble/,
    );
    expect(waits).toEqual([50, 100, 200]);
    expect(server.requests).toHaveLength(4);
  });

  test("gives up when its total time is spent", async () => {
    await using server = await serve(
      (_, response) => void response.writeHead(503, { "retry-after": "60" }).end(),
    );
    const { http, waits } = impatientHttp({ totalMs: 150_000 });
    await expect(http.json(`${server.base}/a`)).rejects.toMatchObject({ code: "SOURCE_REFUSED" });
    expect(waits).toEqual([60_000, 60_000]);
  });

  test("does not repeat a request that is wrong, and passes on the publisher's words", async () => {
    await using server = await serve((_, response) =>
      sendJson(response, { error_code: "ODSQLError", message: "ODSQL query is malformed" }, 400),
    );
    await expect(impatientHttp().http.json(`${server.base}/a`)).rejects.toThrow(
      /answered 400 \(1 attempt\): ODSQL query is malformed/,
    );
    expect(server.requests).toHaveLength(1);
  });

  test("says that HTML came instead of JSON, with its beginning", async () => {
    await using server = await serve(
      (_, response) => void response.end("<html><body>Gateway  trouble</body></html>"),
    );
    const failed = impatientHttp({ attempts: 2 }).http.json(`${server.base}/a`);
    await expect(failed).rejects.toMatchObject({ code: "SOURCE_MALFORMED", details: { attempts: 2 } });
    await expect(failed).rejects.toThrow(/received HTML: <html><body>Gateway trouble/);
  });

  test("repeats answers that were cut, with and without a length", async () => {
    let calls = 0;
    await using server = await serve((_, response) => {
      calls += 1;
      if (calls === 3) return sendJson(response, [1, 2, 3]);
      if (calls === 1) response.writeHead(200, { "content-length": "100" });
      response.write("[1, 2");
      setImmediate(() => response.destroy());
    });
    expect(await impatientHttp().http.json(`${server.base}/a`)).toEqual([1, 2, 3]);
    expect(calls).toBe(3);
  });

  test("a host that is not there is unreachable", async () => {
    const server = await serve((_, response) => void response.end());
    await server[Symbol.asyncDispose]();
    const failed = impatientHttp({ attempts: 2 }).http.json(`${server.base}/a`);
    await expect(failed).rejects.toMatchObject({ code: "SOURCE_UNREACHABLE", details: { attempts: 2 } });
    await expect(failed).rejects.toThrow(/ECONNREFUSED/);
  });

  test("a silent host is given up after the timeout", async () => {
    await using server = await serve(() => undefined);
    const http = createHttpClient({ timeoutMs: 30, attempts: 2, backoffMs: 1 });
    await expect(http.json(`${server.base}/a`)).rejects.toThrow(/\(2 attempts\): nothing came for 30 ms/);
  });

  test("a body larger than the limit is refused", async () => {
    await using server = await serve((_, response) => void response.end("x".repeat(5000)));
    await expect(impatientHttp({ maxBodyBytes: 1000 }).http.text(`${server.base}/a`)).rejects.toMatchObject({
      code: "SOURCE_MALFORMED",
    });
    expect(server.requests).toHaveLength(1);
  });

  test("an abort ends the request at once", async () => {
    const controller = new AbortController();
    await using server = await serve(() => controller.abort());
    const failed = impatientHttp().http.json(`${server.base}/a`, { signal: controller.signal });
    await expect(failed).rejects.toSatisfy(isAbort);
  });

  test("no more requests run at once than allowed", async () => {
    let running = 0;
    let most = 0;
    await using server = await serve((_, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        sendJson(response, 1);
      }, 5);
    });
    const http = createHttpClient({ concurrency: 2 });
    await Promise.all(Array.from({ length: 8 }, (_, i) => http.json(`${server.base}/${i}`)));
    expect(most).toBe(2);
  });

  test("requests per second are held to the limit after a burst", async () => {
    await using server = await serve((_, response) => sendJson(response, 1));
    const { http, waits } = impatientHttp({ perSecond: 2 });
    for (let i = 0; i < 7; i++) await http.json(`${server.base}/${i}`);
    expect(waits).toEqual([500, 500, 500]);
  });
});
