#!/usr/bin/env node
const [major] = process.versions.node.split(".").map(Number);
if (major! < 24) {
  process.stderr.write(
    `cityscale needs Node 24 or later; this is ${process.version}.\n` +
      "`npm start` and `npm run cityscale -- ...` bring the right one with them.\n",
  );
  process.exit(1);
}
// Loaded only now: an older Node could not read these sources.
const { main, processIo } = await import("../src/cli/index.ts");
process.exitCode = await main(process.argv.slice(2), processIo());
