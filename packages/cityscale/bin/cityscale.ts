#!/usr/bin/env node
const [major] = process.versions.node.split(".").map(Number);
if (major! < 24) {
  process.stderr.write(
    `cityscale needs Node 24 or later; this is ${process.version}.\n` +
      "`npm start` and `npm run cityscale -- ...` bring the right one with them.\n",
  );
  process.exit(1);
}
// glibc keeps a heap for each of a dozen threads and gives little of it back: with two, the same work holds a third
// less memory. It reads the variable only when a process begins, so this one begins again, once, in its own place.
if (process.platform === "linux" && process.env["MALLOC_ARENA_MAX"] === undefined) {
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    ...process.env,
    MALLOC_ARENA_MAX: "2",
  });
}
// Loaded only now: an older Node could not read these sources.
const { main, processIo } = await import("../src/cli/index.ts");
process.exitCode = await main(process.argv.slice(2), processIo());
