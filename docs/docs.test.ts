import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { configReference, createMetrics, errorCodes } from "../packages/cityscale/src/core/index.ts";
import type { City, Source, SourceDeclaration } from "../packages/cityscale/src/domain/index.ts";
import { publicationLagMs } from "../packages/cityscale/src/sources/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const program = join(root, "packages/cityscale/bin/cityscale.ts");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => join("docs", path)),
];
const read = (page: string) => readFileSync(join(root, page), "utf8");
const blocks = (page: string, language: string) =>
  [...read(page).matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
    (match) => match[1]!,
  );
const run = (args: readonly string[], cwd = root) =>
  spawnSync(process.execPath, [program, ...args], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, CITYSCALE_LOG_LEVEL: "error" },
  });

/** Words of a shell line, quotes as a shell reads them. */
const words = (line: string) =>
  [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]!);

/** Every `cityscale ...` and `npm start ...` of the pages' shell blocks, as arguments of the command. */
const commands = pages.flatMap((page) =>
  blocks(page, "sh")
    .flatMap((block) => block.split("\n"))
    .flatMap((line) => {
      const found = words(line.replace(/\s#.*$/, "").trim());
      if (found.slice(0, 5).join(" ") === "npm run -s cityscale --") return [{ page, args: found.slice(5) }];
      if (found.slice(0, 2).join(" ") === "npm start") return [{ page, args: ["up", ...found.slice(3)] }];
      return [];
    }),
);

describe("the reference agrees with the program", () => {
  test("errors.md lists every code with its status and hint", () => {
    const rows = [...read("docs/reference/errors.md").matchAll(/^\| `(\w+)` \| (\d+) \| (.*) \|$/gm)];
    expect(rows.map((row) => ({ code: row[1], status: Number(row[2]), hint: row[3] }))).toEqual(
      Object.entries(errorCodes).map(([code, { status, hint }]) => ({ code, status, hint })),
    );
  });

  test("settings.md lists every setting with its default and meaning", () => {
    const rows = [
      ...read("docs/reference/settings.md").matchAll(/^\| `(CITYSCALE_[\w<>]+)` \| (\S+) \| (.*) \|$/gm),
    ];
    expect(rows.map((row) => [row[1], row[2]!.replaceAll("`", ""), row[3]])).toEqual(
      configReference().map((setting) => [setting.variable, setting.default ?? "-", setting.description]),
    );
  });

  test("metrics.md lists every metric of the platform", async () => {
    const documented = [
      ...read("docs/reference/metrics.md").matchAll(/^\| `(cityscale_\w+)` \| (\w+) /gm),
    ].map((row) => `${row[1]} ${row[2]}`);
    const exported = [...(await createMetrics().text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
      (row) => `${row[1]} ${row[2]}`,
    );
    expect(documented.sort()).toEqual(exported.sort());
  });

  test("commands.md names every command", () => {
    const help = run(["--help"]).stdout;
    const known = [
      ...help
        .slice(help.indexOf("Commands:"), help.indexOf("Exit codes:"))
        .matchAll(/^ {2}([a-z]+)(?: |$)/gm),
    ].map((row) => row[1]!);
    expect(known.length).toBeGreaterThan(12);
    const page = read("docs/reference/commands.md");
    for (const command of known) if (command !== "help") expect(page).toMatch(new RegExp(`\`${command}\\b`));
  });
});

describe("the pages", () => {
  test("link to files that are there", () => {
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
        .map((link) => resolve(root, dirname(page), link[1]!))
        .filter((path) => !existsSync(path))
        .map((path) => `${page}: ${path}`),
    );
    expect(broken).toEqual([]);
  });

  test("show commands and options that exist", () => {
    expect(commands.length).toBeGreaterThan(12);
    const helps = new Map<string, string>();
    for (const { page, args } of commands) {
      const name =
        args[1] !== undefined && ["city", "keys"].includes(args[0]!) ? args.slice(0, 2) : args.slice(0, 1);
      const key = name.join(" ");
      if (!helps.has(key)) helps.set(key, run([...name, "--help"]).stdout);
      expect(helps.get(key), `${page}: ${args.join(" ")}`).toContain(`Usage: cityscale ${key} `);
      for (const option of args.filter((word) => word.startsWith("--"))) {
        expect(helps.get(key), `${page}: ${args.join(" ")}`).toContain(option);
      }
    }
  }, 60_000);
});

describe("the examples", () => {
  test("the city file is valid", async () => {
    const folder = await mkdtemp(join(root, "cities", ".example-"));
    try {
      const file = join(folder, "harbour-town.ts");
      await writeFile(file, blocks("docs/reference/city-file.md", "ts")[0]!);
      const city = ((await import(pathToFileURL(file).href)) as { default: City }).default;
      expect(city.targets["people"]!.horizonSteps).toBe(48);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("the Socrata source is valid", async () => {
    const folder = await mkdtemp(join(root, "cities", ".example-"));
    try {
      const file = join(folder, "counts.ts");
      await writeFile(file, blocks("docs/reference/city-file.md", "ts")[1]!);
      const { counts } = (await import(pathToFileURL(file).href)) as { counts: SourceDeclaration };
      expect(publicationLagMs(counts)).toBe(6 * 3_600_000);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("the bike share is valid", async () => {
    const folder = await mkdtemp(join(root, "cities", ".example-"));
    try {
      const file = join(folder, "harbour-bikes.ts");
      await writeFile(file, blocks("docs/reference/city-file.md", "ts")[2]!);
      const city = ((await import(pathToFileURL(file).href)) as { default: City }).default;
      expect(city.targets["bikes-out-30"]).toMatchObject({ kind: "binary", below: 3, horizonSteps: 3 });
      expect(publicationLagMs(city.sources["stations"]!)).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("the source of the how-to reads a server and goes on from its cursor", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url!);
      response.end(JSON.stringify([{ id: "7", at: 3_600_000, count: 5 }]));
    }).listen(0, "127.0.0.1");
    await new Promise((listening) => server.once("listening", listening));
    const folder = await mkdtemp(join(tmpdir(), "cityscale-docs-"));
    try {
      const file = join(folder, "source.ts");
      await writeFile(file, blocks("docs/how-to/add-a-source.md", "ts")[0]!);
      const { numbersSource } = (await import(pathToFileURL(file).href)) as {
        numbersSource: (address: string) => Source;
      };
      const source = numbersSource(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const request = { from: 0, to: 10, mode: "incremental" as const, signal: new AbortController().signal };
      let cursor: unknown = null;
      for await (const page of source.read({ ...request, cursor })) {
        cursor = page.cursor;
        expect(page.parts[0]).toMatchObject({
          stream: "observations",
          entity: ["7"],
          value: Float64Array.of(5),
        });
      }
      for await (const page of source.read({ ...request, cursor })) cursor = page.cursor;
      expect(asked).toEqual(["/?since=0", "/?since=3600000"]);
    } finally {
      server.close();
      await rm(folder, { recursive: true });
    }
  });

  test("the tutorial goes from a CSV file to judged forecasts with the commands it shows", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cityscale-tutorial-"));
    try {
      await writeFile(join(folder, "counts.csv"), harbourTown());
      const shown = commands.filter(({ page }) => page.endsWith("your-own-city.md"));
      expect(shown.length).toBeLessThanOrEqual(5);
      const answers = shown.map(({ args }) => {
        const port = args[0] === "up" ? ["--port", "0"] : [];
        const answer = run([...args, "--home", join(folder, "home"), ...port], folder);
        expect(answer.status, `${args.join(" ")}\n${answer.stdout}\n${answer.stderr}`).toBe(0);
        return answer.stdout + answer.stderr;
      });
      expect(answers[0]).toContain("8,734 rows of 2 counters");
      expect(answers[1]).toMatch(/trees +trained/);
      expect(answers[1]).toMatch(/median-8-weeks +naive/);
      expect(answers[2]).toContain("counts");
      expect(answers[3]).toContain("Market square");
    } finally {
      await rm(folder, { recursive: true });
    }
  }, 180_000);
});

/** Half a year of two counters in a format of its own: semicolons, day first, German names. */
function harbourTown(): string {
  const lines = ["Zeitpunkt;Stelle;Anzahl"];
  const two = (value: number) => String(value).padStart(2, "0");
  let state = 12345;
  const noise = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  };
  for (let at = Date.UTC(2024, 1, 1); at < Date.UTC(2024, 7, 1); at += 3_600_000) {
    const wall = new Date(at);
    // The hour that the clock skipped is in no file.
    if (wall.getUTCMonth() === 2 && wall.getUTCDate() === 31 && wall.getUTCHours() === 2) continue;
    const weekend = [0, 6].includes(wall.getUTCDay());
    const day = Math.max(0, Math.sin(((wall.getUTCHours() - 6) / 18) * Math.PI));
    for (const [name, level] of [
      ["Market square", 300],
      ["River path", 60],
    ] as const) {
      const mean = 3 + level * day * (weekend ? 1.4 : 1);
      const time = `${two(wall.getUTCDate())}.${two(wall.getUTCMonth() + 1)}.${wall.getUTCFullYear()} ${two(wall.getUTCHours())}:00`;
      lines.push(`${time};${name};${Math.round(mean * (0.75 + 0.5 * noise()))}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
