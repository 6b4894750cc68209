import { openTestApp, type TestApp } from "./app.ts";
import { type Ask, ask, type Json } from "./client.ts";

/** One little city after its first loop: the tests of loop.test.ts and what it imports ask the same server. */
export let test: TestApp;
export let local: Ask;
export const city = "/v1/cities/littleton";

export async function openLoop(): Promise<void> {
  test = await openTestApp();
  local = ask(test.address, test.app.owner.record.token);
  await test.app.start();
  await test.app.runFirstLoop({ train: true, patient: false });
  // Two days on: the first forecasts have come true, and new ones are issued from a later origin.
  test.clock.advance(49 * 3_600_000);
  await test.app.runFirstLoop({ train: false, patient: false });
}

export const list = (json: Json | undefined) => json as unknown as Json[];
export const predict = async (body: object) =>
  (await local("POST", "/v1/predict", { body: { entity: "A001", ...body } })).json;
export const points = (json: Json) => list(json["forecasts"]).map((row) => Number(row["point"]));
export const rowsStored = async () =>
  (await test.app
    .city("littleton")
    .lake.read((connection) => connection.first<{ n: number }>("SELECT count(*) AS n FROM forecasts")))!.n;
