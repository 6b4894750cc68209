import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { CityScaleError, type Log, readOwner, silentLog } from "../../src/core/index.ts";
import { createHttp, ensureFirstKey, listen } from "../../src/http/index.ts";
import { openTestApp, type TestApp } from "./app.ts";
import { type Ask, ask, type Json, sendBytes } from "./client.ts";
import { pathOf, routes } from "./routes.ts";

let test: TestApp;
let anonymous: Ask;
let local: Ask;
const logged: { level: string; fields: Record<string, unknown>; message: string }[] = [];
const keep = (level: string) => (fields: Record<string, unknown>, message: string) =>
  void logged.push({ level, fields, message });
const log: Log = {
  debug: keep("debug"),
  info: keep("info"),
  warn: keep("warn"),
  error: keep("error"),
  child: () => silentLog,
};

beforeAll(async () => {
  test = await openTestApp({ log });
  anonymous = ask(test.address);
  local = ask(test.address, test.app.owner.record.token);
});
afterAll(async () => {
  await test[Symbol.asyncDispose]();
});

const keyOf = async (role: string, name: string = role) => {
  const { json } = await local("POST", "/v1/keys", { body: { name, role } });
  return { id: String(json["id"]), key: String(json["key"]) };
};

describe("before the first loop", () => {
  it("is alive but not ready, and says why", async () => {
    expect((await anonymous("GET", "/healthz")).json).toEqual({ status: "ok", version: "0.1.0" });
    const ready = await anonymous("GET", "/readyz");
    expect(ready.status).toBe(503);
    expect(ready.json["error"]).toMatchObject({
      code: "NOT_READY",
      message: "littleton/pedestrians has no forecasts yet",
    });
  });

  it("shows the status page and metrics without a key", async () => {
    const page = await anonymous("GET", "/");
    expect(page.status).toBe(200);
    expect(page.text).toContain("Not ready: littleton/pedestrians has no forecasts yet");
    const metrics = await anonymous("GET", "/metrics");
    expect(metrics.headers.get("content-type")).toContain("text/plain");
    expect(metrics.text).toMatch(
      /^cityscale_http_request_duration_seconds_count\{method="GET",route="\/readyz",status="503"\} 1$/m,
    );
  });

  it("tells the data folder's owner record where it listens", async () => {
    expect((await readOwner(test.home))?.address).toBe(test.address);
  });

  it("names a port that is taken", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const config = { ...test.app.config, port: (other.address() as AddressInfo).port };
    const app = Object.assign(Object.create(test.app) as typeof test.app, { config });
    const http = await createHttp(app);
    const failure = await listen(http, app).catch((error: unknown) => error);
    await http.close();
    await new Promise((resolve) => other.close(resolve));
    expect(failure).toBeInstanceOf(CityScaleError);
    expect((failure as CityScaleError).code).toBe("CONFIG_INVALID");
    expect((failure as Error).message).toContain(`127.0.0.1:${config.port} is in use`);
  });
});

describe("keys", () => {
  it("gives out one admin's key at the first start and never again", async () => {
    const fresh = await openTestApp();
    try {
      const key = await ensureFirstKey(fresh.app);
      expect(
        (await ask(fresh.address, key!)("GET", "/v1/audit")).json["entries"]?.[0 as never],
      ).toMatchObject({ action: "key.create", actor: "system" });
      expect(await ensureFirstKey(fresh.app)).toBeNull();
    } finally {
      await fresh[Symbol.asyncDispose]();
    }
  });

  it.each(routes)("%s %s is for %s", async (method, pattern, access) => {
    const path = pathOf(pattern);
    const body = method === "POST" ? { body: {} } : {};
    const without = await anonymous(method, path, body);
    if (access === "open") {
      expect(without.status).not.toBe(401);
      return;
    }
    expect([without.status, without.json["error"]?.["code"]]).toEqual([401, "UNAUTHENTICATED"]);
    const order = ["viewer", "operator", "admin"];
    for (const role of order) {
      const { status } = await ask(test.address, (await roleKeys)[role]!)(method, path, body);
      if (order.indexOf(role) < order.indexOf(access)) expect(status).toBe(403);
      else expect([401, 403]).not.toContain(status);
    }
  });
  const roleKeys = Promise.resolve().then(async () => {
    while (!test) await new Promise((resolve) => setImmediate(resolve));
    return Object.fromEntries(
      await Promise.all(["viewer", "operator", "admin"].map(async (role) => [role, (await keyOf(role)).key])),
    );
  });

  it("takes a key by either header, and nothing that only looks like one", async () => {
    const { key } = await keyOf("viewer", "reader");
    expect((await anonymous("GET", "/v1/cities", { headers: { "x-api-key": key } })).status).toBe(200);
    expect(
      (await anonymous("GET", "/v1/cities", { headers: { authorization: `bearer ${key}` } })).status,
    ).toBe(200);
    const wrong = [
      key.slice(0, -1),
      `${key}x`,
      `${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`,
      "x",
      "cs__",
      test.app.owner.record.token.slice(1),
    ];
    for (const text of wrong) expect((await ask(test.address, text)("GET", "/v1/cities")).status).toBe(401);
    for (const authorization of [`Basic ${btoa(`x:${key}`)}`, "Bearer", key, ""]) {
      const { status, headers } = await anonymous("GET", "/v1/cities", { headers: { authorization } });
      expect(status).toBe(401);
      expect(headers.get("www-authenticate")).toBe("Bearer");
    }
    // A wrong Authorization is not mended by another header: the request says two things.
    expect(
      (await anonymous("GET", "/v1/cities", { headers: { authorization: "Bearer x", "x-api-key": key } }))
        .status,
    ).toBe(401);
  });

  it("refuses a revoked key at once, lists keys without secrets, and remembers who did it", async () => {
    const { id, key } = await keyOf("admin", "leaver");
    const leaver = ask(test.address, key);
    expect((await leaver("GET", "/v1/keys")).status).toBe(200);
    expect((await leaver("DELETE", `/v1/keys/${id}`)).json).toEqual({ id, revoked: true });
    expect((await leaver("GET", "/v1/keys")).status).toBe(401);
    const listed = await local("GET", "/v1/keys");
    expect(listed.text).toContain(id);
    expect(listed.text).not.toContain(key.slice(16));
    const audit = await local("GET", `/v1/audit?subject=${id}`);
    expect(audit.json["entries"]).toMatchObject([
      { actor: "leaver", action: "key.revoke", details: { keyId: id } },
      { actor: "local", action: "key.create", details: { name: "leaver", role: "admin" } },
    ]);
  });

  it("lets no key take a name of the program's own", async () => {
    for (const name of ["local", "System", "", " x", "a\nb", "x".repeat(65)]) {
      expect((await local("POST", "/v1/keys", { body: { name, role: "admin" } })).status).toBe(400);
    }
  });
});

describe("the OpenAPI document", () => {
  it("describes every route and no other", async () => {
    const { json } = await anonymous("GET", "/openapi.json");
    const documented = Object.entries(json["paths"]!).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(documented.sort()).toEqual(routes.map(([method, path]) => `${method} ${path}`).sort());
  });

  it("is whole: parameters are declared, shapes can be read, open routes need no key", async () => {
    const { json } = await anonymous("GET", "/openapi.json");
    expect(json["openapi"]).toBe("3.1.0");
    for (const [method, path, access] of routes) {
      const operation = json["paths"]![path]![method.toLowerCase()]!;
      const parameters = (operation["parameters"] ?? []) as unknown as {
        name: string;
        in: string;
        schema: object;
        required?: boolean;
      }[];
      const inPath = parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
      expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
      expect(operation["summary"]).toBeTruthy();
      expect(operation["tags"]).toHaveLength(1);
      expect(access === "open" ? operation["security"] : json["security"]).toEqual(
        access === "open" ? [] : [{ bearer: [] }, { apiKey: [] }],
      );
      for (const { schema } of parameters) z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
      expect(operation["responses"]!["4XX"]).toBeDefined();
      expect(operation["requestBody"] === undefined).toBe(method !== "POST");
    }
  });

  it("is shown by a page whose every file comes from this server", async () => {
    expect((await anonymous("GET", "/docs")).headers.get("location")).toBe("docs/");
    const page = await anonymous("GET", "/docs/");
    const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(files.length).toBeGreaterThan(4);
    for (const file of files) {
      expect(file).toMatch(/^\.\//);
      expect((await anonymous("GET", `/docs/${file.slice(2)}`)).status).toBe(200);
    }
    expect(page.headers.get("content-security-policy")).not.toMatch(/https?:/);
    expect((await anonymous("GET", "/docs/json")).json["openapi"]).toBe("3.1.0");
  });
});

describe("errors", () => {
  const codeOf = (json: Json) => String(json["error"]?.["code"]);

  it.each<[string, string, number, string]>([
    ["GET", "/nothing", 404, "ROUTE_UNKNOWN"],
    ["GET", "/v1/cities/", 400, "REQUEST_INVALID"],
    ["GET", "/v1/predict", 405, "METHOD_NOT_ALLOWED"],
    ["PUT", "/v1/cities/littleton", 405, "METHOD_NOT_ALLOWED"],
    ["OPTIONS", "/v1/jobs/x", 405, "METHOD_NOT_ALLOWED"],
    ["DELETE", "/", 405, "METHOD_NOT_ALLOWED"],
    ["GET", "/v1/cities/constructor", 404, "CITY_UNKNOWN"],
    ["GET", "/v1/cities/__proto__/quality", 404, "CITY_UNKNOWN"],
    ["GET", "/v1/cities/littleton/batches?target=constructor", 404, "TARGET_UNKNOWN"],
    ["GET", "/v1/cities/littleton/batches?limit=0", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/batches?limit=1e9", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/batches?limit=1&limit=2", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/batches?nonsense=1", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/observations?entity=nobody", 404, "ENTITY_UNKNOWN"],
    ["GET", "/v1/cities/littleton/observations?measure=toString", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/observations?from=2026-02-30", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/observations?from=2026-03-02&to=2026-03-01", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/observations?cursor=1;drop", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/littleton/forecasts?origin=yesterday", 400, "REQUEST_INVALID"],
    ["GET", "/v1/cities/..%2f..%2fetc%2fpasswd", 404, "CITY_UNKNOWN"],
    ["GET", "/docs/static/..%2f..%2f..%2fpackage.json", 404, "ROUTE_UNKNOWN"],
    ["GET", "/v1/cities/%E0%A4%A", 400, "REQUEST_INVALID"],
    ["GET", "/v1/models?target=pedestrians", 400, "REQUEST_INVALID"],
    ["GET", "/v1/models/littleton/pedestrians/7", 404, "MODEL_UNKNOWN"],
    ["GET", "/v1/models/littleton/pedestrians/first", 400, "REQUEST_INVALID"],
    ["GET", "/v1/runs/run_none", 404, "RUN_UNKNOWN"],
    ["GET", "/v1/jobs/job_none", 404, "JOB_UNKNOWN"],
    ["DELETE", "/v1/jobs/job_none", 404, "JOB_UNKNOWN"],
    ["DELETE", "/v1/keys/none", 400, "REQUEST_INVALID"],
  ])("%s %s answers %i %s", async (method, path, status, code) => {
    const answer = await local(method, path);
    expect([answer.status, codeOf(answer.json)]).toEqual([status, code]);
    expect(Object.keys(answer.json["error"]!)).toEqual(expect.arrayContaining(["code", "message", "hint"]));
    if (status === 405) expect(answer.headers.get("allow")).toBeTruthy();
  });

  it.each<[string, string, object | string, number, string]>([
    ["an unknown asset", "/v1/jobs", { asset: "gold", city: "littleton" }, 404, "ASSET_UNKNOWN"],
    [
      "a period for a model",
      "/v1/jobs",
      { asset: "model", city: "littleton", from: "2026-01-01", to: "2026-02-01" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "half a period",
      "/v1/jobs",
      { asset: "observations", city: "littleton", from: "2026-01-01" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a period of decades",
      "/v1/jobs",
      { asset: "observations", city: "littleton", from: "1950-01-01", to: "2026-01-01" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "an unknown field",
      "/v1/jobs",
      { asset: "observations", city: "littleton", speed: 9 },
      400,
      "REQUEST_INVALID",
    ],
    [
      "an unknown version",
      "/v1/models/promote",
      { city: "littleton", version: 99, reason: "why not" },
      404,
      "MODEL_UNKNOWN",
    ],
    [
      "a promotion without a reason",
      "/v1/models/promote",
      { city: "littleton", version: 0, reason: "  " },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a rollback to nothing",
      "/v1/models/rollback",
      { city: "littleton", reason: "nothing there" },
      409,
      "CONFLICT",
    ],
    ["half an object", "/v1/predict", "{", 400, "REQUEST_INVALID"],
    ["no body", "/v1/predict", "", 400, "REQUEST_INVALID"],
    ["a poisoned prototype", "/v1/predict", '{"__proto__": {"entity": "A001"}}', 400, "REQUEST_INVALID"],
    ["deep nesting", "/v1/predict", "[".repeat(100_000), 400, "REQUEST_INVALID"],
    ["a huge body", "/v1/predict", `{"entity": "${"x".repeat(2_000_000)}"}`, 413, "BODY_TOO_LARGE"],
  ])("%s is refused", async (_, path, body, status, code) => {
    const answer = await local("POST", path, typeof body === "string" ? { raw: body } : { body });
    expect([answer.status, codeOf(answer.json)]).toEqual([status, code]);
  });

  it("refuses names and addresses of absurd length", async () => {
    for (const length of [250, 1_000, 10_000]) {
      const { status } = await local("GET", `/v1/cities/${"x".repeat(length)}`);
      expect(status).toBe(400);
    }
    expect((await local("GET", `/v1/cities?${"x".repeat(50_000)}`)).status).toBe(431);
  });

  it("takes JSON and nothing else", async () => {
    for (const type of [
      "text/plain",
      "application/xml",
      "multipart/form-data",
      "application/x-www-form-urlencoded",
      "nonsense",
    ]) {
      const answer = await local("POST", "/v1/predict", { raw: "{}", headers: { "content-type": type } });
      expect([answer.status, codeOf(answer.json)]).toEqual([415, "MEDIA_TYPE_UNSUPPORTED"]);
    }
  });

  it("names every wrong field", async () => {
    const body = { entity: 5, leads: [0, "x"], whatIf: { weather: { temperature: 1000, luck: 1 } } };
    const { json } = await local("POST", "/v1/predict", { body });
    const problems = String(json["error"]!["details"]!["problems"]);
    for (const field of [
      "body.entity",
      "body.leads.0",
      "body.leads.1",
      "body.whatIf.weather.temperature",
      "luck",
    ])
      expect(problems).toContain(field);
  });

  it.each<[string, string | Uint8Array, (number | null)[]]>([
    ["no HTTP", "hello\r\n\r\n", [400]],
    ["random bytes", Uint8Array.from({ length: 500 }, (_, i) => (i * 7919) % 256), [400, null]],
    ["an endless address", `GET /${"a".repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, [431, null]],
    ["endless headers", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(100_000)}\r\n\r\n`, [431, null]],
    [
      "two lengths",
      "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
      [400],
    ],
    [
      "a length and chunks",
      "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
      [400],
    ],
    ["a negative length", "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n", [400]],
    ["no host", "GET /healthz HTTP/1.1\r\n\r\n", [400]],
    ["a path outside", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [404]],
    [
      "a whole address",
      "GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
      [200, 400, 404],
    ],
    ["an unheard-of method", "BREW /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [400]],
    ["a null byte", "GET /v1/cities/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [401]],
    [
      "half a body",
      "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{",
      [400, 401, null],
    ],
  ])("survives %s", async (_, bytes, statuses) => {
    expect(statuses).toContain(await sendBytes(test.address, bytes));
    expect((await anonymous("GET", "/healthz")).status).toBe(200);
  });

  it("logs an unexpected failure with its stack and tells nothing of it", async () => {
    const broken = Object.assign(Object.create(test.app) as typeof test.app, {
      ready: () => Promise.reject(new Error("secret path /home/x")),
    });
    const http = await createHttp(broken);
    const answer = await http.inject("/readyz");
    await http.close();
    expect(answer.statusCode).toBe(500);
    expect(answer.json()).toMatchObject({ error: { code: "INTERNAL" } });
    expect(answer.body).not.toContain("secret");
    const line = logged.findLast(({ level }) => level === "error");
    expect(line?.fields).toMatchObject({ method: "GET", route: "/readyz", error: "secret path /home/x" });
    expect(String(line?.fields["stack"])).toContain("server.test.ts");
  });

  it("sends headers that keep pages and data to themselves", async () => {
    const { headers } = await local("GET", "/v1/cities");
    expect(Object.fromEntries(headers)).toMatchObject({
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
    });
    expect(headers.get("access-control-allow-origin")).toBeNull();
  });
});
