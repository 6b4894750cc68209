import { globSync } from "node:fs";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cruise, type ICruiseOptions, type ICruiseResult, type IForbiddenRuleType } from "dependency-cruiser";

/**
 * Fails on an import that data flow forbids. dependency-cruiser sees nothing, and says so cheerfully, when it
 * cannot read the sources: so each run also counts what it saw, and finds violations planted for it.
 */

/** The rooms of the platform in the order in which data flow. A room imports rooms to its left only. */
export const rooms = [
  "domain",
  "core",
  "jobs",
  "sources",
  "lake",
  "features",
  "registry",
  "models",
  "serving",
  "monitoring",
  "lifecycle",
  "pipeline",
  "app",
  "http",
  "cli",
] as const;

/** What each package may import of the others, by name. */
export const packageEdges: Readonly<Record<string, readonly string[]>> = {
  trees: [],
  forecast: ["trees"],
  simulator: [],
  console: [],
  cityscale: ["trees", "forecast", "simulator"],
};

const src = "^packages/cityscale/src";
const anyOf = (names: readonly string[]) => `(${names.join("|")})`;

/** The edges as rules of dependency-cruiser; each is named for what it forbids. */
export function edgeRules(): IForbiddenRuleType[] {
  const rules: IForbiddenRuleType[] = [
    // Imports of types are erased: two files that only know each other's types load in any order.
    {
      name: "cycle",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "unresolved",
      severity: "error",
      from: { path: "^(packages|cities)/" },
      to: { couldNotResolve: true },
    },
    {
      name: "past-the-index-of-a-room",
      severity: "error",
      from: { path: `${src}/([^/]+)/` },
      to: { path: `${src}/${anyOf(rooms)}/`, pathNot: [`${src}/$1/`, `${src}/[^/]+/index\\.ts$`] },
    },
    {
      name: "into-the-root-of-the-platform",
      severity: "error",
      from: { path: `${src}/[^/]+/` },
      to: { path: `${src}/[^/]+\\.ts$` },
    },
    {
      name: "not-a-room",
      severity: "error",
      from: { path: `${src}/[^/]+/`, pathNot: `${src}/${anyOf(rooms)}/` },
      to: {},
    },
    {
      name: "a-package-otherwise-than-by-name",
      severity: "error",
      from: { path: "^packages/([^/]+)/" },
      to: { path: "^packages/([^/]+)/", pathNot: "^packages/$1/", dependencyTypes: ["local"] },
    },
    {
      name: "a-city-imports-the-platform-by-name",
      severity: "error",
      from: { path: "^cities/" },
      to: { path: "^packages/", pathNot: "^packages/cityscale/src/index\\.ts$" },
    },
    {
      name: "past-the-index-of-a-package",
      severity: "error",
      from: { path: "^packages/([^/]+)/(src|bin)/" },
      to: {
        path: "^packages/[^/]+/",
        pathNot: ["^packages/$1/", "^packages/[^/]+/src/index\\.ts$", "^packages/trees/src/wasm\\.ts$"],
      },
    },
  ];
  rooms.forEach((room, i) => {
    const right = rooms.slice(i + 1);
    if (right.length === 0) return;
    rules.push({
      name: `rightwards-from-${room}`,
      severity: "error",
      from: { path: `${src}/${room}/` },
      to: { path: `${src}/${anyOf(right)}/` },
    });
  });
  const packages = Object.keys(packageEdges);
  for (const [name, allowed] of Object.entries(packageEdges)) {
    const forbidden = packages.filter((other) => other !== name && !allowed.includes(other));
    if (forbidden.length === 0) continue;
    rules.push({
      name: `package-${name}`,
      severity: "error",
      from: { path: `^packages/${name}/(src|bin)/` },
      to: { path: `^packages/${anyOf(forbidden)}/` },
    });
  }
  return rules;
}

/** Sources that were not seen, and edges that are forbidden, as `rule: from -> to`. */
export interface EdgeReport {
  readonly modules: number;
  readonly edges: number;
  readonly unseen: readonly string[];
  readonly violations: readonly string[];
}

/** Follows every import of every source below a repository's root, type-only ones too. */
export async function checkEdges(root: string): Promise<EdgeReport> {
  const sources = globSync(["packages/*/{src,bin}/**/*.ts", "packages/*/{src,bin}/**/*.tsx", "cities/*.ts"], {
    cwd: root,
    exclude: (name) => name.includes("node_modules"),
  }).sort();
  const options: ICruiseOptions = {
    baseDir: root,
    validate: true,
    ruleSet: { forbidden: edgeRules() },
    tsPreCompilationDeps: true,
    doNotFollow: { path: ["node_modules"] },
    enhancedResolveOptions: {
      extensions: [".ts", ".tsx", ".mjs", ".js", ".json"],
      exportsFields: ["exports"],
      conditionNames: ["import", "node"],
    },
  };
  const { output } = await cruise(sources, options);
  const { modules, summary } = output as ICruiseResult;
  const seen = new Set(modules.map(({ source }) => source));
  return {
    modules: sources.length,
    edges: modules.reduce((sum, { dependencies }) => sum + dependencies.length, 0),
    unseen: sources.filter((source) => !seen.has(source)),
    violations: summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`),
  };
}

/** Files of a small repository in which everything is allowed. */
const sound: Readonly<Record<string, string>> = {
  "packages/trees/src/index.ts": "export const grow = 1;",
  "packages/forecast/src/index.ts": 'export { grow } from "@cityscale/trees";',
  "packages/simulator/src/index.ts": "export const serve = 1;",
  "packages/cityscale/src/index.ts": 'export * from "./domain/index.ts";',
  "packages/cityscale/src/domain/index.ts": 'export * from "./city.ts";',
  "packages/cityscale/src/domain/city.ts": "export interface City {}\nexport const city = 1;",
  "packages/cityscale/src/lake/index.ts": 'export { merge } from "./merge.ts";',
  "packages/cityscale/src/lake/merge.ts":
    'import { grow } from "@cityscale/forecast";\nimport type { City } from "../domain/index.ts";\nexport const merge = (city: City) => [city, grow];',
  "packages/cityscale/src/models/index.ts": 'export { merge } from "../lake/index.ts";',
  "cities/paris.ts": 'export { city } from "cityscale";',
};

/** Violations planted in it one by one: file, text, the rule that has to find it. */
export const planted: readonly (readonly [file: string, text: string, rule: string])[] = [
  [
    "packages/cityscale/src/lake/bad.ts",
    'export { merge } from "../models/index.ts";',
    "rightwards-from-lake",
  ],
  [
    "packages/cityscale/src/lake/bad.ts",
    'import type { merge } from "../models/index.ts";\nexport type M = typeof merge;',
    "rightwards-from-lake",
  ],
  [
    "packages/cityscale/src/models/bad.ts",
    'export const later = () => import("../lake/merge.ts");',
    "past-the-index-of-a-room",
  ],
  ["packages/cityscale/src/models/bad.ts", 'export * from "../index.ts";', "into-the-root-of-the-platform"],
  ["packages/cityscale/src/attic/index.ts", 'export * from "../domain/index.ts";', "not-a-room"],
  ["packages/cityscale/src/lake/bad.ts", 'export { good } from "./good.ts";\nexport const bad = 1;', "cycle"],
  [
    "packages/cityscale/src/lake/bad.ts",
    'export * from "../../../trees/src/index.ts";',
    "a-package-otherwise-than-by-name",
  ],
  ["packages/cityscale/src/lake/bad.ts", 'export * from "@cityscale/nowhere";', "unresolved"],
  ["packages/trees/src/bad.ts", 'export * from "@cityscale/forecast";', "package-trees"],
  ["packages/forecast/src/bad.ts", 'export * from "cityscale";', "package-forecast"],
  ["packages/simulator/src/bad.ts", 'export * from "@cityscale/forecast";', "package-simulator"],
  ["cities/bad.ts", 'export * from "@cityscale/trees";', "a-city-imports-the-platform-by-name"],
];

/**
 * Plants each violation in a small repository of its own and tells which were not found, and what was found
 * where nothing was planted; both are empty when the check can be believed.
 */
export async function proveEdges(plants = planted): Promise<string[]> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "edges-")));
  const write = async (file: string, text: string) => {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), `${text}\n`);
  };
  try {
    for (const [file, text] of Object.entries(sound)) await write(file, text);
    await mkdir(join(root, "node_modules/@cityscale"), { recursive: true });
    for (const name of ["trees", "forecast", "simulator", "cityscale"]) {
      const called = name === "cityscale" ? name : `@cityscale/${name}`;
      await write(
        `packages/${name}/package.json`,
        JSON.stringify({ name: called, type: "module", exports: { ".": "./src/index.ts" } }),
      );
      await symlink(join(root, "packages", name), join(root, "node_modules", called));
    }
    const wrong: string[] = [];
    const clean = await checkEdges(root);
    if (clean.unseen.length > 0) wrong.push(`did not see ${clean.unseen.join(", ")}`);
    for (const violation of clean.violations) wrong.push(`found ${violation} in a sound repository`);
    for (const [file, text, rule] of plants) {
      const partner = "packages/cityscale/src/lake/good.ts";
      if (rule === "cycle") await write(partner, 'export { bad } from "./bad.ts";\nexport const good = 1;');
      await write(file, text);
      const { violations } = await checkEdges(root);
      if (!violations.some((violation) => violation.startsWith(`${rule}: ${file} `))) {
        wrong.push(`did not find ${rule} in "${text}"`);
      }
      await rm(join(root, file));
      await rm(join(root, partner), { force: true });
    }
    return wrong;
  } finally {
    await rm(root, { recursive: true });
  }
}

if (import.meta.main) {
  const root = dirname(import.meta.dirname);
  const wrong = await proveEdges();
  const { modules, edges, unseen, violations } = await checkEdges(root);
  const problems = [
    ...wrong.map((text) => `the check itself ${text}`),
    ...unseen.map((file) => `${file} was not seen`),
    ...(modules < 100 || edges < 2 * modules
      ? [`only ${modules} modules and ${edges} imports were seen`]
      : []),
    ...violations,
  ];
  console.log(
    problems.length === 0
      ? `edges: ${edges} imports of ${modules} modules keep to the rooms; ${planted.length} planted violations were found`
      : `edges: ${problems.length} problems: ${problems.join("; ")}`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
}
