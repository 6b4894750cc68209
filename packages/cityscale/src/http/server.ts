import { type AddressInfo, isIPv6 } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import type { App } from "../app/index.ts";
import { CityScaleError } from "../core/index.ts";
import { guard } from "./auth.ts";
import { clientError, frameworkError, handleErrors } from "./errors.ts";
import { createExporter } from "./export.ts";
import { describeApi } from "./openapi.ts";
import { anomalyRoutes } from "./routes/anomalies.ts";
import { backupRoutes } from "./routes/backups.ts";
import { cityRoutes } from "./routes/cities.ts";
import { forecastRoutes } from "./routes/forecasts.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { keyRoutes } from "./routes/keys.ts";
import { modelRoutes } from "./routes/models.ts";
import { observationRoutes } from "./routes/observations.ts";
import { predictRoutes } from "./routes/predict.ts";
import { retentionRoutes } from "./routes/retention.ts";
import { riskRoutes } from "./routes/risk.ts";
import { statusRoutes } from "./routes/status.ts";
import { systemRoutes } from "./routes/system.ts";

const megabyte = 1_048_576;

/** Nothing from here may be framed, sniffed or loaded into another site's page; pages widen this for themselves. */
const headers = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** The HTTP server of an app: routes, keys, documentation, status page. It does not listen yet. */
export async function createHttp(app: App): Promise<FastifyInstance> {
  const { basePath } = app.config;
  const http = Fastify({
    logger: false,
    bodyLimit: megabyte,
    // A body that trickles in, and an answer that nobody reads, end at some time.
    requestTimeout: 30_000,
    connectionTimeout: 300_000,
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: 300 },
    // A proxy may strip the base path or keep it: both arrive at the same routes.
    rewriteUrl: ({ url = "/" }) => withoutBase(url, basePath),
    frameworkErrors: frameworkError(app.log),
    clientErrorHandler: clientError,
  });
  // JSON is the one language of bodies here.
  http.removeContentTypeParser("text/plain");
  handleErrors(http, app.log);
  http.addHook("onRequest", async (_request, reply) => {
    reply.headers(headers);
  });
  guard(http, app);
  http.addHook("onSend", async (request, reply) => {
    if (request.url.startsWith("/v1/")) reply.header("cache-control", "no-store");
  });
  http.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "none";
    const seconds = reply.elapsedTime / 1000;
    app.metrics.httpDuration.observe(
      { method: request.method, route, status: String(reply.statusCode) },
      seconds,
    );
    app.log.debug(
      { method: request.method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      "request",
    );
  });
  await describeApi(http, app);
  systemRoutes(http, app);
  cityRoutes(http, app);
  anomalyRoutes(http, app);
  const exporter = createExporter(app);
  observationRoutes(http, app, exporter);
  forecastRoutes(http, app, exporter);
  predictRoutes(http, app);
  riskRoutes(http, app);
  statusRoutes(http, app);
  modelRoutes(http, app);
  jobRoutes(http, app);
  keyRoutes(http, app);
  backupRoutes(http, app);
  retentionRoutes(http, app);
  await http.ready();
  return http;
}

function withoutBase(url: string, basePath: string): string {
  if (basePath === "" || !url.startsWith(basePath)) return url;
  const rest = url.slice(basePath.length);
  return rest === "" || rest.startsWith("?") ? `/${rest}` : rest.startsWith("/") ? rest : url;
}

/**
 * Listens where the configuration says and tells the data folder's owner record; returns the address, base path
 * included. Throws CONFIG_INVALID when the address is taken or not this machine's.
 */
export async function listen(http: FastifyInstance, app: App): Promise<string> {
  const { host, port, basePath } = app.config;
  try {
    await http.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === "EADDRINUSE" ? "is in use by another program" : "cannot be listened on";
    throw new CityScaleError("CONFIG_INVALID", `${host}:${port} ${what}; choose another with --port`, {
      cause: error,
    });
  }
  const bound = http.server.address() as AddressInfo;
  // A wildcard is no address that anybody can call.
  const name = bound.address === "0.0.0.0" || bound.address === "::" ? "127.0.0.1" : bound.address;
  const address = `http://${isIPv6(name) ? `[${name}]` : name}:${bound.port}${basePath}`;
  await app.owner.announce(address);
  return address;
}
