import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openEngine } from "../../src/lake/index.ts";
import { city, list, local, rowsStored, test } from "./world.ts";

describe("exports", () => {
  const readBack = async (name: string, body: Uint8Array) => {
    const path = join(test.home, name);
    await writeFile(path, body);
    const engine = await openEngine({ path: ":memory:", memoryMb: 100, threads: 1 });
    try {
      using connection = await engine.connect();
      return await connection.rows<Record<string, unknown>>(`SELECT * FROM '${path}'`);
    } finally {
      engine.close();
    }
  };
  const download = async (path: string) => {
    const response = await fetch(test.address + path, {
      headers: { "x-api-key": test.app.owner.record.token },
    });
    expect(response.status).toBe(200);
    return { headers: response.headers, body: new Uint8Array(await response.arrayBuffer()) };
  };

  it.each(["csv", "parquet"])(
    "of observations read back as the rows that were listed (%s)",
    async (format) => {
      const period = "from=2026-03-01&to=2026-03-03";
      const { headers, body } = await download(`${city}/observations.${format}?${period}`);
      expect(headers.get("content-disposition")).toBe(
        `attachment; filename="littleton-pedestrians-observations.${format}"`,
      );
      expect(headers.get("x-attribution")).toBe(
        "Ville de Littleton %E2%80%93 Donn%C3%A9es, CC BY 4.0, https://data.example.org",
      );
      const rows = await readBack(`back.${format}`, body);
      const listed = list(
        (await local("GET", `${city}/observations?${period}&limit=10000`)).json["observations"],
      );
      expect(rows.map((row) => [row["entity"], row["value"]])).toEqual(
        listed.map((row) => [row["entity"], row["value"]]),
      );
      if (format === "csv")
        expect(new TextDecoder().decode(body)).toContain("A001,pedestrians,2026-02-28T13:00:00Z,");
    },
  );

  it.each(["csv", "parquet"])("of forecasts carry how they were made (%s)", async (format) => {
    const { body } = await download(`${city}/forecasts.${format}?origin=all`);
    const rows = await readBack(`forecasts.${format}`, body);
    expect(rows).toHaveLength(await rowsStored());
    expect(rows[0]).toMatchObject({
      target: "pedestrians",
      entity: "A001",
      lead: 1,
      model_version: 1,
      weather: "issued",
      fell_back: false,
    });
  });

  it("leave no file behind, also when the reader goes away", async () => {
    const headers = { "x-api-key": test.app.owner.record.token };
    // More often than exports may run at once: a place that one of them kept would be missed below.
    for (let i = 0; i < 3; i++) {
      const abort = new AbortController();
      await fetch(`${test.address}${city}/observations.csv`, { headers, signal: abort.signal });
      abort.abort();
      expect(
        (await fetch(`${test.address}${city}/observations.csv`, { method: "HEAD", headers })).status,
      ).toBe(200);
    }
    await download(`${city}/observations.parquet`);
    expect(
      readdirSync(test.app.city("littleton").parts.temporary).filter((name) => name.startsWith("export-")),
    ).toEqual([]);
  });

  it("never hand a spreadsheet a formula", async () => {
    const { lake } = test.app.city("littleton");
    const evil = ["=1+1", "+2", "-3", "@SUM(A1)", "\tx", 'a"b,c'];
    await lake.write(async (connection) => {
      for (const [i, entity] of evil.entries()) {
        await connection.run("INSERT INTO entities (e, entity, first_seen_at) VALUES (?, ?, 0)", [
          1000 + i,
          entity,
        ]);
        await connection.run(
          `INSERT INTO clean_observations SELECT measure, ${1000 + i}, t, 1, known_at, basis, ingested_at FROM observations WHERE e = 0 ORDER BY t LIMIT 1`,
        );
      }
    });
    try {
      const { body } = await download(`${city}/observations.csv?to=2026-01-01`);
      const cells = new TextDecoder()
        .decode(body)
        .split("\n")
        .filter((line) => line.includes(",pedestrians,") && !line.startsWith("A00"));
      expect(cells.map((line) => line.split(",pedestrians,")[0])).toEqual([
        "'=1+1",
        "'+2",
        "'-3",
        "'@SUM(A1)",
        "'\tx",
        '"a""b,c"',
      ]);
    } finally {
      await lake.write(async (connection) => {
        await connection.run(
          "DELETE FROM clean_observations WHERE e >= 1000; DELETE FROM entities WHERE e >= 1000",
        );
      });
    }
  });
});
