#!/usr/bin/env node
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  type GenerativeBikeShare,
  type GenerativeCity,
  nycBikeShare,
  recordedPeriod,
  type SimulatorOptions,
  startSimulator,
} from "../src/index.ts";

const HELP = `Serves a city through the formats of the real services, on a virtual clock.

  cityscale-simulator [options]

  --city ID            sydney-pedestrians (generated, default), nyc-bikeshare (generated) or a recorded
                       city, e.g. paris-bikes
  --recordings ROOT    folder of recordings; makes --city a recorded one
  --parameters FILE    JSON with parameters of a generated city
  --seed N             default 1
  --port N             default: any free port
  --host ADDRESS       default 127.0.0.1
  --clock ISO          virtual time at the start, e.g. 2026-03-01T00:00:00Z; default: now,
                       or the end of the recordings
  --speed N            virtual seconds per real second, default 1
  --help

Prints one line of JSON with the address of each source. Ends on SIGINT or SIGTERM.
While it runs: POST /_simulator/faults (a JSON list), GET /_simulator/requests, GET /_simulator/clock.
`;

async function options(args: string[]): Promise<SimulatorOptions | null> {
  const { values } = parseArgs({
    args,
    options: {
      city: { type: "string", default: "sydney-pedestrians" },
      recordings: { type: "string" },
      parameters: { type: "string" },
      seed: { type: "string", default: "1" },
      port: { type: "string", default: "0" },
      host: { type: "string", default: "127.0.0.1" },
      clock: { type: "string" },
      speed: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const { city: id, recordings } = values;
  const written =
    values.parameters === undefined ? {} : JSON.parse(await readFile(values.parameters, "utf8"));
  const city =
    recordings !== undefined
      ? { recordings, city: id }
      : id === nycBikeShare.id
        ? { ...(written as Partial<GenerativeBikeShare>), kind: nycBikeShare.kind, id }
        : { id, ...(written as Partial<GenerativeCity>) };
  let startMs = Date.now();
  if (values.clock !== undefined) startMs = Date.parse(values.clock);
  else if (recordings !== undefined) startMs = (await recordedPeriod(recordings, id)).toMs;
  if (Number.isNaN(startMs)) throw new TypeError(`--clock wants an ISO time, got ${values.clock}`);
  const speed = number("speed", values.speed);
  return {
    clock: { kind: "linear", startMs, realStartMs: Date.now(), speed },
    seed: number("seed", values.seed),
    port: number("port", values.port),
    host: values.host,
    city,
  };
}

function number(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new TypeError(`--${name} wants a number, got ${text}`);
  return value;
}

try {
  const wanted = await options(process.argv.slice(2));
  if (wanted === null) process.stdout.write(HELP);
  else {
    const simulator = await startSimulator(wanted);
    const stop = () => {
      simulator.close().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(error);
          process.exit(1);
        },
      );
    };
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
    process.stdout.write(`${JSON.stringify({ sources: simulator.sources })}\n`);
  }
} catch (error) {
  console.error(`cityscale-simulator: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
