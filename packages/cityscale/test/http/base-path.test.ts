import { request } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readOwner } from "../../src/core/index.ts";
import { openTestApp, type TestApp } from "./app.ts";
import { ask } from "./client.ts";

let test: TestApp;
let origin: string;
beforeAll(async () => {
  test = await openTestApp({ basePath: "/city/forecasts" });
  origin = new URL(test.address).origin;
});
afterAll(async () => {
  await test[Symbol.asyncDispose]();
});

it("the address that is announced has the base path", async () => {
  expect(test.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/city\/forecasts$/);
  expect((await readOwner(test.home))?.address).toBe(test.address);
});

it.each(["", "/city/forecasts"])(
  "routes answer behind a proxy that leaves the path as %j",
  async (prefix) => {
    const get = ask(origin + prefix, test.app.owner.record.token);
    expect((await get("GET", "/healthz")).status).toBe(200);
    expect((await get("GET", "/v1/cities")).json).toMatchObject({ cities: [{ id: "littleton" }] });
    expect((await get("GET", "/")).text).toContain("<title>CityScale</title>");
    expect((await get("GET", "/openapi.json")).json["servers"]).toEqual([{ url: "/city/forecasts" }]);
    expect((await get("GET", "/v1/nothing")).status).toBe(404);
  },
);

it("only the whole base path is one", async () => {
  for (const path of ["/city", "/city/forecastsx/healthz", "/city/forecasts/city/forecasts/healthz"]) {
    expect((await ask(origin)("GET", path)).status).toBe(404);
  }
});

it("every link leads back below the base path, also from addresses without the last slash", async () => {
  const follow = async (path: string): Promise<URL> => {
    const response = await fetch(origin + path);
    expect(response.status).toBe(200);
    return new URL(response.url);
  };
  expect((await follow("/city/forecasts")).pathname).toBe("/city/forecasts/");
  expect((await follow("/city/forecasts/docs")).pathname).toBe("/city/forecasts/docs/");
  for (const path of ["/city/forecasts/", "/city/forecasts/docs/"]) {
    const page = await (await fetch(origin + path)).text();
    const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)]
      .map((match) => match[1]!)
      .filter((link) => !link.startsWith("https://data."));
    expect(links.length).toBeGreaterThan(1);
    for (const link of links) {
      const url = new URL(link, origin + path);
      expect(url.pathname.startsWith("/city/forecasts/")).toBe(true);
      expect((await fetch(url)).status).toBe(200);
    }
  }
});

it("a path that climbs out of the base path finds nothing", async () => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const sent = request({ hostname, port, path: "/city/forecasts/../../etc/passwd" }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on("error", reject).end();
  });
  expect(status).toBe(404);
});
