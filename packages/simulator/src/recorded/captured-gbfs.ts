import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { json, type Reply, type Request, type Service, text } from "../serve/reply.ts";
import { recordingFolder } from "./folders.ts";

const city = "paris-velib";
const folder = "/opendata/Velib_Metropole";
const feeds = ["station_information", "station_status"] as const;

async function captured(root: string): Promise<ReadonlyMap<string, string>> {
  const from = await recordingFolder(root, city);
  const texts = await Promise.all(
    feeds.map((name) => readFile(join(from, `velib_${name}.sample.json`), "utf8")),
  );
  return new Map(feeds.map((name, i) => [`${folder}/${name}.json`, texts[i]!]));
}

/**
 * The instant of Vélib's captured answers.
 * @throws RangeError or a file system error where there are none
 */
export async function velibPeriod(root: string): Promise<{ fromMs: number; toMs: number }> {
  const body = JSON.parse((await captured(root)).get(`${folder}/station_status.json`)!) as {
    lastUpdatedOther: number;
  };
  const fromMs = body.lastUpdatedOther * 1000;
  return { fromMs, toMs: fromMs + 1000 };
}

/** Vélib's answers as they were captured, character by character, and the discovery that lists them. */
export async function capturedVelib(root: string): Promise<Service> {
  const texts = await captured(root);
  const discovery = `${folder}/gbfs.json`;
  return {
    api: "gbfs",
    source: (path) => (path === discovery || texts.has(path) ? "stations" : null),
    answer({ path, headers }: Request): Reply {
      const body = texts.get(path);
      if (body !== undefined) return text(200, "application/json", body);
      const listed = [...texts.keys()].map((path, i) => ({
        name: feeds[i],
        url: `http://${headers["host"]}${path}`,
      }));
      return json(200, { lastUpdatedOther: 1_772_634_590, ttl: 3600, data: { en: { feeds: listed } } });
    },
  };
}
