import { describe, expect, it } from "vitest";
import { now } from "./app.ts";
import { ask } from "./client.ts";
import { city, list, local, predict, test } from "./world.ts";

describe("decisions", () => {
  it("move the champion, are logged with who made them, and are undone by a rollback", async () => {
    const { json: made } = await local("POST", "/v1/keys", { body: { name: "Ada", role: "operator" } });
    const ada = ask(test.address, String(made["key"]));
    const at = { city: "littleton", target: "pedestrians" };
    test.clock.advance(60_000);
    const promoted = await ada("POST", "/v1/models/promote", {
      body: { ...at, version: 0, reason: "the trees look wrong" },
    });
    expect(promoted.json).toMatchObject({
      action: "promote",
      version: 0,
      fromVersion: 1,
      actor: "Ada",
      reason: "the trees look wrong",
    });
    expect(await predict({})).toMatchObject({ modelVersion: 0 });
    expect(
      (await local("GET", `/v1/models/champion?city=littleton&at=${new Date(now + 1000).toISOString()}`))
        .json["version"],
    ).toBe(1);
    expect((await local("GET", "/v1/models/champion?city=littleton")).json["version"]).toBe(0);
    expect(
      (await local("GET", "/v1/models/champion?city=littleton&at=2020-01-01")).json["version"],
    ).toBeNull();
    const back = await ada("POST", "/v1/models/rollback", { body: { ...at, reason: "they were right" } });
    expect(back.json).toMatchObject({ action: "rollback", version: 1, actor: "Ada" });
    expect(await predict({})).toMatchObject({ modelVersion: 1 });
    const history = list((await local("GET", "/v1/models/history?limit=2")).json["promotions"]);
    expect(history.map((line) => line["action"])).toEqual(["rollback", "promote"]);
    const older = list(
      (await local("GET", `/v1/models/history?before=${Number(history[1]!["seq"])}`)).json["promotions"],
    );
    expect(older.map((line) => line["actor"])).toEqual(["system", "system"]);
    const audit = list((await local("GET", "/v1/audit?limit=2")).json["entries"]);
    expect(audit).toMatchObject([
      { actor: "Ada", action: "model.rollback" },
      { actor: "Ada", action: "model.promote", subject: "littleton/pedestrians/0" },
    ]);
  });

  it("start a backfill, follow it to its end, and find its forecasts", async () => {
    const body = {
      asset: "forecasts",
      city: "littleton",
      from: "2026-03-09T00:00:00+11:00",
      to: "2026-03-09T03:00:00+11:00",
    };
    const started = await local("POST", "/v1/jobs", { body });
    expect(started.status).toBe(202);
    expect(started.json).toMatchObject({
      kind: "forecasts",
      actor: "local",
      payload: { city: "littleton", from: "2026-03-08T13:00:00.000Z" },
    });
    const id = String(started.json["id"]);
    await test.app.jobs.finished(id);
    const ended = (await local("GET", `/v1/jobs/${id}`)).json;
    expect(ended).toMatchObject({ state: "succeeded", progress: 1, result: { origins: 3 } });
    expect(list((await local("GET", `${city}/batches`)).json["batches"])).toHaveLength(5);
    const again = await local("DELETE", `/v1/jobs/${id}`);
    expect([again.status, again.json["error"]!["code"]]).toEqual([409, "CONFLICT"]);
  });

  it("cancel a training that runs", async () => {
    const { json } = await local("POST", "/v1/jobs", { body: { asset: "model", city: "littleton" } });
    const twice = await local("POST", "/v1/jobs", { body: { asset: "model", city: "littleton" } });
    expect(twice.json["id"]).toBe(json["id"]);
    expect((await local("DELETE", `/v1/jobs/${String(json["id"])}`)).json).toMatchObject({
      id: json["id"],
      state: "cancelled",
    });
  });
});
