/** The part of a backtest's report of a quantity that is drawn. */
export interface ByLead {
  readonly city: string;
  readonly target: string;
  readonly from: string;
  readonly to: string;
  readonly models: readonly {
    readonly name: string;
    readonly kind: string;
    readonly champion: boolean;
    readonly byLead: readonly {
      readonly lead: number;
      readonly n: number;
      readonly wape: number | null;
      readonly coverage80: number | null;
    }[];
  }[];
}

const width = 560;
const height = 300;
const left = 46;
const right = 150;
const top = 30;
const bottom = 40;
const colours = ["#2166ac", "#1b7837", "#b35806", "#762a83", "#888", "#aaa", "#555"];

/** Leads with fewer rows than this share of the usual are left out: one night of the year has a 25th hour. */
const fewest = 0.1;

/** Error (WAPE) by lead, a line for each model, naive ones dashed, and the range of what the champion's interval covers. */
export function byLeadSvg(report: ByLead): string {
  const [first] = report.models;
  if (!first) throw new RangeError(`the report of ${report.target} has no models`);
  const most = Math.max(...first.byLead.map(({ n }) => n));
  const leads = first.byLead.filter(({ n }) => n >= fewest * most).map(({ lead }) => lead);
  const shown = (model: ByLead["models"][number]) =>
    model.byLead.filter(({ lead, wape }) => leads.includes(lead) && wape !== null);
  const worst = Math.max(...report.models.flatMap((model) => shown(model).map(({ wape }) => wape!)));
  const step = worst > 0.6 ? 0.2 : worst > 0.25 ? 0.1 : 0.05;
  const highest = Math.ceil(worst / step) * step;
  const [low, high] = [leads[0]!, leads.at(-1)!];
  const x = (lead: number) =>
    (left + ((lead - low) / Math.max(1, high - low)) * (width - left - right)).toFixed(1);
  const y = (share: number) => (height - bottom - (share / highest) * (height - top - bottom)).toFixed(1);
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const grid = Array.from({ length: Math.round(highest / step) + 1 }, (_, i) => {
    const at = i * step;
    return `<path d="M${left} ${y(at)}H${width - right}" stroke="#ddd"/><text x="${left - 6}" y="${y(at)}" text-anchor="end" dominant-baseline="middle">${percent(at)}</text>`;
  });
  const ticks = leads
    .filter((_, i) => i % Math.ceil(leads.length / 8) === 0)
    .map((lead) => `<text x="${x(lead)}" y="${height - bottom + 16}" text-anchor="middle">${lead}</text>`);
  const lines = report.models.map((model, i) => {
    const points = shown(model).map(({ lead, wape }) => `${x(lead)},${y(wape!)}`);
    const dashes = model.kind === "naive" ? ' stroke-dasharray="4 3"' : "";
    const stroke = `stroke="${colours[i % colours.length]}" stroke-width="${model.champion ? 2.5 : 1.3}"${dashes}`;
    const at = top + 8 + 18 * i;
    return [
      `<polyline points="${points.join(" ")}" fill="none" ${stroke}><title>${model.name}</title></polyline>`,
      `<path d="M${width - right + 12} ${at}h18" ${stroke}/><text x="${width - right + 36}" y="${at}" dominant-baseline="middle">${model.name}</text>`,
    ].join("\n");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11" fill="#333">
<title>${report.city} ${report.target}: error by lead</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${grid.join("\n")}
${ticks.join("\n")}
${lines.join("\n")}
<text x="${left}" y="16" font-size="13">${report.city} ${report.target}, ${report.from} to ${report.to}: WAPE by lead</text>
<text x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">steps ahead${coverage(report, leads)}</text>
</svg>
`;
}

/** The range over the leads of what the champion's 80 % interval covers, in words. */
function coverage(report: ByLead, leads: readonly number[]): string {
  const shares = (report.models.find(({ champion }) => champion)?.byLead ?? []).flatMap(
    ({ lead, coverage80 }) => (leads.includes(lead) && coverage80 !== null ? [coverage80] : []),
  );
  if (shares.length === 0) return "";
  const [least, greatest] = [Math.min(...shares), Math.max(...shares)].map((share) =>
    (100 * share).toFixed(0),
  );
  return `; the 80 % interval covers ${least} to ${greatest} % by lead`;
}
