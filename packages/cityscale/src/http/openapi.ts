import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { type App, codeVersion } from "../app/index.ts";

/** Scripts and styles of the page at /docs come from here; nothing is loaded from elsewhere. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The OpenAPI document at /openapi.json, made from the schemas that check requests, and a page that shows it. */
export async function describeApi(http: FastifyInstance, app: App): Promise<void> {
  await http.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "CityScale",
        version: codeVersion,
        description:
          "Forecasts of a city, how they were made and how they came true. Instants are ISO 8601 in UTC.",
        license: { name: "MIT", identifier: "MIT" },
      },
      // Where clients see it, whether a proxy strips the base path or keeps it.
      servers: [{ url: app.config.basePath === "" ? "/" : app.config.basePath }],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer" },
          apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
        },
      },
      security: [{ bearer: [] }, { apiKey: [] }],
    },
  });
  // Of the page only what it needs is open; without the slash its own addresses would leave out the base path.
  http.addHook("onRequest", async (request, reply) => {
    if (request.url.split("?", 1)[0] === "/docs") return reply.redirect("docs/");
  });
  await http.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, access: "open" };
    });
    await scope.register(swaggerUi, {
      routePrefix: "/docs",
      staticCSP: pagePolicy,
      uiConfig: { tryItOutEnabled: true },
    });
  });
  http.get("/openapi.json", { config: { access: "open" }, schema: { hide: true } }, async () =>
    http.swagger(),
  );
}
