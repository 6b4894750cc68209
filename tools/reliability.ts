interface Bin {
  readonly rows: number;
  readonly forecast: number;
  readonly came: number;
}

/** The part of a report that is drawn. */
export interface Reliability {
  readonly city: string;
  readonly target: string;
  readonly from: string;
  readonly to: string;
  readonly models: readonly {
    readonly kind: string;
    readonly reliability: { readonly tenths: readonly Bin[]; readonly widths: readonly Bin[] };
  }[];
}

const size = 420;
const margin = 56;
/** Both axes are logarithmic: from one in ten thousand to certain. */
const decades = [-4, -3, -2, -1, 0];
const labels = ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"];

const place = (p: number) => (Math.log10(Math.min(1, Math.max(1e-4, p))) + 4) / 4;
const x = (p: number) => (margin + place(p) * (size - 1.5 * margin)).toFixed(1);
const y = (p: number) => (size - margin - place(p) * (size - 1.5 * margin)).toFixed(1);

/** A diagram: what was forecast to the right, what came upwards; right forecasts lie on the diagonal. */
export function reliabilitySvg(report: Reliability): string {
  const trained = report.models.find(({ kind }) => kind === "trained");
  if (!trained) throw new RangeError(`the report of ${report.target} has no trained model`);
  const { tenths, widths } = trained.reliability;
  // Nothing that came is nowhere on a logarithmic axis.
  const drawn = (bins: readonly Bin[]) =>
    bins.filter(({ forecast, came }) => forecast >= 1e-4 && came >= 1e-4);
  const grid = decades.flatMap((decade, i) => {
    const [at, low, high] = [10 ** decade, 1e-4, 1];
    return [
      `<path d="M${x(at)} ${y(low)}V${y(high)}M${x(low)} ${y(at)}H${x(high)}" stroke="#ddd"/>`,
      `<text x="${x(at)}" y="${size - margin + 18}" text-anchor="middle">${labels[i]}</text>`,
      `<text x="${margin - 6}" y="${y(at)}" text-anchor="end" dominant-baseline="middle">${labels[i]}</text>`,
    ];
  });
  const tell = ({ forecast, came, rows }: Bin) =>
    `<title>forecast ${(100 * forecast).toFixed(3)} %, came ${(100 * came).toFixed(3)} %, ${rows} rows</title>`;
  const square = (bin: Bin) =>
    `<rect x="${(Number(x(bin.forecast)) - 4).toFixed(1)}" y="${(Number(y(bin.came)) - 4).toFixed(1)}" width="8" height="8" fill="none" stroke="#b35806" stroke-width="1.5">${tell(bin)}</rect>`;
  const circle = (bin: Bin) =>
    `<circle cx="${x(bin.forecast)}" cy="${y(bin.came)}" r="5" fill="#2166ac">${tell(bin)}</circle>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" width="${size}" height="${size}" font-family="sans-serif" font-size="11" fill="#333">
<title>${report.city} ${report.target}: what was forecast, and what came</title>
<rect width="${size}" height="${size}" fill="#fff"/>
${grid.join("\n")}
<path d="M${x(1e-4)} ${y(1e-4)}L${x(1)} ${y(1)}" stroke="#888" stroke-dasharray="4 3"/>
${drawn(widths).map(square).join("\n")}
${drawn(tenths).map(circle).join("\n")}
<text x="${size / 2}" y="18" text-anchor="middle" font-size="13">${report.city} ${report.target}, ${report.from} to ${report.to}</text>
<text x="${size / 2}" y="${size - 12}" text-anchor="middle">forecast on onset rows</text>
<text transform="translate(12 ${size / 2}) rotate(-90)" text-anchor="middle">came</text>
<circle cx="${margin + 14}" cy="${margin / 2 + 16}" r="5" fill="#2166ac"/><text x="${margin + 24}" y="${margin / 2 + 20}">tenths of the rows</text>
<rect x="${margin + 10}" y="${margin / 2 + 28}" width="8" height="8" fill="none" stroke="#b35806" stroke-width="1.5"/><text x="${margin + 24}" y="${margin / 2 + 36}">tenths of the probability axis</text>
</svg>
`;
}
