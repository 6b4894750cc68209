import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { configReference, parseSourceOption, readConfig } from "../../src/core/index.ts";

const problemsOf = (options: Parameters<typeof readConfig>[0]): string[] => {
  try {
    readConfig(options);
  } catch (error) {
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    return (error as { details: { problems: string[] } }).details.problems;
  }
  return [];
};

describe("configuration", () => {
  test("without any setting everything has a default that is safe on a laptop", () => {
    const config = readConfig({ env: { PATH: "/bin" } });
    expect(config).toMatchObject({ host: "127.0.0.1", port: 8080, basePath: "", cities: [], sources: {} });
    expect(config.home).toMatch(/^\/.*\.cityscale$/);
    expect(config.threads).toBeGreaterThan(0);
  });

  test("the command line wins over the environment, which wins over the default", () => {
    const env = { CITYSCALE_PORT: "9000", CITYSCALE_HOST: "0.0.0.0", CITYSCALE_LOG_LEVEL: "" };
    const config = readConfig({ env, overrides: { port: "9001", basePath: undefined } });
    expect(config).toMatchObject({ port: 9001, host: "0.0.0.0", logLevel: "info" });
  });

  test("addresses of sources come from both, by the source's name", () => {
    const env = {
      CITYSCALE_SOURCE_OPEN_METEO: "http://localhost:1",
      CITYSCALE_SOURCE_COUNTS: "http://localhost:2",
    };
    const overrides = { sources: Object.fromEntries([parseSourceOption("counts=http://localhost:3/a=b")]) };
    expect(readConfig({ env, overrides }).sources).toEqual({
      "open-meteo": "http://localhost:1",
      counts: "http://localhost:3/a=b",
    });
    expect(() => parseSourceOption("counts")).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("a source can be read from a folder, and from nothing else than a folder or a web address", () => {
    const { sources } = readConfig({
      env: { CITYSCALE_SOURCE_WEATHER: "file:///tmp/weather" },
      overrides: { sources: { counts: "data/counts", events: "../a b" } },
    });
    expect(sources).toEqual({
      weather: "/tmp/weather",
      counts: resolve("data/counts"),
      events: resolve("../a b"),
    });
    expect(problemsOf({ env: {}, overrides: { sources: { counts: "ftp://host/x" } } })).toEqual([
      "sources.counts: write an http(s) address or a folder",
    ]);
    expect(problemsOf({ env: {}, overrides: { sources: { counts: "http://" } } })).toEqual([
      'sources.counts: "http://" is not an address',
    ]);
  });

  test("texts become what they mean", () => {
    const env = {
      CITYSCALE_CITIES: "paris-bikes, ./cities/mine.ts,",
      CITYSCALE_BASE_PATH: "/forecasts/",
      CITYSCALE_CLOCK_START: "2021-06-01T00:00:00+02:00",
      CITYSCALE_CLOCK_SPEED: "600",
    };
    expect(readConfig({ env })).toMatchObject({
      cities: ["paris-bikes", "./cities/mine.ts"],
      basePath: "/forecasts",
      clockStart: Date.parse("2021-05-31T22:00:00Z"),
      clockSpeed: 600,
    });
  });

  test("an unknown variable is an error that suggests the nearest name", () => {
    expect(problemsOf({ env: { CITYSCALE_LOGLEVEL: "debug" } })).toEqual([
      "CITYSCALE_LOGLEVEL: there is no such setting; did you mean CITYSCALE_LOG_LEVEL?",
    ]);
    expect(problemsOf({ env: {}, overrides: { prot: 1 } })).toEqual([
      "prot: there is no such setting; did you mean port?",
    ]);
  });

  test("every wrong setting is named at once, as the user wrote it", () => {
    const env = {
      CITYSCALE_PORT: "80a",
      CITYSCALE_CLOCK_START: "2021-06-01T00:00:00",
      CITYSCALE_SOURCE_COUNTS: "ftp://x",
      CITYSCALE_MEMORY_LIMIT: "much",
    };
    const problems = problemsOf({ env, overrides: { logLevel: "loud" } });
    expect(problems.map((problem) => problem.split(":")[0]).sort()).toEqual([
      "CITYSCALE_CLOCK_START",
      "CITYSCALE_MEMORY_LIMIT",
      "CITYSCALE_PORT",
      "CITYSCALE_SOURCE_COUNTS",
      "logLevel",
    ]);
  });

  test("a speed without a virtual clock is refused", () => {
    expect(problemsOf({ env: { CITYSCALE_CLOCK_SPEED: "60" } })).toEqual([
      "CITYSCALE_CLOCK_SPEED: a speed needs a clock start",
    ]);
  });

  test("every setting has a variable and a description", () => {
    const reference = configReference();
    expect(reference.find(({ name }) => name === "port")).toEqual({
      name: "port",
      variable: "CITYSCALE_PORT",
      description: "Port to listen on; 0 takes a free one.",
      default: "8080",
    });
    for (const { name, description } of reference) expect(description, name).not.toBe("");
    const variables = Object.fromEntries(
      reference
        .filter(({ name, default: text }) => text !== null && name !== "sources")
        .map((r) => [r.variable, r.default!]),
    );
    expect(readConfig({ env: variables })).toEqual(readConfig({ env: {} }));
  });
});
