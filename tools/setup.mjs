// Runs before `npm start`, `npm test` and `npm run cityscale`, on whatever Node the user has (20 or later):
// installs the locked dependencies when they are absent or older than the lock file. Writes to stderr only,
// so that `npm run -s cityscale -- ... --json` keeps a clean standard output.
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const modified = (path) => statSync(root + path, { throwIfNoEntry: false })?.mtimeMs;
const [major] = process.versions.node.split(".").map(Number);
if (major < 20) {
  console.error(`CityScale needs Node 20 or later; this is ${process.version}.`);
  process.exit(1);
}
const installed = modified("node_modules/.package-lock.json");
if (installed === undefined || installed < modified("package-lock.json")) {
  console.error("Installing dependencies (npm ci) ...");
  const began = Date.now();
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm]] : ["npm", []];
  const { status } = spawnSync(command, [...args, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) {
    console.error("npm ci failed; the messages above say why. Fix that and run the command again.");
    process.exit(status ?? 1);
  }
  console.error(`Dependencies installed in ${Math.round((Date.now() - began) / 1000)} s.`);
}
