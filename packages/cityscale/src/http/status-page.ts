import { type App, type CityRuntime, codeVersion } from "../app/index.ts";
import { formatDuration, formatLocal, type Target } from "../domain/index.ts";
import { type LiveScore, liveScores, type RiskScore, riskScores } from "../monitoring/index.ts";
import type { ModelVersion } from "../registry/index.ts";
import { attributionOf, cityOverview, freshnessOf } from "./city-facts.ts";
import { Html, html } from "./html.ts";

export const style = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #c0392b; --good: #2e8b57; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.best { background: var(--soft); font-weight: 600; }
.bad { color: var(--bad); } .good { color: var(--good); }
.table { overflow-x: auto; }
footer, .note { font-size: .875rem; opacity: .8; }
`;

/** The page that stands in until there is a console: how each city is doing. Nothing on it is secret. */
export async function statusPage(app: App): Promise<string> {
  const ready = await app.ready();
  const cities: Html[] = [];
  for (const runtime of app.cities.values()) cities.push(await citySection(app, runtime));
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CityScale</title>
<style>${new Html(style)}</style>
</head>
<body>
<h1>CityScale</h1>
<p>${ready === null ? html`<span class="good">Ready.</span>` : html`<span class="bad">Not ready: ${ready}.</span>`}
Everything on this page and more is at <a href="docs/">the API</a>; metrics are at <a href="metrics">/metrics</a>.</p>
${cities}
<footer><p>CityScale ${codeVersion}. Scores are fractions: WAPE 0.115 is an error of 11.5 % of all that was counted.</p></footer>
</body>
</html>
`;
  return page.text;
}

async function citySection(app: App, runtime: CityRuntime): Promise<Html> {
  const { city } = runtime;
  const overview = await cityOverview(app, runtime);
  const freshness = await freshnessOf(app, runtime);
  const targets: Html[] = [];
  for (const target of Object.values(city.targets)) targets.push(await targetSection(app, runtime, target));
  const credits = attributionOf(city);
  return html`<h2>${city.name}</h2>
<p>${overview.entities} ${city.entity}s, step ${city.step}, time zone ${city.timeZone}.</p>
${targets}
<h3>Sources</h3>
<div class="table"><table>
<tr><th>source</th><th>state</th><th>last read well</th></tr>
${freshness.sources.map(
  ({
    source,
    state,
    ageMs,
  }) => html`<tr><td>${source}</td><td class="${state === "ok" ? "good" : "bad"}">${state}</td><td>${ageMs === null ? "never" : `${formatDuration(ageMs)} ago`}</td></tr>
`,
)}</table></div>
${
  credits.length === 0
    ? ""
    : html`<p class="note">Data: ${credits.map(({ publisher, licence, url }, i) => html`${i > 0 ? "; " : ""}${url === undefined ? publisher : html`<a href="${url}">${publisher}</a>`}, ${licence}`)}.</p>`
}`;
}

async function targetSection(app: App, { city, lake, server }: CityRuntime, target: Target): Promise<Html> {
  const [newest] = await server.batches(target.name, 1);
  const { champion } = await app.registry.promotions.aliases(city.id, target.name);
  const isBinary = target.kind === "binary";
  const live = isBinary ? [] : await lake.read((connection) => liveScores(connection, target.name, 7));
  const risks = isBinary ? await lake.read((connection) => riskScores(connection, target.name, 28)) : [];
  const model = champion === null ? null : await app.registry.versions.get(city.id, target.name, champion);
  const scores = model && !isBinary ? scoreRows(model) : [];
  return html`<h3>Forecasts of ${target.name}</h3>
<p>${
    newest
      ? html`Newest: ${newest.rows} forecasts from ${formatLocal(city.timeZone, newest.originAt)} (${formatDuration(app.clock.now() - newest.originAt)} ago) by ${versionName(newest.version)}.`
      : "None yet."
  }</p>
${(newest?.notes ?? []).map((note) => html`<p class="note bad">${note}</p>`)}
${
  scores.length === 0
    ? ""
    : html`<p>Champion: ${versionName(champion!)}. Its test, on days it never saw:</p>
<div class="table"><table>
<tr><th>model</th><th>WAPE</th><th>MAPE</th><th>MASE</th><th>coverage 80 %</th><th>width 80 %</th></tr>
${scores.map(
  (
    row,
  ) => html`<tr${row.champion ? html` class="best"` : ""}><td>${row.name}</td>${[row.wape, row.mape, row.mase, row.coverage80, row.width80].map((value) => html`<td>${figure(value)}</td>`)}</tr>
`,
)}</table></div>`
}
${
  risks.length > 0
    ? riskTable(risks)
    : live.length > 0
      ? liveTable(live)
      : html`<p class="note">No forecast has come true yet.</p>`
}`;
}

function liveTable(live: readonly LiveScore[]): Html {
  return html`<p>What came true:</p>
<div class="table"><table>
<tr><th>day</th><th>model</th><th>forecasts</th><th>WAPE</th><th>naive WAPE</th><th>coverage 80 %</th><th></th></tr>
${live.map(
  (
    score,
  ) => html`<tr><td>${score.date}</td><td>${versionName(score.version)}</td><td>${score.rows}</td><td>${figure(score.wape)}</td><td>${figure(score.naiveWape)}</td><td>${figure(score.coverage80)}</td><td>${score.provisional ? "provisional" : "settled"}</td></tr>
`,
)}</table></div>`;
}

function riskTable(risks: readonly RiskScore[]): Html {
  const onset = risks.filter(({ on }) => on === "onset");
  return html`<p>What came true, of stations not short at the origin:</p>
<div class="table"><table>
<tr><th>origins</th><th>model</th><th>forecasts</th><th>average precision</th><th>Brier</th><th>calibration error</th><th></th></tr>
${onset.map(
  ({ period, date, judged, version, scores, provisional }) =>
    html`<tr><td>${period === "24h" ? "24 hours" : date}</td><td>${judged === "persistence" ? judged : versionName(version)}</td><td>${scores.rows}</td><td>${figure(scores.averagePrecision)}</td><td>${scores.brier === null ? "–" : scores.brier.toFixed(5)}</td><td>${scores.calibrationError === null ? "–" : scores.calibrationError.toFixed(4)}</td><td>${provisional ? "provisional" : "settled"}</td></tr>
`,
)}</table></div>`;
}

const versionName = (version: number) => (version === 0 ? "the naive forecast" : `version ${version}`);
const figure = (value: unknown) => (typeof value === "number" ? value.toFixed(3) : "–");

interface ScoreRow {
  readonly name: string;
  readonly champion: boolean;
  readonly wape: unknown;
  readonly mape: unknown;
  readonly mase: unknown;
  readonly coverage80: unknown;
  readonly width80: unknown;
}

/** Rows of a version's stored scores: its table with the naive forecasts, or for version 0 its own row. */
function scoreRows({ kind, scores }: ModelVersion): ScoreRow[] {
  const table = scores["models"];
  const models = Array.isArray(table)
    ? (table as Record<string, unknown>[])
    : "wape" in scores
      ? [scores]
      : [];
  return models.map((model) => ({
    name: String(model["name"]),
    champion: model["name"] === kind,
    wape: model["wape"],
    mape: model["mape"],
    mase: model["mase"],
    coverage80: model["coverage80"],
    width80: model["width80"],
  }));
}
