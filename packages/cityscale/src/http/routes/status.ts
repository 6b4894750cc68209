import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";
import type { App } from "../../app/index.ts";
import { statusPage, style } from "../status-page.ts";

const styleHash = createHash("sha256").update(style).digest("base64");
const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The page serves everybody: it is made anew at most this often, ms. */
const keepMs = 2_000;

/** The plain status page at `/`. */
export function statusRoutes(http: FastifyInstance, app: App): void {
  const { basePath } = app.config;
  let made: { readonly page: Promise<string>; readonly at: number } | null = null;
  http.get("/", { config: { access: "open" }, schema: { hide: true } }, async (request, reply) => {
    // Without the slash, the page's own links would leave the base path.
    if (basePath !== "" && request.originalUrl.split("?", 1)[0] === basePath) {
      return await reply.redirect(`${basePath.slice(basePath.lastIndexOf("/") + 1)}/`);
    }
    if (!made || performance.now() - made.at > keepMs) {
      const page = statusPage(app);
      made = { page, at: performance.now() };
      page.catch(() => {
        made = null;
      });
    }
    const page = await made.page;
    return await reply
      .type("text/html; charset=utf-8")
      .header("content-security-policy", policy)
      .header("cache-control", "no-cache")
      .send(page);
  });
}
