import { readFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CityScaleError, messageOf } from "../core/index.ts";
import type { HttpClient } from "./http.ts";

/** A declared address or path; a base address replaces its scheme and host, or the folder it is in. */
export function textAddress(url: string, base: string | undefined): string {
  if (base === undefined) return url;
  const remote = /^https?:/.test(url);
  const path = remote ? new URL(url).pathname + new URL(url).search : url.replace(/^file:\/\//, "");
  if (/^https?:/.test(base)) return `${base.replace(/\/+$/, "")}/${path.replace(/^\/+/, "")}`;
  const folder = folderOf(base);
  return !remote && isAbsolute(path) ? path : join(folder, path);
}

/** A folder given as a path or a file:// address. */
export function folderOf(base: string): string {
  return base.startsWith("file:") ? fileURLToPath(base) : base;
}

/** Text over http(s) or from a file. Throws SOURCE_UNREACHABLE when the file cannot be read. */
export async function textAt(address: string, http: HttpClient, signal: AbortSignal): Promise<string> {
  if (/^https?:/.test(address)) return http.text(address, { signal });
  const path = resolve(folderOf(address));
  try {
    return await readFile(path, { encoding: "utf8", signal });
  } catch (error) {
    if (signal.aborted)
      throw new CityScaleError("ABORTED", `reading ${path} was cancelled`, { cause: error });
    throw new CityScaleError("SOURCE_UNREACHABLE", `${path}: ${messageOf(error)}`, {
      cause: error,
      details: { path },
    });
  }
}
