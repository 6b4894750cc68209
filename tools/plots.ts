/**
 * Draws what `cityscale backtest --json` wrote: errors by lead of quantities, reliability of probabilities.
 *
 *   npm run -s plots -- docs/plots scores.json bikes-out-30.json ...
 *
 * One SVG for each report, named after its city or target and first day; the same report gives the same bytes.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ByLead, byLeadSvg } from "./by-lead.ts";
import { type Reliability, reliabilitySvg } from "./reliability.ts";

const [folder, ...files] = process.argv.slice(2);
if (folder === undefined || files.length === 0) {
  console.error("npm run -s plots -- FOLDER REPORT.json ...");
  process.exit(2);
}
await mkdir(folder, { recursive: true });
for (const file of files) {
  const report = JSON.parse(await readFile(file, "utf8")) as Reliability | (ByLead & { every: string });
  const isBinary = "reliability" in (report.models.at(-1) ?? {});
  const [name, svg] = isBinary
    ? [`reliability-${report.target}`, reliabilitySvg(report as Reliability)]
    : [`by-lead-${report.city}-${report.from}`, byLeadSvg(report as ByLead)];
  await writeFile(join(folder, `${name}.svg`), svg);
}
