import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, enqueueAsset } from "../packages/cityscale/src/app/index.ts";
import { createLog, readConfig } from "../packages/cityscale/src/core/index.ts";
import { createHttp, listen } from "../packages/cityscale/src/http/index.ts";

/**
 * POST /v1/predict for one entity and 24 leads on loopback, idle and while a training runs, beside a bare node:http
 * server in the same process that sends an answer of the same size. Ends with 1 where the 99th percentile while
 * training is not below 10 ms.
 *
 *   npm run -s bench:serving
 */
const limitMs = 10;
const city = "sydney-pedestrians";

const home = await mkdtemp(join(tmpdir(), "cityscale-bench-"));
const app = await App.open({
  config: readConfig({ env: {}, overrides: { home, cities: [city], port: 0 } }),
  log: createLog("error"),
});
const http = await createHttp(app);
const address = await listen(http, app);
await app.start();
console.log("preparing: one whole loop of the default city ...");
const { failures } = await app.runFirstLoop({ train: true, patient: false });
if (failures.length > 0)
  throw new Error(failures.map((job) => `${job.kind}: ${job.error?.message}`).join("; "));
const entity = (await app
  .city(city)
  .lake.read((connection) =>
    connection.first<{ entity: string }>("SELECT entity FROM entities ORDER BY e LIMIT 1"),
  ))!.entity;
const { key } = await app.keys.create({ name: "bench", role: "viewer" });
const predict = {
  url: `${address}/v1/predict`,
  method: "POST",
  headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
  body: JSON.stringify({ entity, leads: Array.from({ length: 24 }, (_, i) => i + 1) }),
};
const answer = await fetch(predict.url, predict);
const text = await answer.text();
if (answer.status !== 200) throw new Error(`predict answered ${answer.status}: ${text}`);

const bare = createServer((_, response) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(text);
}).listen(0, "127.0.0.1");
await once(bare, "listening");
const rival = {
  url: `http://127.0.0.1:${(bare.address() as AddressInfo).port}/`,
  method: "GET",
  headers: {},
  body: null,
};

const caller = fork(new URL("./serving-load.ts", import.meta.url), { execArgv: [] });
async function measure(name: string, order: object, requests: number): Promise<number[]> {
  caller.send({ ...order, requests });
  const [result] = (await once(caller, "message")) as [{ times?: number[]; error?: string }];
  if (!result.times) throw new Error(`${name}: ${result.error}`);
  return result.times;
}
const at = (times: number[], share: number) =>
  [...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(share * times.length))]!;
const show = (name: string, times: number[]) =>
  console.log(
    `${name.padEnd(34)} ${String(times.length).padStart(7)} ${at(times, 0.5).toFixed(2).padStart(9)} ${at(times, 0.99).toFixed(2).padStart(9)} ${at(times, 1).toFixed(2).padStart(9)}`,
  );

await measure("warm-up", predict, 500);
console.log(`${"".padEnd(34)} requests    p50 ms    p99 ms    max ms`);
show("bare node:http, idle", await measure("bare", rival, 2000));
show("predict, idle", await measure("predict", predict, 2000));
const training = await enqueueAsset(app, "model", { city, actor: "bench" });
const busy: number[] = [];
const bareBusy: number[] = [];
for (;;) {
  const { state } = await app.jobs.get(training.id);
  if (state === "succeeded") break;
  if (state === "failed" || state === "cancelled") throw new Error(`the training ${state}`);
  if (state === "running") {
    busy.push(...(await measure("predict", predict, 250)));
    bareBusy.push(...(await measure("bare", rival, 50)));
  } else await new Promise((resolve) => setTimeout(resolve, 20));
}
show("bare node:http, while training", bareBusy);
show("predict, while training", busy);
const p99 = at(busy, 0.99);
console.log(
  `p99 of predict while training: ${p99.toFixed(2)} ms, limit ${limitMs} ms, ${p99 < limitMs ? "ok" : "MISSED"}; ${(at(busy, 0.5) / at(bareBusy, 0.5)).toFixed(1)} times bare node:http at p50`,
);
caller.disconnect();
bare.close();
await http.close();
await app.stop();
await rm(home, { recursive: true, force: true });
process.exitCode = p99 < limitMs ? 0 : 1;
