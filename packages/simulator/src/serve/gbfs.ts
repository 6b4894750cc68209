import type { BikeShare } from "./bike-share.ts";
import { type GbfsForm, vehicleTypes } from "./gbfs-forms.ts";
import { json, type Reply, type Request, type Service, text } from "./reply.ts";

const archivePath = /^\/archive\/status_(\d{4}-\d{2})\.parquet$/;

/** A bike share's stations through GBFS, in a publisher's form, and `/archive/status_YYYY-MM.parquet`. */
export class Gbfs implements Service {
  readonly api = "gbfs";
  readonly #share: BikeShare;
  readonly #form: GbfsForm;
  readonly #names: ReadonlyMap<string, string>;

  constructor(share: BikeShare, form: GbfsForm) {
    this.#share = share;
    this.#form = form;
    this.#names = new Map(Object.entries(form.feeds).map(([name, path]) => [path, name]));
  }

  source(path: string): string | null {
    const own = path === this.#form.discovery || this.#names.has(path) || archivePath.test(path);
    return own ? "stations" : null;
  }

  async answer(request: Request, nowMs: number): Promise<Reply> {
    const month = archivePath.exec(request.path)?.[1];
    if (month !== undefined) return await this.#archive(month, request, nowMs);
    const name = this.#names.get(request.path);
    if (name === undefined) return this.#discovery(request);
    const share = this.#share;
    const form = this.#form;
    const old = { updated: 0 };
    switch (name) {
      case "station_status": {
        const { updated, rows } = await share.status(nowMs);
        return this.#feed(request, { stations: rows.map(form.state) }, updated);
      }
      case "station_information": {
        const { updated, rows } = await share.stations(nowMs);
        return this.#feed(request, { stations: rows.map(form.station) }, updated);
      }
      case "system_alerts": {
        const { updated, rows } = await share.alerts(nowMs);
        return this.#feed(request, { alerts: rows.map(form.alert) }, updated);
      }
      case "vehicle_types":
        return this.#feed(request, { vehicle_types: vehicleTypes }, old.updated);
      default:
        return this.#feed(request, form.system(share.name, share.timeZone), old.updated);
    }
  }

  #discovery({ headers }: Request): Reply {
    const feeds = Object.entries(this.#form.feeds).map(([name, path]) => ({
      name,
      url: `http://${headers["host"]}${path}`,
    }));
    const { languages } = this.#form;
    const data =
      languages === null ? { feeds } : Object.fromEntries(languages.map((tag) => [tag, { feeds }]));
    return json(200, this.#form.envelope(data, 1_600_000_000, this.#form.ttl));
  }

  #feed(request: Request, data: unknown, updated: number): Reply {
    const version = {
      etag: `"${updated.toString(36)}"`,
      "last-modified": new Date(updated * 1000).toUTCString(),
    };
    if (isSame(request, version)) return { status: 304, headers: version, body: "" };
    return json(200, this.#form.envelope(data, updated, this.#form.ttl), version);
  }

  async #archive(month: string, request: Request, nowMs: number): Promise<Reply> {
    const file = await this.#share.archive(month, nowMs);
    if (file === null) return text(404, "text/plain", "Not Found");
    const headers = { etag: `"${file.version}"` };
    if (isSame(request, { ...headers, "last-modified": "" })) return { status: 304, headers, body: "" };
    return {
      status: 200,
      headers: { ...headers, "content-type": "application/vnd.apache.parquet" },
      body: await file.bytes(),
    };
  }
}

/** An entity tag decides alone where one is sent; a date where none is. */
function isSame({ headers }: Request, version: { etag: string; "last-modified": string }): boolean {
  const tag = headers["if-none-match"];
  if (tag !== undefined) return tag === version.etag;
  const since = headers["if-modified-since"];
  return since !== undefined && Date.parse(since) >= Date.parse(version["last-modified"]);
}
