import { defineConfig } from "vitest/config";

const report = process.env["TEST_REPORT"];

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "tools/**/*.test.ts", "docs/**/*.test.ts"],
    // Every test runs in a zone with a half-hour offset and its own clock changes: code that reads the
    // machine's zone by mistake fails here.
    env: { TZ: "Australia/Lord_Howe" },
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: report ? ["default", ["json", { outputFile: report }]] : ["default"],
  },
});
