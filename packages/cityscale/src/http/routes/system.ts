import { statSync } from "node:fs";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { type App, codeVersion } from "../../app/index.ts";
import { CityScaleError } from "../../core/index.ts";
import { quantityTargets } from "../../domain/index.ts";
import { foundKinds } from "../../lake/index.ts";
import { openAnomalies } from "../../monitoring/index.ts";
import { addEndpoint } from "../endpoint.ts";

/** What probes and Prometheus ask, without a key. */
export function systemRoutes(http: FastifyInstance, app: App): void {
  const tag = "system";
  addEndpoint(http, {
    method: "GET",
    path: "/healthz",
    access: "open",
    tag,
    summary: "The process lives",
    answer: z.object({ status: z.literal("ok"), version: z.string() }),
    handle: async () => ({ status: "ok" as const, version: codeVersion }),
  });

  // Forecasts never go away: once ready means ready, and a probe costs nothing.
  let ready = false;
  let looking: Promise<string | null> | null = null;
  addEndpoint(http, {
    method: "GET",
    path: "/readyz",
    access: "open",
    tag,
    summary: "Every target has forecasts to serve; 503 until then",
    answer: z.object({ status: z.literal("ready") }),
    handle: async () => {
      if (!ready) {
        looking ??= app.ready().finally(() => {
          looking = null;
        });
        const missing = await looking;
        if (missing !== null) throw new CityScaleError("NOT_READY", missing);
        ready = true;
      }
      return { status: "ready" as const };
    },
  });

  let scrape: Promise<string> | null = null;
  addEndpoint(http, {
    method: "GET",
    path: "/metrics",
    access: "open",
    tag,
    summary: "Metrics in Prometheus' text format",
    produces: "text/plain",
    handle: async ({ reply }) => {
      // Scrapes that meet share one answer: this route is open, and each look costs queries.
      scrape ??= measure(app).finally(() => {
        scrape = null;
      });
      const text = await scrape;
      return reply.type(app.metrics.contentType).send(text);
    },
  });
}

/** Brings the gauges that change without a job up to now. */
async function measure(app: App): Promise<string> {
  const now = app.clock.now();
  for (const { city, lake, server } of app.cities.values()) {
    const file = join(app.config.home, "lakes", `${city.id}.duckdb`);
    app.metrics.lakeBytes.set({ city: city.id }, statSync(file).size);
    for (const { source, lastSuccessAt } of await lake.sourceStates()) {
      if (lastSuccessAt !== null)
        app.metrics.sourceAge.set({ city: city.id, source }, Math.max(0, now - lastSuccessAt) / 1000);
    }
    for (const target of Object.keys(city.targets)) {
      const [newest] = await server.batches(target, 1);
      if (newest)
        app.metrics.forecastAge.set({ city: city.id, target }, Math.max(0, now - newest.originAt) / 1000);
    }
    for (const target of quantityTargets(city)) {
      const open = await lake.read((connection) => openAnomalies(connection, target, now));
      for (const kind of foundKinds) {
        const count = open.filter((annotation) => annotation.kind === kind).length;
        app.metrics.openAnomalies.set({ city: city.id, target: target.name, kind }, count);
      }
    }
  }
  return await app.metrics.text();
}
